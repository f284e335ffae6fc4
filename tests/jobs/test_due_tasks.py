"""Jobs through the real queue, workers and alerts, on each kind of store, with and without Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select, update

from jobs import due_tasks, state
from jobs.context import JobContext
from jobs.due_tasks import KIND, queue_due
from jobs.job import CatchUp, Job, Shard
from jobs.runner import JobRunner
from jobs.state import Outcome
from server.app_database import reading, writing
from server.clock import now_ms
from server.config import Settings
from server.models import Alert, JobRun, JobState, Mail, Task
from server.services import Services, open_services
from server.tasks import TaskState, Worker
from tests.jobs.doubles import HOUR_MS, MINUTE_MS


@pytest.fixture
def services(stores: Settings) -> Iterator[Services]:
    opened = open_services(stores.model_copy(update={"alert_emails": "operator@example.com"}))
    yield opened
    opened.tasks.close()
    opened.close()


def job(function: Callable[[JobContext], int], late_after_s: int = 24 * 3600) -> Job:
    # Not more often than once an hour: no further run may become due while a test looks.
    return Job("test", f"{an_hour_away()} * * * *", function, 60, "", CatchUp.LATEST, late_after_s)


def an_hour_away() -> int:
    """Two minutes before the present one: the next due time is 58 minutes away, the last one two minutes ago."""
    return (now_ms() // MINUTE_MS - 2) % 60


def make_due(services: Services, runner: JobRunner, ago_ms: int = 10 * MINUTE_MS) -> None:
    """As if the jobs were known for some time."""
    runner.tick()
    with writing(services.engine) as session:
        session.execute(update(JobState).values(settled_until_ms=now_ms() - ago_ms))


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.02)


def tasks(services: Services) -> list[tuple[str, str]]:
    with reading(services.engine) as session:
        rows = session.execute(select(Task.kind, Task.state).order_by(Task.task_id)).all()
        return [(kind, state) for kind, state in rows if kind == KIND]


def outcomes(services: Services) -> list[str]:
    with reading(services.engine) as session:
        return list(session.execute(select(JobRun.outcome).order_by(JobRun.run_id)).scalars())


def test_a_worker_runs_what_a_tick_queued_once(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def work(context: JobContext) -> int:
        done.append(context.due_at_ms)
        return 5

    table = (job(work),)
    monkeypatch.setattr(due_tasks, "JOBS", table)
    runner = JobRunner(services, table)
    make_due(services, runner)
    assert [queue_due(services, runner), queue_due(services, runner)] == [1, 1]
    assert tasks(services) == [(KIND, "queued")], "one task for one piece"
    worker = Worker(services.tasks, services, 2)
    worker.start()
    try:
        wait_until(lambda: tasks(services) == [(KIND, "succeeded")])
    finally:
        assert worker.stop(10)
    assert len(done) == 1
    assert outcomes(services)[0] == Outcome.SUCCEEDED
    assert queue_due(services, runner) == 0


def test_a_worker_that_stops_gives_its_run_back(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def work(context: JobContext) -> int:
        begun.set()
        while not is_short:
            time.sleep(0.02)
            context.progress(1)
        return 1

    is_short: list[bool] = []
    table = (job(work),)
    monkeypatch.setattr(due_tasks, "JOBS", table)
    runner = JobRunner(services, table)
    make_due(services, runner)
    queue_due(services, runner)
    first = Worker(services.tasks, services, 1)
    first.start()
    assert begun.wait(10)
    assert first.stop(1.0), "it stops at its next progress"
    assert outcomes(services) == [Outcome.ABANDONED]
    assert tasks(services) == [(KIND, "queued")]
    seen = state.read_standing(services.engine, "test", Shard())
    assert seen is not None
    assert (seen.attempts, seen.lock_token) == (0, None)
    is_short.append(True)
    second = Worker(services.tasks, services, 1)
    second.start()
    try:
        wait_until(lambda: tasks(services) == [(KIND, "succeeded")])
    finally:
        assert second.stop(10)
    assert Outcome.SUCCEEDED in outcomes(services)


def test_a_task_of_another_versions_table_does_nothing(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_tasks, "JOBS", (job(lambda context: 1),))
    with writing(services.engine) as session:
        for name, shard in (("gone", "0/1"), ("test", "1/2")):
            services.tasks.enqueue(session, KIND, arguments={"job": name, "shard": shard})
    worker = Worker(services.tasks, services, 1)
    worker.start()
    try:
        wait_until(lambda: tasks(services) == [(KIND, TaskState.SUCCEEDED)] * 2)
    finally:
        assert worker.stop(10)
    assert outcomes(services) == []


def test_a_late_job_is_one_alert_and_one_mail_whoever_looks(services: Services) -> None:
    table = (job(lambda context: 1, late_after_s=60),)
    make_due(services, JobRunner(services, table), ago_ms=HOUR_MS)
    start = threading.Barrier(4)

    def look() -> None:
        start.wait()
        JobRunner(services, table).tick()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    JobRunner(services, table).tick()
    with reading(services.engine) as session:
        (alert,) = session.execute(select(Alert)).scalars()
        assert (alert.kind, alert.summary) == ("job_late", "job test is late")
        (mail,) = session.execute(select(Mail)).scalars()
        assert mail.to_address == "operator@example.com"
