"""The thread that reads the invalidations: hints, outages, pruning, its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import OperationalError

from server.app_database import open_app_database, writing
from server.cache import Cache, InvalidationPoller
from server.cache.invalidations import KEPT_MS
from server.cache.poller import POLL_INTERVAL_S
from server.clock import now_ms
from server.config import Settings, load_settings
from server.models import CacheInvalidation
from tests.server.cache.processes import Process, StartProcess, is_remembered, metric, pages_of, topics_in
from tests.services.redis import raw_client, redis_server

StartPoller = Callable[[Process], InvalidationPoller]


@pytest.fixture
def start_poller(start_process: StartProcess) -> Iterator[StartPoller]:
    started: list[InvalidationPoller] = []

    def start(process: Process) -> InvalidationPoller:
        poller = InvalidationPoller(process.cache)
        started.append(poller)
        poller.start()
        return poller

    yield start
    for poller in started:
        poller.stop()
    for poller in started:
        poller.join(10)
        assert not poller.is_alive()


def seconds_until(condition: Callable[[], bool], limit_s: float = 5.0) -> float:
    """How long it took until the condition held."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < limit_s
        time.sleep(0.005)
    return time.monotonic() - began_s


def test_without_redis_an_invalidation_is_seen_within_a_poll(
    database_settings: Settings, start_process: StartProcess, start_poller: StartPoller
) -> None:
    here, there = start_process(database_settings), start_process(database_settings)
    start_poller(there)
    pages_of(there, 5)
    here.cache.invalidate("site:5")
    assert seconds_until(lambda: not is_remembered(there, 5)) < 3 * POLL_INTERVAL_S


def test_a_hint_of_redis_makes_it_immediate(
    redis_settings: Settings,
    start_process: StartProcess,
    start_poller: StartPoller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.cache.poller.POLL_INTERVAL_S", 60.0)
    here, there = start_process(redis_settings), start_process(redis_settings)
    start_poller(there)
    with raw_client(redis_settings.redis_url) as client:
        seconds_until(lambda: client.pubsub_numsub("footfall:cache")[0][1] == 1)
    for _ in range(3):
        pages_of(there, 5)
        here.cache.invalidate("site:5")
        seconds_until(lambda: not is_remembered(there, 5))


def test_hints_come_again_after_redis_was_away(
    redis_settings: Settings, tmp_path: Path, start_process: StartProcess, start_poller: StartPoller
) -> None:
    with redis_server(tmp_path) as server, raw_client(server.url) as client:
        settings = redis_settings.model_copy(update={"redis_url": server.url})
        process = start_process(settings)
        start_poller(process)
        seconds_until(lambda: client.pubsub_numsub("footfall:cache")[0][1] == 1)
        server.kill()
        process.cache.invalidate("site:5")
        server.start()
        seconds_until(lambda: client.pubsub_numsub("footfall:cache")[0][1] == 1)


def test_a_poller_survives_an_app_database_that_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = open_app_database(load_settings(data_dir=tmp_path / "nowhere"))
    cache = Cache(load_settings(data_dir=tmp_path), engine)
    failures = metric("footfall_cache_poll_failures_total")
    poller = InvalidationPoller(cache)
    for _ in range(3):
        poller.poll()
    assert poller.failures == 3
    assert cache.is_blind
    assert metric("footfall_cache_poll_failures_total") == failures + 3
    assert [record.message for record in caplog.records] == ["invalidations cannot be read or pruned"]


def test_a_poller_reads_again_when_the_app_database_is_back(
    database_settings: Settings, start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start_process(database_settings, polled=False)
    poller = InvalidationPoller(process.cache)
    read = process.cache.poll

    def refuse() -> None:
        raise OperationalError("", None, ValueError("refused by the test"))

    monkeypatch.setattr(process.cache, "poll", refuse)
    poller.poll()
    assert process.cache.is_blind
    monkeypatch.setattr(process.cache, "poll", read)
    poller.poll()
    assert poller.failures == 0
    assert not process.cache.is_blind


def test_the_poller_prunes(database_settings: Settings, start_process: StartProcess) -> None:
    process = start_process(database_settings, polled=False)
    at_ms = now_ms()
    with writing(process.engine) as session:
        session.execute(
            insert(CacheInvalidation),
            [{"topic": f"old:{n}", "at_ms": at_ms - KEPT_MS - 1000} for n in range(2500)]
            + [{"topic": "new", "at_ms": at_ms}],
        )
    poller = InvalidationPoller(process.cache)
    poller.poll()
    assert topics_in(process.engine) == ["new"]
    with writing(process.engine) as session:
        session.execute(insert(CacheInvalidation), [{"topic": "newer", "at_ms": at_ms}])
    poller.poll()
    assert topics_in(process.engine) == ["new", "newer"], "the next pruning is due in an hour"


def test_a_poller_ends_soon(settings: Settings, start_process: StartProcess, start_poller: StartPoller) -> None:
    poller = start_poller(start_process(settings))
    began_s = time.monotonic()
    poller.stop()
    poller.join(10)
    assert time.monotonic() - began_s < 3 * POLL_INTERVAL_S
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("invalidation-")]
