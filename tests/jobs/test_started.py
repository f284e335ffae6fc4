"""Runs that staff start: the task of the server reaches the jobs, and says what became of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select

import jobs.due_tasks
import jobs.started
from jobs.job import CatchUp, Job
from jobs.runner import JobRunner
from jobs.schedule import JOBS
from server.accounts.errors import NotThere
from server.app_database import reading, writing
from server.clock import now_ms
from server.config import Settings
from server.job_starts import DEADLINE_S, queue_start
from server.models import JobRun, Task
from server.services import Services, open_services
from tests.server.accounts.people import finish_tasks


@pytest.fixture
def services(sqlite_settings: Settings) -> Iterator[Services]:
    opened = open_services(sqlite_settings)
    yield opened
    opened.close()


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch, services: Services) -> None:
    def fails(_: object) -> int:
        raise RuntimeError("it broke")

    table = tuple(
        Job(name, "5 * * * *", work, 60, "", CatchUp.LATEST, 600)
        for name, work in (("works", lambda _: 7), ("breaks", fails))
    )
    monkeypatch.setattr(jobs.due_tasks, "JOBS", table)
    JobRunner(services, table).tick()


def started(services: Services, job: str) -> tuple[JobRun, Task]:
    with writing(services.engine) as session:
        task_id = queue_start(session, services, job, "0/1", 1, now_ms())
    finish_tasks(services)
    with reading(services.engine) as session:
        run = session.execute(select(JobRun).where(JobRun.job == job)).scalar_one()
        return run, session.get_one(Task, task_id)


def test_no_job_may_run_longer_than_the_task_that_starts_it() -> None:
    assert max(job.deadline_s for job in JOBS) < DEADLINE_S


@pytest.mark.usefixtures("table")
def test_a_started_job_runs_by_hand(services: Services) -> None:
    run, task = started(services, "works")
    assert (run.outcome, run.rows, run.is_manual) == ("succeeded", 7, True)
    assert (task.state, task.progress_done) == ("succeeded", 7)


@pytest.mark.usefixtures("table")
def test_a_started_job_that_fails_is_not_repeated(services: Services) -> None:
    run, task = started(services, "breaks")
    assert (run.outcome, run.is_manual) == ("failed", True)
    assert (task.state, task.attempts) == ("failed", 1)
    assert "it broke" in task.message


@pytest.mark.usefixtures("table")
def test_a_job_that_is_not_there_is_not_started(services: Services) -> None:
    with pytest.raises(NotThere), writing(services.engine) as session:
        queue_start(session, services, "none", "0/1", 1, now_ms())
