"""Real workers with real threads, on both app databases and both queues: what a process does from start to stop."""

from __future__ import annotations

import logging
import pickle
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from server.app_database import reading, writing
from server.config import Settings
from server.metrics import REGISTRY
from server.models import Task
from server.tasks import Cancelled, TaskLimits, TaskQueue, TaskRun, Worker, rows
from tests.server.tasks import kinds  # noqa: F401 - registers the kinds
from tests.server.tasks.fixtures import RecordingServices, opened
from tests.server.tasks.test_messages import Bomb
from tests.services.redis import redis_server

FAST = TaskLimits(
    lease_ms=10_000,
    heartbeat_interval_s=0.1,
    sweep_interval_s=0.05,
    poll_first_s=0.01,
    poll_longest_s=0.05,
    redis_wait_s=0.1,
    figures_interval_s=0.1,
    minute_s=0.2,
)

# For tests in which a lease is to run out.
SHORT_LEASE = replace(FAST, lease_ms=1000)


class Host:
    """A process with a worker, as far as a test needs one."""

    def __init__(
        self, settings: Settings, engine: Engine, act: Callable[[TaskRun], None], limits: TaskLimits = FAST
    ) -> None:
        self.engine = engine
        self.queue = TaskQueue(settings, engine, limits=limits)
        self.services = RecordingServices(engine, extra=act)
        self.worker = Worker(self.queue, self.services.typed, 2)
        self.is_stopped = False

    def __enter__(self) -> Host:
        self.worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self.is_stopped:
            assert self.stop(10)

    def stop(self, timeout_s: float) -> bool:
        """Stop the worker."""
        self.is_stopped = True
        return self.worker.stop(timeout_s)

    def enqueue(self, count: int = 1, kind: str = "test.act", **options: Any) -> list[int]:
        """Queue so many tasks, each in a transaction of its own."""
        task_ids = []
        for _ in range(count):
            with writing(self.engine) as session:
                task_ids.append(self.queue.enqueue(session, kind, **options))
        return task_ids

    def states(self) -> Counter[str]:
        """How many tasks are in which state."""
        with reading(self.engine) as session:
            return Counter(task.state for task in session.query(Task))

    def row(self, task_id: int) -> Task:
        """The row as it stands."""
        with reading(self.engine) as session:
            return session.get_one(Task, task_id)


def eventually(is_so: Callable[[], object], what: str = "", within_s: float = 20.0) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline_s, what or "it never was so"
        time.sleep(0.01)


