"""Fixtures of the cache's tests: both app databases, with and without Redis, and processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from server.app_database import migrate_app_database, open_app_database
from server.cache import Cache, CacheLimits
from server.config import Settings, load_settings
from tests.server.cache.processes import Clock, Process, StartProcess, app_database
from tests.server.cache.redis_server import RedisServer, redis_server
from tests.services.postgresql import running_postgresql


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = load_settings(data_dir=tmp_path_factory.mktemp("sqlite"))
    engine = open_app_database(settings)
    migrate_app_database(settings, engine)
    engine.dispose()
    return settings.data_dir / "footfall.sqlite"


@pytest.fixture(scope="session")
def migrated_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_postgresql() as url:
        settings = load_settings(data_dir=tmp_path_factory.mktemp("postgresql"), app_database_url=url)
        engine = open_app_database(settings)
        migrate_app_database(settings, engine)
        engine.dispose()
        yield url


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(shared_redis: RedisServer) -> str:
    """A Redis with nothing in it."""
    with redis.Redis.from_url(shared_redis.url) as client:
        client.flushall()
    return shared_redis.url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Both app databases, without Redis."""
    return app_database(request.param, request, tmp_path)


@pytest.fixture
def postgresql_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """PostgreSQL alone, where transactions write at the same time."""
    return app_database("postgresql", request, tmp_path)


@pytest.fixture(params=["without_redis", "with_redis"])
def settings(request: pytest.FixtureRequest, database_settings: Settings) -> Settings:
    """All four combinations."""
    if request.param == "without_redis":
        return database_settings
    return database_settings.model_copy(update={"redis_url": request.getfixturevalue("redis_url")})


@pytest.fixture
def redis_settings(tmp_path: Path, redis_url: str, request: pytest.FixtureRequest) -> Settings:
    """SQLite and Redis, for what the app database has no part in."""
    return app_database("sqlite", request, tmp_path).model_copy(update={"redis_url": redis_url})


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start_process(clock: Clock) -> Iterator[StartProcess]:
    """Makes processes that have read the invalidations once; they read again when the test calls `cache.poll()`."""
    started: list[Process] = []

    def start(settings: Settings, *, limits: CacheLimits | None = None, polled: bool = True) -> Process:
        engine = open_app_database(settings)
        process = Process(Cache(settings, engine, clock=clock, limits=limits), engine)
        started.append(process)
        if polled:
            process.cache.poll()
        return process

    yield start
    for process in started:
        process.cache.close()
        process.engine.dispose()
