"""Real stores that many tests share: one PostgreSQL, one Redis, and a migrated app database of each kind to copy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from server.config import Settings, load_settings
from tests.services.app_databases import copied_postgresql, copy_sqlite, migrate_postgresql, migrated_sqlite
from tests.services.postgresql import running_postgresql
from tests.services.redis import running_redis


@pytest.fixture(scope="session")
def sqlite_to_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file."""
    return migrated_sqlite(tmp_path_factory.mktemp("migrated-sqlite"))


@pytest.fixture(scope="session")
def postgresql_to_copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a migrated PostgreSQL database."""
    with running_postgresql() as url:
        migrate_postgresql(url, tmp_path_factory.mktemp("migrated-postgresql"))
        yield url


@pytest.fixture(scope="session")
def shared_redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Redis."""
    with running_redis(tmp_path_factory.mktemp("shared-redis")) as url:
        yield url


@pytest.fixture(params=["sqlite", "sqlite, Redis", "postgresql", "postgresql, Redis"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    """Settings with an empty app database, on each kind of store, with and without Redis."""
    redis_url = request.getfixturevalue("shared_redis_url") if "Redis" in request.param else ""
    if redis_url:
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
    data_dir = tmp_path / "data"
    data_dir.mkdir(mode=0o700)
    if "sqlite" in request.param:
        copy_sqlite(request.getfixturevalue("sqlite_to_copy"), data_dir)
        yield load_settings(data_dir=data_dir, redis_url=redis_url)
    else:
        with copied_postgresql(request.getfixturevalue("postgresql_to_copy")) as url:
            yield load_settings(data_dir=data_dir, app_database_url=url, redis_url=redis_url)
