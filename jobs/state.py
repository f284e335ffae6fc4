"""The rows of `job_states` and `job_runs`, and how they change. Every change is one transaction, decided by one
conditional statement, the same on both stores.

| change | when | statement |
|---|---|---|
| register | a tick meets a job for the first time: everything before now is settled | `register` |
| claim | due, unlocked, not waiting for a retry: a new lock, attempts + 1, a run | `claim` |
| claim by hand | unlocked | `claim_manual` |
| renew | our lock | `renew` |
| settle | our lock, the run succeeded or failed for the last time | `settle` |
| retry | our lock, the run failed | `put_off` |
| release | our lock, the process stops: the attempt does not count | `release` |
| give up | unlocked, and so many processes died of it that no attempt is left | `give_up` |

The lock is a lease with a random token. It is free once `lock_until_ms` is over, whatever became of its holder, and who
takes it marks the holder's run as abandoned. Whoever lost it changes nothing: each statement of a holder names its
token. A claim also names all that it was decided by (`Standing`), so of two that decided by the same row one gets it.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, func, insert, select, update
from sqlalchemy.orm import Session

from jobs.job import Shard
from server.app_database import inserting, reading, writing
from server.models import JobRun, JobState

# The widths of columns.
MAX_ERROR_CHARS = 500
MAX_TOKEN_CHARS = 32

# Of a token, the part that no two runs share; the rest says who holds the lock.
_RANDOM_BYTES = 5

DIED = "its process died"
OVERDUE = "past its deadline"
"""What `error` says of a run that is over its deadline and still runs; also that an alert was raised for it."""


class Outcome(StrEnum):
    """What became of a run."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """Its process died, or stopped, before the job ended."""
    COVERED = "covered"
    """Not run: a later run stood for this due time."""


@dataclass(frozen=True)
class Standing:
    """How far a piece of a job had come when it was read.

    `late_alerted_due_ms`: late due times up to this one have had their alert. Negative while somebody is raising it.
    """

    job: str
    shard: Shard
    settled_until_ms: int
    lock_token: str | None
    lock_until_ms: int
    attempts: int
    next_attempt_at_ms: int
    late_alerted_due_ms: int

    def is_locked(self, now_ms: int) -> bool:
        """Whether somebody runs it."""
        return self.lock_until_ms > now_ms


@dataclass(frozen=True)
class Run:
    """A run that this process holds the lock of. `settled_until_ms` is how far the job had come before it."""

    run_id: int
    job: str
    shard: Shard
    due_at_ms: int
    is_manual: bool
    attempt: int
    token: str
    started_at_ms: int
    settled_until_ms: int


def new_token() -> str:
    """A lock's token: the machine, the process, and 40 random bits. Fits its column."""
    random = secrets.token_hex(_RANDOM_BYTES)
    process = str(os.getpid())
    # Of a pod's name the end is what tells it from others.
    room = MAX_TOKEN_CHARS - len(random) - len(process) - 2
    return f"{socket.gethostname().replace(':', '-')[-room:]}:{process}:{random}"


def holder_of(token: str) -> str:
    """Who made a token: machine and process."""
    return token.rpartition(":")[0]


def register(engine: Engine, job: str, shard: Shard, now_ms: int) -> None:
    """Make the row if there is none: a job that is new is due from now on, not for the time before."""
    with writing(engine) as session:
        row = inserting(session, JobState).values(job=job, shard=str(shard), settled_until_ms=now_ms)
        session.execute(row.on_conflict_do_nothing())


def read_standings(engine: Engine) -> dict[tuple[str, Shard], Standing]:
    """How far every piece of every registered job has come."""
    with reading(engine) as session:
        rows = session.execute(select(JobState)).scalars().all()
    standings = [_standing(row) for row in rows]
    return {(standing.job, standing.shard): standing for standing in standings}


