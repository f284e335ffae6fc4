"""Real stores that many tests share: one PostgreSQL, one Redis, and a migrated app database of each kind to copy."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import argon2
import hypothesis
import pytest
import redis

from server.accounts import passwords
from server.config import Settings, load_settings
from tests.services.app_databases import copied_postgresql, copy_sqlite, migrate_postgresql, migrated_sqlite
from tests.services.postgresql import running_postgresql
from tests.services.redis import RedisServer, redis_server

_REAL_HASHER, _REAL_NOBODY = passwords._hasher, passwords._NOBODY

# Timed tests are not tests: a busy machine is no defect.
hypothesis.settings.register_profile("untimed", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """Commands that are called within a test set up logging for their process: it ends with the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[None]:
    """Hashing at the real cost took a quarter of the time of pages' tests; processes that tests start pay it."""
    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(passwords, "_hasher", cheap)
        patched.setattr(passwords, "_NOBODY", cheap.hash("nobody has this password"))
        yield


@pytest.fixture
def real_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing as people get it."""
    monkeypatch.setattr(passwords, "_hasher", _REAL_HASHER)
    monkeypatch.setattr(passwords, "_NOBODY", _REAL_NOBODY)


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
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that nobody may kill."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(shared_redis: RedisServer) -> str:
    """A Redis with nothing in it."""
    with redis.Redis.from_url(shared_redis.url) as client:
        client.flushall()
    return shared_redis.url


@pytest.fixture
def sqlite_settings(tmp_path: Path, sqlite_to_copy: Path) -> Settings:
    """Settings with an empty app database of this test's own, in a file."""
    copy_sqlite(sqlite_to_copy, tmp_path / "data")
    return load_settings(data_dir=tmp_path / "data")


@pytest.fixture
def postgresql_settings(tmp_path: Path, postgresql_to_copy: str) -> Iterator[Settings]:
    """Settings with an empty app database of this test's own, on PostgreSQL."""
    (tmp_path / "data").mkdir(mode=0o700, exist_ok=True)
    with copied_postgresql(postgresql_to_copy) as url:
        yield load_settings(data_dir=tmp_path / "data", app_database_url=url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_settings(request: pytest.FixtureRequest) -> Settings:
    """Settings with an empty app database, on each store."""
    settings: Settings = request.getfixturevalue(f"{request.param}_settings")
    return settings


@pytest.fixture(params=["without_redis", "with_redis"])
def stores(request: pytest.FixtureRequest, database_settings: Settings) -> Settings:
    """All four combinations."""
    if request.param == "without_redis":
        return database_settings
    return database_settings.model_copy(update={"redis_url": request.getfixturevalue("redis_url")})
