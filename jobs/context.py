"""One run of a job, as its function sees it; the exceptions that end one; and the heartbeat that keeps its lock.

Ownership: a context belongs to the thread that calls the job's function. The heartbeat only renews the lock and sets
flags.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from jobs import state
from jobs.job import Job, Shard, shown_time
from jobs.limits import JobLimits

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)


class LockLost(Exception):
    """Another process runs this piece of the job, or may: the lock was taken over, or could not be renewed in time.

    The job's function lets it pass. Nothing of the run is recorded any more.
    """


class DeadlineExceeded(Exception):
    """The run took longer than its job allows. It counts as a failed one."""


class RunInterrupted(Exception):
    """The process stops. The due time is run again elsewhere, and the attempt does not count."""


class JobContext:
    """What a job's function works with.

    `due_at_ms` is what the run stands for, and `settled_until_ms` how far the job had come before it; the present is
    `now_ms()`. A function that goes through much calls `progress` often, and `fence` in each transaction of its own.
    """

    def __init__(
        self,
        services: Services,
        job: Job,
        run: state.Run,
        *,
        limits: JobLimits,
        clock: Callable[[], int],
        stopping: threading.Event,
        observe: Callable[[int, str], None],
    ) -> None:
        self.services = services
        self.job = job
        self.run = run
        self.shard: Shard = run.shard
        self.due_at_ms = run.due_at_ms
        self.settled_until_ms = run.settled_until_ms
        self.attempt = run.attempt
        self.now_ms = clock
        self.deadline_at_ms = run.started_at_ms + job.deadline_s * 1000
        self.rows = 0
        self._limits = limits
        self._stopping = stopping
        self._observe = observe
        self._lock_until_ms = run.started_at_ms + limits.lease_ms
        self._look_due_ms = run.started_at_ms + limits.progress_interval_ms
        self._is_lost = False

    def progress(self, rows: int, message: str = "") -> None:
        """Say how many rows were handled so far, and hear whether to go on.

        About once a second this looks at the lock and writes the rows. Raises `LockLost`, `DeadlineExceeded` or
        `RunInterrupted`, which the function lets pass.
        """
        self.rows = rows
        self._raise_if_over()
        self._observe(rows, message)
        now_ms = self.now_ms()
        if now_ms >= min(self._look_due_ms, self._lock_until_ms):
            self._look_due_ms = now_ms + self._limits.progress_interval_ms
            try:
                self.renew()
            except SQLAlchemyError as error:
                if now_ms >= self._lock_until_ms:
                    raise LockLost from error
                log.warning("progress was not written", extra={"job": self.job.name, "reason": type(error).__name__})
        self._raise_if_over()

    def fence(self, session: Session) -> None:
        """Hold the lock fast until the transaction of `session` ends: what it writes is written by the lock's holder.

        Raises `LockLost`, `DeadlineExceeded` or `RunInterrupted`; the transaction is then to be rolled back.
        """
        self._raise_if_over()
        if not state.holds(session, self.run):
            self._is_lost = True
            raise LockLost

    def renew(self) -> None:
        """Renew the lock unless the deadline is over. Raises SQLAlchemy's error when the app database is away."""
        now_ms = self.now_ms()
        if self._is_lost or now_ms >= self.deadline_at_ms:
            return
        until_ms = now_ms + self._limits.lease_ms
        if state.renew(self.services.engine, self.run, until_ms, self.rows):
            self._lock_until_ms = until_ms
        else:
            self._is_lost = True

    @property
    def lock_until_ms(self) -> int:
        """How long the lock is ours for certain, by what was last written."""
        return self._lock_until_ms

    @property
    def is_lost(self) -> bool:
        """Whether the lock was found to be somebody else's."""
        return self._is_lost

    def _raise_if_over(self) -> None:
        if self._is_lost:
            raise LockLost
        if self.now_ms() >= self.deadline_at_ms:
            raise DeadlineExceeded(f"it ran past its deadline of {self.job.deadline_s} s")
        if self._stopping.is_set():
            raise RunInterrupted


class Heartbeat:
    """Keeps a run's lock from a thread of its own, inside a `with`. At the deadline it says so once and ends."""

    def __init__(self, context: JobContext, interval_s: float, on_overdue: Callable[[], None]) -> None:
        self._context = context
        self._interval_s = interval_s
        self._on_overdue = on_overdue
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="job-heartbeat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        # A beat that waits for a database that is away is not waited for: it can only renew what is ours.
        self._thread.join(self._interval_s)

    def _live(self) -> None:
        context = self._context
        is_away = False
        while not self._ended.wait(min(self._interval_s, self._left_s())):
            if self._left_s() <= 0:
                log.error("a job runs past its deadline", extra=self._named())
                self._on_overdue()
                return
            try:
                context.renew()
                is_away = False
            except SQLAlchemyError as error:
                if not is_away:
                    extra = {**self._named(), "reason": type(error).__name__}
                    log.warning("a job's lock cannot be renewed", extra=extra)
                is_away = True
            if context.is_lost and not self._ended.is_set():
                log.error("a job's lock was taken over", extra=self._named())
                return

    def _left_s(self) -> float:
        return max(0.0, (self._context.deadline_at_ms - self._context.now_ms()) / 1000)

    def _named(self) -> dict[str, str]:
        run = self._context.run
        return {"job": run.job, "shard": str(run.shard), "due": shown_time(run.due_at_ms)}