@pytest.fixture
def home(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """SQLite and the queue in a file, as on one machine; PostgreSQL and Redis, as in a fleet."""
    return with_redis(request, settings) if settings.app_database_url else settings


@pytest.fixture
def crossed(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The other way round."""
    return settings if settings.app_database_url else with_redis(request, settings)


def with_redis(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The same settings with an empty Redis."""
    return settings.model_copy(update={"redis_url": request.getfixturevalue("redis_url")})


class Calls:
    """A task's function that counts its calls."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self._takes_s = takes_s
        self._lock = threading.Lock()
        self.counts: Counter[int] = Counter()

    def __call__(self, run: TaskRun) -> None:
        with self._lock:
            self.counts[run.task_id] += 1
        time.sleep(self._takes_s)


@pytest.mark.parametrize("stores", ["home", "crossed"])
def test_two_workers_do_everything_once(request: pytest.FixtureRequest, engine: Engine, stores: str) -> None:
    settings, calls = request.getfixturevalue(stores), Calls()
    with Host(settings, engine, calls) as one, Host(settings, engine, calls):
        task_ids = one.enqueue(40)
        eventually(lambda: one.states() == {"succeeded": 40})
    assert calls.counts == dict.fromkeys(task_ids, 1)


def test_delayed_tasks_and_retries_come_by_themselves(home: Settings, engine: Engine) -> None:
    def act(run: TaskRun) -> None:
        if run.attempt == 1:
            raise ValueError

    with Host(home, engine, act) as host:
        (task_id,) = host.enqueue(run_at_ms=host.queue.now_ms() + 200)
        eventually(lambda: (host.row(task_id).attempts, host.row(task_id).state) == (1, "queued"))
        with writing(engine) as session:
            row = session.get_one(Task, task_id)
            assert row.run_at_ms > host.queue.now_ms() + 10_000, "thirty seconds, drawn"
            row.run_at_ms = 0
        eventually(lambda: host.states() == {"succeeded": 1})


def test_a_running_task_is_cancelled(home: Settings, engine: Engine) -> None:
    def act(run: TaskRun) -> None:
        while True:
            run.progress(1)
            time.sleep(0.01)

    with Host(home, engine, act) as host:
        (task_id,) = host.enqueue()
        eventually(lambda: host.row(task_id).state == "running")
        assert host.queue.cancel(task_id) is Cancelled.REQUESTED
        eventually(lambda: host.row(task_id).state == "cancelled")


def test_a_long_task_keeps_its_lease(home: Settings, engine: Engine) -> None:
    calls = Calls(takes_s=1.5)
    with Host(home, engine, calls, SHORT_LEASE) as host, Host(home, engine, calls, SHORT_LEASE):
        (task_id,) = host.enqueue()
        eventually(lambda: host.row(task_id).state == "succeeded")
    assert (calls.counts[task_id], host.row(task_id).attempts) == (1, 1)


def test_redis_is_killed_and_started_again_during_a_run(
    settings: Settings, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    moments = random.Random(5)
    calls = Calls(takes_s=0.002)
    with redis_server(tmp_path) as server:
        settings = settings.model_copy(update={"redis_url": server.url})
        with Host(settings, engine, calls) as one, Host(settings, engine, calls) as two:
            task_ids: list[int] = []

            def all_done() -> bool:
                return one.states() == {"succeeded": len(task_ids)}

            for round_number in range(3):
                task_ids += one.enqueue(15) + two.enqueue(15)
                time.sleep(moments.uniform(0.0, 0.05))
                server.kill()
                task_ids += one.enqueue(10)
                if round_number == 1:
                    eventually(all_done, "done without Redis as well")
                server.start()
            eventually(all_done)
            eventually(lambda: not one.queue.broker.outage.is_on and not two.queue.broker.outage.is_on)
            (last,) = one.enqueue()
            eventually(lambda: one.row(last).state == "succeeded")
    assert calls.counts == dict.fromkeys([*task_ids, last], 1)
    lines = [record.getMessage() for record in caplog.records]
    outages = lines.count("a store is away")
    assert 3 <= outages <= 3 * 2 * 2, "each worker says once per outage that Redis is away, not each time it looks"
    assert lines.count("a store is back") == outages
    assert not [record for record in caplog.records if record.name.startswith("huey")]
    assert REGISTRY.get_sample_value("footfall_task_queue_away") == 0


def test_without_redis_at_the_start_tasks_are_done_all_the_same(
    settings: Settings, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    calls = Calls()
    with Host(settings, engine, calls) as host:
        task_ids = host.enqueue(10)
        eventually(lambda: host.states() == {"succeeded": 10})
        assert REGISTRY.get_sample_value("footfall_task_queue_away") == 1
    assert calls.counts == dict.fromkeys(task_ids, 1)
    assert [record.getMessage() for record in caplog.records].count("a store is away") == 1
    host.queue.broker.outage.ended()


def test_foreign_messages_are_refused_without_being_loaded(
    home: Settings, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    from server.tasks.messages import Refusal

    def refused(reason: Refusal) -> float:
        return REGISTRY.get_sample_value("footfall_task_messages_refused_total", {"reason": reason}) or 0

    foreign = [pickle.dumps(Bomb()), b'{"v": 1, "name": "os.system", "args": [1], "expires_at_ms": null}', b"[]"]
    before = {reason: refused(reason) for reason in Refusal}
    host = Host(home, engine, Calls())
    storage = host.queue.broker.huey().storage
    for content in foreign:
        storage.enqueue(content)
    with host:
        (task_id,) = host.enqueue()
        eventually(lambda: host.row(task_id).state == "succeeded")
        eventually(lambda: host.queue.broker.waiting() == 0)
    for reason in (Refusal.NOT_JSON, Refusal.UNKNOWN_NAME, Refusal.WRONG_SHAPE):
        assert refused(reason) == before[reason] + 1
    assert [record.getMessage() for record in caplog.records].count("a message in the task queue is not ours") == 3


def test_the_app_database_goes_away_for_a_while(
    home: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def dead(*_: object) -> Any:
        raise OperationalError("statement", {}, Exception())

    with Host(home, engine, Calls()) as host:
        with monkeypatch.context() as broken:
            for name in ("claim", "due_task_ids", "figures"):
                broken.setattr(rows, name, dead)
            task_ids = host.enqueue(3)
            eventually(lambda: host.queue.broker.waiting() == 0)
            time.sleep(0.2)
        eventually(lambda: host.states() == {"succeeded": 3})
    away = [record for record in caplog.records if record.getMessage() == "a store is away"]
    assert [vars(record)["store"] for record in away] == ["the app database"]
    assert len(task_ids) == 3


def test_stopping_finishes_what_is_under_way(home: Settings, engine: Engine) -> None:
    calls = Calls(takes_s=0.3)
    host = Host(home, engine, calls)
    with host:
        task_ids = host.enqueue(6)
        eventually(lambda: host.states()["running"] == 2)
        assert host.stop(10) is True
    assert host.states() == {"succeeded": 2, "queued": 4}
    with Host(home, engine, calls):
        eventually(lambda: host.states() == {"succeeded": 6})
    assert calls.counts == dict.fromkeys(task_ids, 1)


def test_stopping_puts_back_what_takes_too_long(home: Settings, engine: Engine) -> None:
    def act(run: TaskRun) -> None:
        for number in range(run.checkpoint.get("next", 0), 10_000):
            run.checkpoint["next"] = number
            run.progress(number)
            time.sleep(0.02)

    with Host(home, engine, act) as host:
        (task_id,) = host.enqueue()
        eventually(lambda: host.row(task_id).progress_done > 2)
        started_s = time.monotonic()
        assert host.stop(3.0) is True
        assert time.monotonic() - started_s < 3.0
    row = host.row(task_id)
    assert (row.state, row.attempts, row.lease_token) == ("queued", 0, None)
    assert row.checkpoint["next"] > 2


def test_what_cannot_be_stopped_is_left_to_its_lease(
    home: Settings, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    may_end = threading.Event()

    def act(run: TaskRun) -> None:
        may_end.wait(20)

    with Host(home, engine, act, SHORT_LEASE) as host:
        (task_id,) = host.enqueue()
        eventually(lambda: host.row(task_id).state == "running")
        assert host.stop(0.2) is False
    (record,) = [record for record in caplog.records if record.getMessage() == "tasks are left to other workers"]
    assert vars(record)["task_ids"] == [task_id]
    assert host.row(task_id).state == "running"
    calls = Calls()
    with Host(home, engine, calls, SHORT_LEASE):
        eventually(lambda: calls.counts[task_id] == 1, "its lease runs out")
    may_end.set()
    assert host.stop(10) is True
    assert (host.row(task_id).state, host.row(task_id).attempts) == ("succeeded", 2)


def test_every_minute_each_worker_calls(home: Settings, engine: Engine) -> None:
    calls: Counter[str] = Counter()

    def fail() -> None:
        calls["failing"] += 1
        raise ZeroDivisionError

    def busy(run: TaskRun) -> None:
        time.sleep(0.3)

    hosts = [Host(home, engine, busy) for _ in range(2)]
    for number, host in enumerate(hosts):
        host.queue.every_minute("tick", lambda number=number: calls.update([f"tick {number}"]))  # type: ignore[misc]
        host.queue.every_minute("failing", fail)
        with pytest.raises(ValueError, match="every minute already"):
            host.queue.every_minute("tick", fail)
    with hosts[0], hosts[1]:
        hosts[0].enqueue(4)  # all threads are busy
        eventually(lambda: min(calls["tick 0"], calls["tick 1"]) >= 2 and calls["failing"] >= 4)


def test_a_worker_leaves_the_process_as_it_was(home: Settings, engine: Engine) -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    threads = set(threading.enumerate())
    with Host(home, engine, Calls()) as host:
        assert [signal.getsignal(number) for number in numbers] == before
        eventually(lambda: time.monotonic() - host.worker.moved_at_s < 1)
    eventually(lambda: set(threading.enumerate()) <= threads)


def test_a_thread_that_died_is_started_again(
    home: Settings, engine: Engine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Host(home, engine, Calls()) as host:
        consumer = host.worker._consumers[0]
        with monkeypatch.context() as broken:
            broken.setattr(consumer.huey.storage, "dequeue", lambda: 1 / 0)
            eventually(lambda: "died" in caplog.text)
        host.enqueue(3)
        eventually(lambda: host.states() == {"succeeded": 3})


def test_the_figures(home: Settings, engine: Engine) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(f"footfall_{name}", labels) or 0

    done = value("tasks_done_total", kind="test.act", outcome="succeeded")
    enqueued = value("tasks_enqueued_total", kind="test.act")
    may_end = threading.Event()

    def act(run: TaskRun) -> None:
        may_end.wait(20)

    with Host(home, engine, act) as host:
        host.enqueue(5)
        host.enqueue(run_at_ms=host.queue.now_ms() + 3_600_000)
        eventually(lambda: (value("tasks_running"), value("tasks_queued")) == (2, 4))
        eventually(lambda: 0 < value("tasks_oldest_due_seconds") < 10)
        may_end.set()
        eventually(lambda: value("tasks_done_total", kind="test.act", outcome="succeeded") == done + 5)
        eventually(lambda: (value("tasks_running"), value("tasks_queued")) == (0, 1))
        eventually(lambda: value("tasks_oldest_due_seconds") == 0)
    assert value("tasks_enqueued_total", kind="test.act") == enqueued + 6
    assert value("task_duration_seconds_count", kind="test.act") >= 5


def test_the_queues_file_holds_numbers_only(sqlite_settings: Settings) -> None:
    with opened(sqlite_settings) as engine:
        host = Host(sqlite_settings, engine, Calls())
        host.enqueue(arguments={"number": 7})
        host.queue.close()
    with closing(sqlite3.connect(sqlite_settings.data_dir / "queue.sqlite")) as connection:
        ((content,),) = connection.execute("SELECT data FROM task").fetchall()
    assert content == b'{"v":1,"name":"server.tasks.broker.work","args":[1],"expires_at_ms":null}'


def test_a_worker_has_threads(sqlite_settings: Settings) -> None:
    with opened(sqlite_settings) as engine, pytest.raises(ValueError, match="at least one thread"):
        Worker(TaskQueue(sqlite_settings, engine), RecordingServices(engine).typed, 0)


def test_huey_says_nothing_of_each_message(home: Settings, engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Host(home, engine, Calls()) as host:
        host.enqueue(3)
        eventually(lambda: host.states() == {"succeeded": 3})
    assert [record.name for record in caplog.records if record.name.startswith("huey")] == []
