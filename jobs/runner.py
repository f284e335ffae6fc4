"""Finds what is due and runs it: on every worker at once, and in `footfall jobs run`.

One due time's life:

| step | what may happen to it |
|---|---|
| `tick` sees it due, unlocked and not waiting for a retry | another tick sees it too: both may try, one gets the lock |
| `state.claim` locks it and begins a run | the process dies: the lock runs out, the run is abandoned, it is run again |
| the job's function runs under a heartbeat | it fails, or runs past its deadline: tried again after a pause |
| `state.settle` records the end | the lock was lost meanwhile: nothing is recorded, whoever took it runs it again |

Invariants:
- due times are settled in order and none is left out; each has at most `Job.attempts` runs, those included whose
  process died; then it is settled as failed with an alert, so that one due time does not block the job for ever;
- a run happens again only after it failed, its process died, or its lock was lost;
- what an alert is raised for is written down afterwards: a crash raises it again, under the same key.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from jobs import metrics, state, watch
from jobs.context import Heartbeat, JobContext, LockLost, RunInterrupted
from jobs.job import CatchUp, Job, Shard, shown_time
from jobs.limits import JobLimits
from jobs.monitors import Monitors
from jobs.state import Outcome, Run, Standing
from server.clock import now_ms
from server.tasks.errors import described

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)

STOPPED = "its process stopped"


class UnknownJob(KeyError):
    """There is no job of this name. `str()` names those that there are."""

    def __init__(self, name: str, jobs: Sequence[Job]) -> None:
        known = ", ".join(sorted(job.name for job in jobs))
        super().__init__(f"there is no job {name!r}; known: {known}")

    def __str__(self) -> str:
        """Without the quotes that a KeyError puts around its text."""
        return str(self.args[0])


@dataclass(frozen=True)
class Piece:
    """A piece of a job."""

    job: Job
    shard: Shard


@dataclass(frozen=True)
class Result:
    """What became of a run, or of a due time that was given up without one.

    `is_settled`: the due time needs nothing more. `retry_at_ms`: when a failed one is tried again. `run_id` is 0 when
    nothing was run.
    """

    outcome: Outcome
    run_id: int
    due_at_ms: int
    attempt: int
    rows: int
    error: str
    is_settled: bool
    retry_at_ms: int = 0


class JobRunner:
    """Runs the jobs of one table. For any thread."""

    def __init__(
        self,
        services: Services,
        jobs: Sequence[Job],
        *,
        limits: JobLimits | None = None,
        clock: Callable[[], int] = now_ms,
        monitors: Monitors | None = None,
        pause: Callable[[float], object] = time.sleep,
        has_heartbeat: bool = True,
        observe: Callable[[int, str], None] = lambda rows, message: None,
    ) -> None:
        """`observe` is told of each progress; what it raises goes through the job's function.

        Without a heartbeat only `JobContext.progress` renews locks.
        """
        self.jobs = {job.name: job for job in jobs}
        self.stopping = threading.Event()
        self._services = services
        self._engine = services.engine
        self._limits = limits or JobLimits()
        self._clock = clock
        self._monitors = Monitors(services.settings) if monitors is None else monitors
        self._pause = pause
        self._has_heartbeat = has_heartbeat
        self._observe = observe

    def job(self, name: str) -> Job:
        """The job of this name. Raises `UnknownJob`."""
        try:
            return self.jobs[name]
        except KeyError:
            raise UnknownJob(name, list(self.jobs.values())) from None

    def tick(self) -> list[Piece]:
        """Register new jobs, raise alerts for late and overdue runs, and return what may be run now.

        Raises SQLAlchemy's error when the app database is away.
        """
        pieces = [Piece(job, shard) for job in self.jobs.values() for shard in job.pieces()]
        now_ms = self._clock()
        standings = state.read_standings(self._engine)
        waiting_ms = dict.fromkeys(self.jobs, 0)
        found = []
        for piece in pieces:
            job = piece.job
            seen = standings.get((job.name, piece.shard))
            if seen is None:
                state.register(self._engine, job.name, piece.shard, now_ms)
                continue
            watch.look_for_late(self._services, job, seen, now_ms)
            watch.look_for_overdue(self._services, job, seen, now_ms)
            waiting_ms[job.name] = max(waiting_ms[job.name], now_ms - job.due_after(seen.settled_until_ms))
            is_free = not seen.is_locked(now_ms) and seen.next_attempt_at_ms <= now_ms
            if is_free and due_now(job, seen, now_ms) is not None:
                found.append(piece)
        for name, waits_ms in waiting_ms.items():
            metrics.JOB_WAITING_S.labels(name).set(waits_ms / 1000)
        return found

    def standing(self, piece: Piece) -> Standing:
        """How far a piece has come; it is registered if need be. Raises SQLAlchemy's error."""
        seen = state.read_standing(self._engine, piece.job.name, piece.shard)
        if seen is None:
            state.register(self._engine, piece.job.name, piece.shard, self._clock())
            seen = state.read_standing(self._engine, piece.job.name, piece.shard)
        assert seen is not None, "rows of job_states are never deleted"
        return seen

    def run_next(self, piece: Piece) -> Result | None:
        """Run the next due time of a piece; None when none is due, it waits for a retry, or somebody runs it.

        Raises SQLAlchemy's error when the app database is away before the run began.
        """
        seen = self.standing(piece)
        now_ms = self._clock()
        due_ms = due_now(piece.job, seen, now_ms)
        if due_ms is None or seen.is_locked(now_ms) or seen.next_attempt_at_ms > now_ms:
            return None
        if seen.attempts >= piece.job.attempts:
            return self._give_up(piece, seen)
        run = state.claim(self._engine, seen, due_ms, now_ms, self._limits.lease_ms)
        return None if run is None else self._carry_out(piece, run)

    def run_at(self, piece: Piece, due_at_ms: int) -> Result | None:
        """Run a due time by hand, whatever its state; None while somebody runs the piece. Raises as `run_next`."""
        self.standing(piece)
        lease_ms = self._limits.lease_ms
        run = state.claim_manual(self._engine, piece.job.name, piece.shard, due_at_ms, self._clock(), lease_ms)
        return None if run is None else self._carry_out(piece, run)

    def catch_up(self, piece: Piece) -> list[Result]:
        """Run what is due of a piece, one due time after the other, for as long as a slice of time allows."""
        began_ms = self._clock()
        results: list[Result] = []
        while not self.stopping.is_set() and self._clock() - began_ms <= self._limits.slice_ms:
            result = self.run_next(piece)
            if result is None:
                break
            results.append(result)
            if not result.is_settled:
                break
        return results

    def _carry_out(self, piece: Piece, run: Run) -> Result:
        """Call the job's function and record what became of it."""
        job, began_s = piece.job, time.monotonic()
        context = JobContext(
            self._services,
            job,
            run,
            limits=self._limits,
            clock=self._clock,
            stopping=self.stopping,
            observe=self._observe,
        )
        ping = self._monitors.ping_of(job, run)
        try:
            with self._heartbeat(piece, context):
                ping.started()
                rows = job.function(context)
        except RunInterrupted:
            result = self._record_interrupted(run, context.rows)
        except LockLost:
            result = self._lost(run, context.rows)
        except Exception as error:  # whatever a job raises means: not done, try again
            result = self._record_failed(job, run, context.rows, error)
        else:
            result = self._record_succeeded(job, run, rows)
        if result.outcome is Outcome.SUCCEEDED:
            ping.succeeded(result.rows)
            metrics.JOB_SUCCEEDED_AT_S.labels(job.name).set(self._clock() / 1000)
        elif result.outcome is Outcome.FAILED and result.is_settled:
            ping.failed(result.error.partition(":")[0])
        seconds = time.monotonic() - began_s
        metrics.JOB_RUNS.labels(job.name, result.outcome).inc()
        metrics.JOB_DURATION_S.labels(job.name).observe(seconds)
        extra = {**named_run(run), "outcome": result.outcome, "rows": result.rows, "seconds": round(seconds, 2)}
        log.info("a job has run", extra=extra)
        return result

    def _heartbeat(self, piece: Piece, context: JobContext) -> AbstractContextManager[None]:
        if not self._has_heartbeat:
            return nullcontext()
        run = context.run

        def on_overdue() -> None:
            try:
                watch.raise_overdue(self._services, piece.job, piece.shard, run.run_id, run.due_at_ms)
            except SQLAlchemyError as error:
                # The next tick of any worker sees it too.
                log.warning("an alert was not noted", extra={**named_run(run), "reason": type(error).__name__})

        return Heartbeat(context, self._limits.heartbeat_interval_s, on_overdue)

    def _record_succeeded(self, job: Job, run: Run, rows: int) -> Result:
        covered = self._covered(job, run.settled_until_ms, run.due_at_ms) if not run.is_manual else []

        def write(at_ms: int) -> bool:
            return state.settle(self._engine, run, Outcome.SUCCEEDED, rows, "", at_ms, covered)

        return self._record(run, _result(run, Outcome.SUCCEEDED, rows, "", is_settled=True), write)

    def _record_failed(self, job: Job, run: Run, rows: int, error: Exception) -> Result:
        log.error("a job failed", extra={**named_run(run), **described(error)})
        # The text may name people: it stays in the app database.
        kind = type(error).__name__
        reason = f"{kind}: {(str(error).splitlines() or [''])[0]}"
        if run.attempt < job.attempts and not run.is_manual:
            retry_at_ms = self._clock() + self._limits.retry_ms(run.attempt)

            def put_off(at_ms: int) -> bool:
                return state.put_off(self._engine, run, rows, reason, at_ms, retry_at_ms)

            failed = _result(run, Outcome.FAILED, rows, reason, is_settled=False, retry_at_ms=retry_at_ms)
            return self._record(run, failed, put_off)
        covered: list[int] = []
        if not run.is_manual:
            watch.raise_failed(self._services, job, run.shard, run.due_at_ms, run.attempt, kind)
            covered = self._covered(job, run.settled_until_ms, run.due_at_ms)

        def settle(at_ms: int) -> bool:
            return state.settle(self._engine, run, Outcome.FAILED, rows, reason, at_ms, covered)

        return self._record(run, _result(run, Outcome.FAILED, rows, reason, is_settled=True), settle)

    def _record_interrupted(self, run: Run, rows: int) -> Result:
        def write(at_ms: int) -> bool:
            return state.release(self._engine, run, rows, STOPPED, at_ms)

        return self._record(run, _result(run, Outcome.ABANDONED, rows, STOPPED, is_settled=False), write)

    def _record(self, run: Run, result: Result, write: Callable[[int], bool]) -> Result:
        """Write the end of a run down, however often that takes within bounds."""
        for attempt in range(self._limits.record_attempts):
            if attempt:
                self._pause(self._limits.record_pause_s)
            try:
                return result if write(self._clock()) else self._lost(run, result.rows)
            except SQLAlchemyError as error:
                reason = type(error).__name__
        log.error("the end of a job's run could not be recorded", extra={**named_run(run), "reason": reason})
        return _result(run, Outcome.ABANDONED, result.rows, "its end could not be recorded", is_settled=False)

    def _lost(self, run: Run, rows: int) -> Result:
        """Nothing is recorded any more: whoever has the lock called this run abandoned."""
        log.error("a job's run has lost its lock", extra=named_run(run))
        return _result(run, Outcome.ABANDONED, rows, "its lock was taken over", is_settled=False)

    def _give_up(self, piece: Piece, seen: Standing) -> Result | None:
        """No attempt is left, and the last one's process died. Later due times have attempts of their own."""
        job, shard = piece.job, piece.shard
        # The history may have been deleted meanwhile.
        due_ms = state.last_started_due(self._engine, seen) or job.due_after(seen.settled_until_ms)
        watch.raise_failed(self._services, job, shard, due_ms, seen.attempts, state.DIED)
        covered = self._covered(job, seen.settled_until_ms, due_ms)
        if not state.give_up(self._engine, seen, due_ms, self._clock(), covered):
            return None
        log.error("a job is given up", extra={"job": job.name, "shard": str(shard), "due": shown_time(due_ms)})
        return Result(Outcome.FAILED, 0, due_ms, seen.attempts, 0, state.DIED, is_settled=True)

    def _covered(self, job: Job, settled_until_ms: int, due_ms: int) -> list[int]:
        """The due times that one run stands for, besides its own; at most the newest so many."""
        if job.catch_up is CatchUp.EACH:
            return []
        return list(deque(job.due_between(settled_until_ms, due_ms - 1), maxlen=self._limits.covered_rows))


def due_now(job: Job, seen: Standing, now_ms: int) -> int | None:
    """The due time to be run next, if it has come: the first unsettled one, or the latest that stands for all."""
    first_ms = job.due_after(seen.settled_until_ms)
    if first_ms > now_ms:
        return None
    return first_ms if job.catch_up is CatchUp.EACH else job.latest_due(now_ms)


def named_run(run: Run) -> dict[str, object]:
    """What a log line says of a run."""
    due = shown_time(run.due_at_ms)
    return {"job": run.job, "shard": str(run.shard), "due": due, "attempt": run.attempt, "run_id": run.run_id}


def _result(run: Run, outcome: Outcome, rows: int, error: str, *, is_settled: bool, retry_at_ms: int = 0) -> Result:
    return Result(outcome, run.run_id, run.due_at_ms, run.attempt, rows, error, is_settled, retry_at_ms)
