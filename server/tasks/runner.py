"""Carries out one task: takes its row, calls its function, records what became of it.

| the function | recorded |
|---|---|
| returns | succeeded, with its last progress |
| raises `TaskFailed` | failed at once, with its reason |
| raises anything else | queued again after a delay; failed after the kind's last attempt |
| raises `TaskCancelled` | cancelled |
| raises `WorkerStopping` | queued again at once; the attempt does not count |
| raises `LeaseLost` | nothing: another worker has the task |

A task that was lost with its worker counts as one attempt, so one that kills its worker each time fails in the end.
Each final failure raises an alert, unless its kind says otherwise.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from server.retry import Backoff
from server.tasks import metrics, rows
from server.tasks.errors import described
from server.tasks.kinds import TaskKind, known_kind
from server.tasks.leases import LeaseKeeper
from server.tasks.limits import TaskLimits
from server.tasks.rows import TaskState
from server.tasks.run import LeaseLost, TaskCancelled, TaskFailed, TaskRun, WorkerStopping

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)

LOST_REASON = "lost with its worker"
CANCELLED_REASON = "cancelled"


class Outcome(StrEnum):
    """What became of an attempt; a metric's label."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RETRIED = "retried"
    CANCELLED = "cancelled"
    STOPPED = "stopped"
    LEASE_LOST = "lease_lost"
    UNRECORDED = "unrecorded"
    """The app database was away: the task is done again when its lease is over."""


@dataclass(frozen=True)
class _Ending:
    """What the function's end means, before it is recorded."""

    outcome: Outcome
    reason: str = ""


class Runner:
    """Runs tasks, one call per task and thread. Never raises for a store that is away or a task that fails."""

    def __init__(
        self,
        engine: Engine,
        services: Services,
        leases: LeaseKeeper,
        *,
        limits: TaskLimits,
        now_ms: Callable[[], int],
        draw: Callable[[float, float], float] = random.uniform,
        pause: Callable[[float], object] = time.sleep,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`on_error` is told of every error that is not a `TaskFailed`, for an error tracker."""
        self._engine = engine
        self._services = services
        self._leases = leases
        self._limits = limits
        self._now_ms = now_ms
        self._draw = draw
        self._pause = pause
        self._on_error = on_error

    def run(self, task_id: int) -> Outcome | None:
        """Carry the task out if there is something to do; None when there is not. Raises SQLAlchemy's error when the
        task could not even be taken.
        """
        claimed = rows.claim(self._engine, task_id, self._now_ms(), self._limits.lease_ms)
        if claimed is None:
            return None
        kind = known_kind(claimed.kind)
        run = TaskRun(self._engine, claimed, kind, self._services, self._limits, self._now_ms)
        self._leases.hold(run)
        try:
            with metrics.TASK_DURATION_S.labels(kind.name).time():
                ending = self._call(kind, run)
            outcome = self._record(kind, run, ending)
        finally:
            self._leases.release(run)
        metrics.TASKS_DONE.labels(kind.name, outcome).inc()
        if outcome is Outcome.LEASE_LOST:
            metrics.LEASES_LOST.inc()
        if outcome is Outcome.FAILED:
            # The reason is for whoever the task belongs to: it is in the row.
            log.error("a task failed for good", extra={"task_id": task_id, "kind": kind.name, "attempt": run.attempt})
            if kind.alerts:
                self._alert(kind, run, ending.reason)
        return outcome

    def _call(self, kind: TaskKind, run: TaskRun) -> _Ending:
        if run.claimed.cancel_requested:
            return _Ending(Outcome.CANCELLED, CANCELLED_REASON)
        if run.attempt > kind.attempts:
            return _Ending(Outcome.FAILED, LOST_REASON)
        try:
            kind.function(run, **run.claimed.arguments)
        except LeaseLost:
            return _Ending(Outcome.LEASE_LOST)
        except TaskCancelled:
            return _Ending(Outcome.CANCELLED, CANCELLED_REASON)
        except WorkerStopping:
            return _Ending(Outcome.STOPPED)
        except TaskFailed as error:
            return _Ending(Outcome.FAILED, str(error))
        except Exception as error:  # whatever a function raises means: not done, try again
            extra = {"task_id": run.task_id, "kind": run.kind, "attempt": run.attempt, **described(error)}
            log.warning("a task failed", extra=extra)
            self._report(error)
            outcome = Outcome.FAILED if run.is_last_attempt else Outcome.RETRIED
            return _Ending(outcome, type(error).__name__)
        return _Ending(Outcome.SUCCEEDED)

    def _report(self, error: BaseException) -> None:
        if self._on_error is None:
            return
        try:
            self._on_error(error)
        except Exception:  # an error tracker's trouble is none of the task's
            log.exception("an error could not be reported")

    def _record(self, kind: TaskKind, run: TaskRun, ending: _Ending) -> Outcome:
        """Write the end down, however often that takes within bounds; what was written."""
        if ending.outcome is Outcome.LEASE_LOST:
            return Outcome.LEASE_LOST
        for attempt in range(self._limits.record_attempts):
            if attempt:
                self._pause(self._limits.record_pause_s)
            try:
                return self._write(kind, run, ending)
            except SQLAlchemyError as error:
                last = error
        extra = {"task_id": run.task_id, "kind": run.kind, "outcome": ending.outcome, "reason": type(last).__name__}
        log.error("the end of a task could not be recorded; it will be done again", extra=extra)
        return Outcome.UNRECORDED

    def _write(self, kind: TaskKind, run: TaskRun, ending: _Ending) -> Outcome:
        now_ms, claimed, reason = self._now_ms(), run.claimed, ending.reason
        match ending.outcome:
            case Outcome.RETRIED | Outcome.STOPPED:
                counts = ending.outcome is Outcome.RETRIED
                due_ms = now_ms + (self._delay_ms(kind, run.attempt) if counts else 0)
                state = rows.put_back(self._engine, claimed, due_ms, now_ms, reason=reason, counts=counts)
                if state is None:
                    return Outcome.LEASE_LOST
                return Outcome.CANCELLED if state is TaskState.CANCELLED else ending.outcome
            case Outcome.SUCCEEDED:
                state, progress = TaskState.SUCCEEDED, run.last_progress
            case Outcome.CANCELLED:
                state, progress = TaskState.CANCELLED, None
            case _:
                state, progress = TaskState.FAILED, None
        # The claim after the last attempt was lost counted one too many.
        attempts = min(run.attempt, kind.attempts)
        is_ours = rows.finish(self._engine, claimed, state, now_ms, attempts=attempts, progress=progress, reason=reason)
        return ending.outcome if is_ours else Outcome.LEASE_LOST

    def _delay_ms(self, kind: TaskKind, attempt: int) -> int:
        backoff = Backoff(kind.first_delay_s, kind.longest_delay_s, draw=self._draw, failures=attempt - 1)
        return int(backoff.next_s() * 1000)

    def _alert(self, kind: TaskKind, run: TaskRun, reason: str) -> None:
        # Imported here: alerts are delivered by tasks, so their package imports this one.
        from server.alerts import AlertKind

        summary = f"task {kind.name} failed for good"
        attempts = min(run.attempt, kind.attempts)
        detail = f"task {run.task_id} after {attempts} of {kind.attempts} attempts: {reason}"
        self._services.alerts.raise_alert(AlertKind.TASK_FAILED, kind.name, summary, detail)
