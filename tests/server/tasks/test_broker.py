"""The queue's store: a file or Redis, full or away, and what a push does then."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from server.config import Settings, load_settings
from server.tasks import TaskLimits, TaskQueue, Worker
from server.tasks.broker import FULLNESS_INTERVAL_S, PUSH_PAUSE_S, Broker
from tests.server.tasks.fixtures import RecordingServices, opened
from tests.services.redis import redis_server


class SlowClock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_what_was_pushed_comes_out_in_order(tmp_path: Path) -> None:
    broker = Broker(load_settings(data_dir=tmp_path / "new"), TaskLimits())
    assert [broker.push(number) for number in (3, 1, 2)] == [True, True, True]
    assert broker.waiting() == 3
    broker.close()
    seen: list[int] = []
    broker.attach(seen.append)
    huey = broker.huey()
    for _ in range(3):
        huey.execute(huey.dequeue())
    assert (seen, broker.waiting()) == ([3, 1, 2], 0)
    broker.close()
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_full_queue_takes_no_message(tmp_path: Path) -> None:
    clock = SlowClock()
    broker = Broker(load_settings(data_dir=tmp_path), TaskLimits(max_messages=2), clock)
    assert [broker.push(number) for number in (1, 2)] == [True, True]
    clock.now_s += FULLNESS_INTERVAL_S
    assert [broker.push(number) for number in (3, 4)] == [False, False]
    assert broker.waiting() == 2
    broker.huey().dequeue()
    clock.now_s += FULLNESS_INTERVAL_S
    assert broker.push(5) is True
    broker.close()


def test_a_dead_redis_is_not_asked_by_every_push(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis_server(tmp_path) as server:
        clock = SlowClock()
        broker = Broker(load_settings(data_dir=tmp_path, redis_url=server.url), TaskLimits(), clock)
        assert broker.push(1) is True
        server.kill()
        assert (broker.push(2), broker.outage.is_on) == (False, True)
        asked: list[int] = []
        with monkeypatch.context() as counting:
            counting.setattr(broker, "huey", lambda: asked.append(1))
            assert broker.push(3) is False
        assert asked == []
        server.start()
        assert broker.push(4) is False, "the pause is not over"
        clock.now_s += PUSH_PAUSE_S
        assert (broker.push(5), broker.outage.is_on, broker.waiting()) == (True, False, 1)
        server.kill()
        assert (broker.waiting(), broker.push(6)) == (None, False)
        server.start()
        assert broker.waiting() == 0
        assert broker.push(7) is True, "who asked how much waits knows that it is back"
        broker.close()


def test_a_file_that_cannot_be_opened(
    sqlite_settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (sqlite_settings.data_dir / "queue.sqlite").mkdir()
    with opened(sqlite_settings) as engine:
        queue = TaskQueue(sqlite_settings, engine)
        assert (queue.broker.push(1), queue.broker.waiting()) == (False, None)
        with pytest.raises(sqlite3.OperationalError):
            Worker(queue, RecordingServices(engine).typed, 1).start()
        queue.close()
    assert [record.getMessage() for record in caplog.records] == ["a store is away"]
    queue.broker.outage.ended()
