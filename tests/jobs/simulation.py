"""Several job runners at once under one clock, driven step by step, each killed wherever a test likes.

Each simulated process is a thread with an engine of its own on the same app database. Only one of them moves at a time:
`Process.step` lets it go on to its next *point* and waits there. Points are

- before each transaction, at each entry and progress of a job's function, before and after each alert: there it may be
  left standing while others go on and time passes;
- before each statement and each commit: there it may be killed, but not left standing, since SQLite has one writer.

A killed process gets `Killed`, which nothing catches: its transaction is rolled back, as when a connection dies.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, event, select

from jobs.context import JobContext
from jobs.job import CatchUp, Job, Shard, shown_time
from jobs.limits import JobLimits
from jobs.runner import JobRunner, Piece
from jobs.state import Outcome
from server.alerts import AlertKind
from server.config import Settings
from server.models import JobRun, JobState
from tests.jobs.doubles import HOUR_MS, MINUTE_MS, AlertBook, Clock, services_of

LIMITS = JobLimits(
    lease_ms=60_000, progress_interval_ms=0, first_retry_s=60, longest_retry_s=240, record_attempts=1, slice_ms=600_000
)
LATE_S = 240
DEADLINE_S = 150
ATTEMPTS = 3

# A step that takes longer has come to a standstill.
STEP_TIMEOUT_S = 30.0


class Killed(BaseException):
    """The process ends here and now."""


class JobBroke(Exception):
    """What the simulated jobs raise."""


@dataclass
class Execution:
    """One call of a job's function."""

    process: Process
    piece: tuple[str, Shard]
    due_at_ms: int
    run_id: int
    lease_until_ms: int
    ended_at_ms: int | None = None


@dataclass
class World:
    """What all processes share, and everything that happened."""

    settings: Settings
    open_engine: Callable[[], Engine]
    clock: Clock = field(default_factory=Clock)
    plans: list[str] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    processes: list[Process] = field(default_factory=list)
    crashes: int = 0

    def __post_init__(self) -> None:
        self.alerts = AlertBook(lambda: self.current().point())
        self.jobs = [
            Job("each", "*/5 * * * *", self.work, DEADLINE_S, "", CatchUp.EACH, LATE_S, attempts=ATTEMPTS),
            Job("latest", "*/4 * * * *", self.work, DEADLINE_S, "", CatchUp.LATEST, LATE_S, attempts=ATTEMPTS),
            Job("cut", "*/10 * * * *", self.work, DEADLINE_S, "", CatchUp.EACH, LATE_S, shards=2, attempts=ATTEMPTS),
        ]
        self._here = threading.local()
        self.began_ms = self.clock()

    def current(self) -> Process:
        """The process that moves."""
        process: Process = self._here.process
        return process

    def enter(self, process: Process) -> None:
        """Called by the thread of a process."""
        self._here.process = process

    def start_process(self) -> Process:
        """One more process."""
        process = Process(self)
        self.processes.append(process)
        return process

    def alive(self) -> list[Process]:
        return [process for process in self.processes if not process.has_ended]

    def work(self, context: JobContext) -> int:
        """The function of every job: does what the next plan says."""
        plan = self.plans.pop() if self.plans else "ok"
        process = self.current()
        piece = (context.job.name, context.shard)
        execution = Execution(process, piece, context.due_at_ms, context.run.run_id, context.lock_until_ms)
        for other in self.executions:
            is_under_way = other.ended_at_ms is None and not other.process.has_ended
            if other.piece == piece and is_under_way and self.clock() < other.lease_until_ms:
                self.problems.append(f"{piece} runs twice at once: {other} and {execution}")
        self.executions.append(execution)
        process.point()
        try:
            for step in range({"long": 4}.get(plan, 1)):
                context.progress(step)
                execution.lease_until_ms = context.lock_until_ms
                process.point()
            if plan == "fail":
                raise JobBroke("it did not work")
            return 1
        finally:
            execution.ended_at_ms = self.clock()