def read_standing(engine: Engine, job: str, shard: Shard) -> Standing | None:
    """How far a piece has come; None when it is not registered."""
    with reading(engine) as session:
        row = session.get(JobState, (job, str(shard)))
        return None if row is None else _standing(row)


def claim(engine: Engine, seen: Standing, due_at_ms: int, now_ms: int, lease_ms: int) -> Run | None:
    """Lock a piece and begin a run of this due time. None when anything has changed since it was read."""
    token = new_token()
    taken = {"lock_token": token, "lock_until_ms": now_ms + lease_ms, "attempts": JobState.attempts + 1}
    with writing(engine) as session:
        attempt = _change_unlocked(session, seen, now_ms, taken)
        if attempt is None:
            return None
        return _begin(session, seen, due_at_ms, now_ms, token, attempt=attempt, is_manual=False)


def claim_manual(engine: Engine, job: str, shard: Shard, due_at_ms: int, now_ms: int, lease_ms: int) -> Run | None:
    """Lock a registered piece and begin a run by hand, whatever is due. None while somebody holds the lock."""
    token = new_token()
    with writing(engine) as session:
        # Locked first: what is read of the row afterwards is what the lock was taken from.
        row = session.get(JobState, (job, str(shard)), with_for_update=True)
        if row is None or row.lock_until_ms > now_ms:
            return None
        seen = _standing(row)
        taken = {"lock_token": token, "lock_until_ms": now_ms + lease_ms}
        _change_unlocked(session, seen, now_ms, taken)
        return _begin(session, seen, due_at_ms, now_ms, token, attempt=1, is_manual=True)


def renew(engine: Engine, run: Run, until_ms: int, rows: int) -> bool:
    """Keep the lock until then, and write how many rows were handled so far. False when the lock is lost."""
    with writing(engine) as session:
        if not _change_held(session, run, {"lock_until_ms": until_ms}):
            return False
        session.execute(_of_run(run.run_id).values(rows=rows))
        return True


def holds(session: Session, run: Run) -> bool:
    """Whether the lock is ours, and stays so until the caller's transaction ends."""
    held = select(JobState.job).where(*_held_by(run)).with_for_update(read=True)
    return session.execute(held).scalar() is not None


def settle(
    engine: Engine, run: Run, outcome: Outcome, rows: int, error: str, now_ms: int, covered: Sequence[int] = ()
) -> bool:
    """Record a run's end; its due time, and those it covers, need nothing more. False when the lock was lost.

    A run by hand changes nothing about what is due.
    """
    done = {"settled_until_ms": run.due_at_ms, "attempts": 0, "next_attempt_at_ms": 0}
    with writing(engine) as session:
        is_ours = _end(session, run, {} if run.is_manual else done, outcome, rows, error, now_ms)
        if is_ours and covered:
            _add_covered(session, run.job, run.shard, covered, run.token, now_ms)
        return is_ours


def put_off(engine: Engine, run: Run, rows: int, error: str, now_ms: int, next_attempt_at_ms: int) -> bool:
    """Record a failed run that will be tried again. False when the lock was lost."""
    with writing(engine) as session:
        return _end(session, run, {"next_attempt_at_ms": next_attempt_at_ms}, Outcome.FAILED, rows, error, now_ms)


def release(engine: Engine, run: Run, rows: int, error: str, now_ms: int) -> bool:
    """Record a run that its process stopped: the attempt does not count. False when the lock was lost."""
    uncounted = {} if run.is_manual else {"attempts": JobState.attempts - 1}
    with writing(engine) as session:
        return _end(session, run, uncounted, Outcome.ABANDONED, rows, error, now_ms)


def give_up(engine: Engine, seen: Standing, due_at_ms: int, now_ms: int, covered: Sequence[int] = ()) -> bool:
    """Settle a due time whose processes all died. False when anything has changed since it was read."""
    settled = {"settled_until_ms": due_at_ms, "attempts": 0, "next_attempt_at_ms": 0}
    with writing(engine) as session:
        if _change_unlocked(session, seen, now_ms, {**settled, "lock_token": None}) is None:
            return False
        _abandon_earlier(session, seen, now_ms)
        if covered:
            _add_covered(session, seen.job, seen.shard, covered, "", now_ms)
        return True


