"""Fixtures of the cache's tests: both app databases, with and without Redis, and processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.app_database import open_app_database
from server.cache import Cache, CacheLimits
from server.config import Settings
from tests.server.cache.processes import Clock, Process, StartProcess


@pytest.fixture
def settings(stores: Settings) -> Settings:
    """All four combinations."""
    return stores


@pytest.fixture
def redis_settings(sqlite_settings: Settings, redis_url: str) -> Settings:
    """SQLite and Redis, for what the app database has no part in."""
    return sqlite_settings.model_copy(update={"redis_url": redis_url})


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