class Process:
    """A process that looks for due jobs and runs them, over and over."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.has_ended = False
        self.error: BaseException | None = None
        self.is_idle = False
        self._kill_in: int | None = None
        self._must_die = False
        self._go = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._engine = world.open_engine()
        # Each transaction checks a connection out first; an event of its beginning would come after BEGIN IMMEDIATE.
        event.listen(self._engine, "checkout", lambda *_: self.point())
        event.listen(self._engine, "before_cursor_execute", self._at_statement)
        event.listen(self._engine, "commit", self._at_statement)
        services = services_of(self._engine, world.settings, world.alerts)
        self._runner = JobRunner(
            services,
            world.jobs,
            limits=LIMITS,
            clock=world.clock,
            pause=lambda seconds: None,
            has_heartbeat=False,
        )
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    @property
    def is_in_a_run(self) -> bool:
        """Whether it stands inside a job's function."""
        return any(
            execution.process is self and execution.ended_at_ms is None for execution in self.world.executions[-50:]
        )

    def step(self, count: int = 1) -> None:
        """Go on to the next point, so many times."""
        for _ in range(count):
            if self.has_ended:
                return
            self._go.release()
            assert self._stands.acquire(timeout=STEP_TIMEOUT_S), "a process does not come to its next point"

    def turn(self) -> None:
        """Go on to the end of this look at what is due."""
        self.step()
        while not self.is_idle and not self.has_ended:
            self.step()

    def kill_after(self, points: int) -> None:
        """Die at the so manieth point or statement from here."""
        self._kill_in = points

    def kill(self) -> None:
        """Die where it stands."""
        self._must_die = True
        self.step()

    def point(self) -> None:
        """Wait here for the next step."""
        self._maybe_die()
        self._stands.release()
        self._go.acquire()
        if self._must_die:
            raise Killed
        self._maybe_die()

    def _at_statement(self, *_: object) -> None:
        self._maybe_die()

    def _maybe_die(self) -> None:
        if self._kill_in is not None:
            self._kill_in -= 1
            if self._kill_in < 0:
                self._kill_in = None
                raise Killed

    def _live(self) -> None:
        self.world.enter(self)
        self._go.acquire()
        try:
            while not self._must_die:
                self.is_idle = False
                for piece in self._look():
                    self._runner.catch_up(piece)
                self.is_idle = True
                self.point()
        except Killed:
            self.world.crashes += 1
        except BaseException as error:
            self.error = error
        finally:
            self._engine.dispose()
            self.has_ended = True
            self._stands.release()

    def _look(self) -> list[Piece]:
        now_ms = self.world.clock()
        known = {(row.job, row.shard) for row in self._read(select(JobState))}
        found = self._runner.tick()
        for job in self.world.jobs:
            for shard in job.pieces():
                if (job.name, str(shard)) in known:
                    self._check_that_late_ones_alerted(job, shard, now_ms)
        return found

    def _check_that_late_ones_alerted(self, job: Job, shard: Shard, now_ms: int) -> None:
        """After a look nothing is late that had no alert, but what had begun meanwhile."""
        (row,) = self._read(select(JobState).where(JobState.job == job.name, JobState.shard == str(shard)))
        begun = select(JobRun).where(JobRun.job == job.name, JobRun.shard == str(shard))
        begun_ms = max((run.due_at_ms for run in self._read(begun)), default=0)
        late = job.due_between(max(row.settled_until_ms, begun_ms), now_ms - job.late_after_s * 1000)
        alerted_ms = max(alerted_until(self.world, job, shard), default=0)
        for due_ms in late:
            if due_ms > alerted_ms:
                self.world.problems.append(f"{job.name} {shard} {due_ms} is late and had no alert")

    def _read(self, statement: Any) -> list[Any]:
        with without_points(self), self._engine.connect() as connection:
            return list(connection.execute(statement).all())


@contextmanager
def without_points(process: Process) -> Iterator[None]:
    """What the simulation itself asks is no step of the process."""
    point, maybe_die = process.point, process._maybe_die
    process.point = process._maybe_die = lambda: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        process.point, process._maybe_die = point, maybe_die  # type: ignore[method-assign]


def alerted_until(world: World, job: Job, shard: Shard) -> list[int]:
    """Up to which due times alerts were raised for late runs, in order."""
    name = job.name if shard.count == 1 else f"{job.name} {shard}"
    times = []
    for key in world.alerts.keys(AlertKind.JOB_LATE):
        piece, _, time = key.rpartition(" ")
        if piece == name:
            times.append(_time_ms(time))
    return times


def _time_ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1000


def finish(world: World) -> None:
    """No more crashes: time goes on, and a single process does what is left."""
    for process in world.alive():
        process.kill()
    end_ms = world.clock() + 15 * MINUTE_MS
    last = world.start_process()
    while world.clock() < end_ms:
        last.turn()
        assert last.error is None, repr(last.error)
        world.clock.advance(75)
    last.turn()
    last.kill()