def last_started_due(engine: Engine, seen: Standing) -> int:
    """The latest due time beyond the settled ones that a run was begun for; 0 when there is none."""
    begun = select(func.max(JobRun.due_at_ms)).where(
        JobRun.job == seen.job,
        JobRun.shard == str(seen.shard),
        # No run begins before its due time, so the index on (job, started_at_ms) finds all of them.
        JobRun.started_at_ms >= seen.settled_until_ms,
        JobRun.due_at_ms > seen.settled_until_ms,
        JobRun.is_manual.is_(False),
    )
    with reading(engine) as session:
        return session.execute(begun).scalar() or 0


def begin_late_alert(engine: Engine, seen: Standing, until_due_ms: int) -> bool:
    """Set out to raise the alert for all late due times up to this one. False when somebody else has."""
    return _change_late(engine, seen.job, seen.shard, seen.late_alerted_due_ms, -until_due_ms)


def end_late_alert(engine: Engine, job: str, shard: Shard, until_due_ms: int) -> None:
    """The alert was raised."""
    _change_late(engine, job, shard, -until_due_ms, until_due_ms)


def held_run(engine: Engine, seen: Standing) -> JobRun | None:
    """The run that the lock was taken for, if it has not ended."""
    held = (
        select(JobRun)
        .where(JobRun.job == seen.job, JobRun.lock_token == seen.lock_token, JobRun.outcome == Outcome.RUNNING)
        .order_by(JobRun.started_at_ms.desc())
        .limit(1)
    )
    with reading(engine) as session:
        return session.execute(held).scalar()


def mark_overdue(engine: Engine, run_id: int) -> None:
    """An alert was raised because this run is past its deadline."""
    with writing(engine) as session:
        session.execute(_of_run(run_id).where(JobRun.outcome == Outcome.RUNNING).values(error=OVERDUE))


def latest_runs(engine: Engine, job: str, limit: int) -> list[JobRun]:
    """A job's runs, the newest first."""
    newest = select(JobRun).where(JobRun.job == job).order_by(JobRun.started_at_ms.desc(), JobRun.run_id.desc())
    with reading(engine) as session:
        return list(session.execute(newest.limit(limit)).scalars())


def last_run(engine: Engine, job: str, shard: Shard) -> JobRun | None:
    """The run of a piece that was begun last; due times that another run covered are none."""
    newest = (
        select(JobRun)
        .where(JobRun.job == job, JobRun.shard == str(shard), JobRun.outcome != Outcome.COVERED)
        .order_by(JobRun.started_at_ms.desc(), JobRun.run_id.desc())
        .limit(1)
    )
    with reading(engine) as session:
        return session.execute(newest).scalar()


def _standing(row: JobState) -> Standing:
    return Standing(
        job=row.job,
        shard=Shard.parse(row.shard),
        settled_until_ms=row.settled_until_ms,
        lock_token=row.lock_token,
        lock_until_ms=row.lock_until_ms,
        attempts=row.attempts,
        next_attempt_at_ms=row.next_attempt_at_ms,
        late_alerted_due_ms=row.late_alerted_due_ms,
    )


def _change_unlocked(session: Session, seen: Standing, now_ms: int, values: dict[str, Any]) -> int | None:
    """Change a row that nobody has locked or changed since it was read; the attempts it has now, or None."""
    changed = (
        update(JobState)
        .where(
            JobState.job == seen.job,
            JobState.shard == str(seen.shard),
            JobState.lock_until_ms <= now_ms,
            JobState.lock_token.is_not_distinct_from(seen.lock_token),
            JobState.settled_until_ms == seen.settled_until_ms,
            JobState.attempts == seen.attempts,
            JobState.next_attempt_at_ms == seen.next_attempt_at_ms,
        )
        .values(**values)
        .returning(JobState.attempts)
        .execution_options(synchronize_session=False)
    )
    return session.execute(changed).scalar()


