"""One job whose function a test sets, on one app database, and any number of runners."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, select

from jobs.context import JobContext
from jobs.job import CatchUp, Job, Shard
from jobs.limits import JobLimits
from jobs.runner import JobRunner, Piece, Result
from server.app_database import reading
from server.config import Settings
from server.models import JobRun, JobState
from tests.jobs.doubles import AlertBook, Clock, services_of

WHOLE = Shard()


class World:
    """A table with one job whose function a test sets, and any number of runners on one app database."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.settings = settings
        self.engine = engine
        self.clock = Clock()
        self.alerts = AlertBook()
        self.function: Callable[[JobContext], int] = lambda context: 1
        self.called: list[int] = []
        self.catch_up = CatchUp.EACH
        self.limits = JobLimits(progress_interval_ms=0, record_pause_s=0)

    def job(self, **more: Any) -> Job:
        return Job(
            "test",
            "*/10 * * * *",
            self._call,
            **{"deadline_s": 300, "monitor": "", "catch_up": self.catch_up, "late_after_s": 120, **more},
        )

    def runner(self, *, has_heartbeat: bool = False, **more: Any) -> JobRunner:
        services = services_of(self.engine, self.settings, self.alerts)
        return JobRunner(
            services,
            [self.job(**more)],
            limits=self.limits,
            clock=self.clock,
            pause=lambda seconds: None,
            has_heartbeat=has_heartbeat,
        )

    def _call(self, context: JobContext) -> int:
        self.called.append(context.due_at_ms)
        return self.function(context)

    def runs(self) -> list[JobRun]:
        with reading(self.engine) as session:
            return list(session.execute(select(JobRun).order_by(JobRun.run_id)).scalars())

    def outcomes(self) -> list[str]:
        return [run.outcome for run in self.runs()]

    def standing(self) -> JobState:
        with reading(self.engine) as session:
            return session.execute(select(JobState)).scalar_one()


def piece(runner: JobRunner) -> Piece:
    return Piece(runner.job("test"), WHOLE)


def go(runner: JobRunner) -> list[Result]:
    """One tick, and what it found."""
    return [result for found in runner.tick() for result in runner.catch_up(found)]


def die(context: JobContext) -> int:
    raise KeyboardInterrupt