def check(world: World, engine: Engine) -> None:
    """Everything that must hold once `finish` is through."""
    assert world.problems == []
    for process in world.processes:
        assert process.error is None, repr(process.error)
    with engine.connect() as connection:
        runs = list(connection.execute(select(JobRun).order_by(JobRun.run_id)).all())
        standings = list(connection.execute(select(JobState)).all())
    executed = Counter((execution.piece, execution.due_at_ms) for execution in world.executions)
    abandoned = sum(run.outcome == Outcome.ABANDONED for run in runs)
    overtaken = sum(
        execution.ended_at_ms is not None and execution.ended_at_ms >= execution.lease_until_ms
        for execution in world.executions
    )
    assert abandoned <= world.crashes + overtaken, "a run was abandoned while its process lived and held its lease"
    for row in standings:
        job = next(job for job in world.jobs if job.name == row.job)
        shard = Shard.parse(row.shard)
        mine = [run for run in runs if run.job == row.job and run.shard == row.shard]
        _check_settled(world, job, shard, row, mine)
        _check_each_due_time(world, job, shard, row, mine, executed)
        _check_late_alerts(world, job, shard, mine)


def _check_settled(world: World, job: Job, shard: Shard, row: Any, runs: list[Any]) -> None:
    """Nothing that is due is left, and the lock is free."""
    assert row.settled_until_ms >= job.latest_due(world.clock() - 5 * MINUTE_MS), f"{job.name} {shard} is behind"
    assert row.lock_token is None or row.lock_until_ms <= world.clock()
    assert [run for run in runs if run.outcome == Outcome.RUNNING] == []


def _check_each_due_time(
    world: World, job: Job, shard: Shard, row: Any, runs: list[Any], executed: Counter[tuple[tuple[str, Shard], int]]
) -> None:
    """No due time is missed; each happens once, or again after it failed or its run was abandoned."""
    first_ms = min((run.due_at_ms for run in runs), default=row.settled_until_ms)
    given_up = set(world.alerts.keys(AlertKind.JOB_FAILED))
    name = job.name if job.shards == 1 else f"{job.name} {shard}"
    began_in_order = [run.due_at_ms for run in runs if run.outcome != Outcome.COVERED]
    assert began_in_order == sorted(began_in_order), f"{name} ran out of order"
    for due_ms in job.due_between(first_ms - 1, row.settled_until_ms):
        here = [run for run in runs if run.due_at_ms == due_ms]
        assert here, f"{name} {due_ms} was missed"
        outcomes = [Outcome(run.outcome) for run in here]
        assert all(outcome in (Outcome.FAILED, Outcome.ABANDONED) for outcome in outcomes[:-1]), outcomes
        tried = [outcome for outcome in outcomes if outcome is not Outcome.COVERED]
        assert executed[(job.name, shard), due_ms] <= len(tried)
        assert outcomes.count(Outcome.SUCCEEDED) <= 1
        if job.catch_up is CatchUp.EACH:
            assert Outcome.COVERED not in outcomes
            assert len(tried) <= ATTEMPTS
            if outcomes[-1] is not Outcome.SUCCEEDED:
                assert len(tried) == ATTEMPTS, f"{name} {due_ms} was given up after {outcomes}"
                assert f"{name} {shown_time(due_ms)}" in given_up


def _check_late_alerts(world: World, job: Job, shard: Shard, runs: list[Any]) -> None:
    """A late due time is told once: each alert tells of one that no other told, and that had not begun in time."""
    told = alerted_until(world, job, shard)
    before_ms = 0
    for until_ms in sorted(set(told)):
        begun: dict[int, int] = {}
        for run in runs:
            begun.setdefault(run.due_at_ms, run.started_at_ms)
        late = []
        for due_ms in job.due_between(max(before_ms, until_ms - HOUR_MS), until_ms):
            # The run of a later due time stands for this one too, where the job says so.
            began_ms = min((at_ms for due, at_ms in begun.items() if due >= due_ms), default=world.clock())
            if began_ms > due_ms + job.late_after_s * 1000 - 1:
                late.append(due_ms)
        assert late, f"{job.name} {shard}: an alert for {until_ms}, and nothing was late"
        before_ms = until_ms