def _change_late(engine: Engine, job: str, shard: Shard, seen_ms: int, value_ms: int) -> bool:
    changed = (
        update(JobState)
        .where(JobState.job == job, JobState.shard == str(shard), JobState.late_alerted_due_ms == seen_ms)
        .values(late_alerted_due_ms=value_ms)
        .returning(JobState.job)
        .execution_options(synchronize_session=False)
    )
    with writing(engine) as session:
        return session.execute(changed).scalar() is not None


def _held_by(run: Run) -> tuple[Any, ...]:
    return (JobState.job == run.job, JobState.shard == str(run.shard), JobState.lock_token == run.token)


def _change_held(session: Session, run: Run, values: dict[str, Any]) -> bool:
    changed = update(JobState).where(*_held_by(run)).values(**values).returning(JobState.job)
    return session.execute(changed.execution_options(synchronize_session=False)).scalar() is not None


def _of_run(run_id: int) -> Any:
    return update(JobRun).where(JobRun.run_id == run_id).execution_options(synchronize_session=False)


def _begin(
    session: Session, seen: Standing, due_at_ms: int, now_ms: int, token: str, *, attempt: int, is_manual: bool
) -> Run:
    _abandon_earlier(session, seen, now_ms)
    begun = insert(JobRun).values(
        job=seen.job,
        shard=str(seen.shard),
        due_at_ms=due_at_ms,
        is_manual=is_manual,
        attempt=attempt,
        lock_token=token,
        started_at_ms=now_ms,
    )
    run_id = session.execute(begun.returning(JobRun.run_id)).scalar_one()
    return Run(
        run_id=run_id,
        job=seen.job,
        shard=seen.shard,
        due_at_ms=due_at_ms,
        is_manual=is_manual,
        attempt=attempt,
        token=token,
        started_at_ms=now_ms,
        settled_until_ms=seen.settled_until_ms,
    )


def _abandon_earlier(session: Session, seen: Standing, now_ms: int) -> None:
    """The lock's last holder did not give it back: its run has no end but this."""
    if seen.lock_token is None:
        return
    session.execute(
        update(JobRun)
        .where(JobRun.job == seen.job, JobRun.lock_token == seen.lock_token, JobRun.outcome == Outcome.RUNNING)
        .values(
            outcome=Outcome.ABANDONED,
            ended_at_ms=now_ms,
            error=func.coalesce(func.nullif(JobRun.error, ""), DIED),
        )
        .execution_options(synchronize_session=False)
    )


def _end(
    session: Session,
    run: Run,
    values: dict[str, Any],
    outcome: Outcome,
    rows: int,
    error: str,
    now_ms: int,
) -> bool:
    """Give the lock back and write the run's end. False when the lock was lost."""
    if not _change_held(session, run, {**values, "lock_token": None, "lock_until_ms": 0}):
        # An earlier try may have been committed although its answer was lost.
        recorded = session.execute(select(JobRun.outcome).where(JobRun.run_id == run.run_id)).scalar()
        return recorded == outcome
    # PostgreSQL takes no NUL in a text.
    text = error.replace("\0", "")[:MAX_ERROR_CHARS]
    session.execute(_of_run(run.run_id).values(outcome=outcome, rows=rows, error=text, ended_at_ms=now_ms))
    return True


def _add_covered(session: Session, job: str, shard: Shard, dues_ms: Sequence[int], token: str, now_ms: int) -> None:
    line = {"job": job, "shard": str(shard), "attempt": 0, "lock_token": token, "outcome": Outcome.COVERED}
    times = {"started_at_ms": now_ms, "ended_at_ms": now_ms}
    session.execute(insert(JobRun), [{**line, **times, "due_at_ms": due_ms} for due_ms in dues_ms])
