"""The rows of `tasks` and how they change. Every change is one conditional statement, the same on both stores.

| from | to | when | statement |
|---|---|---|---|
| – | queued | somebody enqueues | `add` |
| queued, due | running | a worker takes it: attempts + 1, a new lease | `claim` |
| running, lease over | running | its worker was lost; another takes it: attempts + 1, a new lease | `claim` |
| running, our lease | running | heartbeat, progress | `renew`, `save_progress` |
| running, our lease | succeeded, failed, cancelled | the attempt ended | `finish` |
| running, our lease | queued, due later | it will be tried again | `put_back` |
| queued | cancelled | somebody cancels | `cancel` |
| queued, failed, cancelled | queued, due now | staff want it tried now | `try_again` |

A lease is a random token. Whoever lost it changes nothing: each statement of a worker names the token. So an attempt's
end is recorded once, by whoever holds the lease.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, and_, case, delete, func, or_, select, update
from sqlalchemy.orm import Session

from server.app_database import inserting, reading, writing
from server.models import Task
from server.tasks.errors import described
from server.tasks.kinds import JSON, KINDS, GivenUp

log = logging.getLogger(__name__)

# The width of the column.
MAX_MESSAGE_CHARS = 500

# An earlier task with the same key may end between the two statements of `add`: then it is simply tried again.
ADD_ATTEMPTS = 10

PURGE_STEP_ROWS = 500
"""Rows deleted in one transaction, so that others wait for it only briefly."""


class TaskState(StrEnum):
    """What a task's row says."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = (TaskState.QUEUED, TaskState.RUNNING)


class UniqueKeyContested(Exception):
    """Tasks with the same key came and ended faster than one could be added. Nothing was queued; try again."""


@dataclass(frozen=True)
class Claimed:
    """A task that this worker holds: its row at the beginning of the attempt."""

    task_id: int
    kind: str
    arguments: dict[str, Any]
    account_id: int | None
    attempts: int
    checkpoint: dict[str, Any]
    cancel_requested: bool
    token: str
    lease_until_ms: int


@dataclass(frozen=True)
class Progress:
    """How far an attempt has come, as pages show it."""

    done: int
    total: int | None
    message: str


@dataclass(frozen=True)
class QueueFigures:
    """How many tasks wait, retries included, and since when the oldest due one has been due (0 when none is)."""

    queued: int
    oldest_due_ms: int


def add(
    session: Session,
    kind: str,
    arguments: Mapping[str, JSON],
    *,
    account_id: int | None,
    run_at_ms: int,
    unique_key: str | None,
    now_ms: int,
) -> tuple[int, bool]:
    """Add a row; its number, and whether it is new. With a key that an unfinished task has, that one's number.

    Raises `UniqueKeyContested`.
    """
    # What the new row refers to must be there first.
    session.flush()
    statement = inserting(session, Task).values(
        kind=kind,
        arguments=arguments,
        account_id=account_id,
        unique_key=unique_key,
        run_at_ms=run_at_ms,
        created_at_ms=now_ms,
    )
    for _ in range(ADD_ATTEMPTS):
        # PostgreSQL waits here for an uncommitted row with the same key; afterwards a new statement sees it.
        added = session.execute(
            statement.on_conflict_do_nothing(index_elements=[Task.unique_key]).returning(Task.task_id)
        ).scalar()
        if added is not None:
            return added, True
        present = session.execute(select(Task.task_id).where(Task.unique_key == unique_key)).scalar()
        if present is not None:
            return present, False
    raise UniqueKeyContested(f"no task could be added under the key of {kind!r}")


def claim(engine: Engine, task_id: int, now_ms: int, lease_ms: int) -> Claimed | None:
    """Take a task that is due, or whose lease ran out, and whose kind is known here. None: there is nothing to take."""
    token = secrets.token_hex(16)
    is_due = and_(Task.state == TaskState.QUEUED, Task.run_at_ms <= now_ms)
    is_lost = and_(Task.state == TaskState.RUNNING, Task.lease_until_ms <= now_ms)
    statement = (
        update(Task)
        .where(Task.task_id == task_id, or_(is_due, is_lost), Task.kind.in_(list(KINDS)))
        .values(
            state=TaskState.RUNNING,
            attempts=Task.attempts + 1,
            lease_token=token,
            lease_until_ms=now_ms + lease_ms,
            started_at_ms=func.coalesce(Task.started_at_ms, now_ms),
        )
        .returning(Task.kind, Task.arguments, Task.account_id, Task.attempts, Task.checkpoint, Task.cancel_requested)
        .execution_options(synchronize_session=False)
    )
    with writing(engine) as session:
        row = session.execute(statement).one_or_none()
    if row is None:
        return None
    kind, arguments, account_id, attempts, checkpoint, cancel_requested = row
    return Claimed(
        task_id=task_id,
        kind=kind,
        arguments=arguments,
        account_id=account_id,
        attempts=attempts,
        checkpoint=checkpoint,
        cancel_requested=cancel_requested,
        token=token,
        lease_until_ms=now_ms + lease_ms,
    )


def renew(engine: Engine, tokens: Collection[str], until_ms: int) -> dict[str, bool]:
    """Renew leases. Of those that are still ours: the token, and whether the task is to be cancelled."""
    statement = (
        update(Task)
        .where(Task.state == TaskState.RUNNING, Task.lease_token.in_(list(tokens)))
        .values(lease_until_ms=until_ms)
        .returning(Task.lease_token, Task.cancel_requested)
        .execution_options(synchronize_session=False)
    )
    with writing(engine) as session:
        return {token: cancel for token, cancel in session.execute(statement) if token is not None}


def save_progress(
    engine: Engine, claimed: Claimed, progress: Progress, checkpoint: Mapping[str, Any], until_ms: int
) -> bool | None:
    """Write progress and renew the lease: whether the task is to be cancelled; None when the lease is lost."""
    statement = (
        _held(claimed)
        .values(lease_until_ms=until_ms, checkpoint=checkpoint, **_shown(progress))
        .returning(Task.cancel_requested)
        .execution_options(synchronize_session=False)
    )
    with writing(engine) as session:
        return session.execute(statement).scalar()


def finish(
    engine: Engine,
    claimed: Claimed,
    state: TaskState,
    now_ms: int,
    *,
    attempts: int,
    progress: Progress | None = None,
    reason: str = "",
) -> bool:
    """Record the end of a task. False when the lease was lost: then nothing is recorded.

    `progress` of a success is kept; a failure keeps its reason instead.
    """
    values: dict[str, Any] = {"state": state, "lease_token": None, "lease_until_ms": None, "unique_key": None}
    values |= {"ended_at_ms": now_ms, "attempts": attempts, "message": _fit(reason)}
    if progress is not None:
        values |= _shown(progress)
    statement = _held(claimed).values(**values).returning(Task.task_id).execution_options(synchronize_session=False)
    with writing(engine) as session:
        is_ours = session.execute(statement).scalar() is not None
        if is_ours and state is not TaskState.SUCCEEDED:
            _give_up(session, claimed.kind, GivenUp(claimed.task_id, claimed.arguments, reason, now_ms))
    return is_ours


def put_back(
    engine: Engine, claimed: Claimed, run_at_ms: int, now_ms: int, *, reason: str, counts: bool
) -> TaskState | None:
    """Queue a task again, for `run_at_ms`; cancel it instead if somebody asked for that. The state it has now.

    `counts`: whether this attempt counts. None when the lease was lost: then nothing is recorded.
    """
    is_over = Task.cancel_requested
    values: dict[str, Any] = {
        "state": case((is_over, TaskState.CANCELLED.value), else_=TaskState.QUEUED.value),
        "unique_key": case((is_over, None), else_=Task.unique_key),
        "ended_at_ms": case((is_over, now_ms), else_=None),
        "run_at_ms": run_at_ms,
        "lease_token": None,
        "lease_until_ms": None,
    }
    if counts:
        values["message"] = _fit(reason)
    else:
        values["attempts"] = Task.attempts - 1
    statement = _held(claimed).values(**values).returning(Task.state).execution_options(synchronize_session=False)
    with writing(engine) as session:
        state = session.execute(statement).scalar()
        if state == TaskState.CANCELLED:
            _give_up(session, claimed.kind, GivenUp(claimed.task_id, claimed.arguments, reason, now_ms))
    return None if state is None else TaskState(state)


def cancel(engine: Engine, task_id: int, now_ms: int) -> TaskState | None:
    """Cancel a queued task, ask a running one to stop. The state it has now; None when it has ended or never was."""
    with writing(engine) as session:
        return cancel_in(session, task_id, now_ms)


def cancel_in(session: Session, task_id: int, now_ms: int) -> TaskState | None:
    """The same in the caller's transaction."""
    is_queued = Task.state == TaskState.QUEUED
    statement = (
        update(Task)
        .where(Task.task_id == task_id, Task.state.in_(UNFINISHED))
        .values(
            state=case((is_queued, TaskState.CANCELLED.value), else_=Task.state),
            unique_key=case((is_queued, None), else_=Task.unique_key),
            ended_at_ms=case((is_queued, now_ms), else_=None),
            cancel_requested=True,
        )
        .returning(Task.state, Task.kind, Task.arguments)
        .execution_options(synchronize_session=False)
    )
    row = session.execute(statement).one_or_none()
    if row is None:
        return None
    state, kind, arguments = row
    if state == TaskState.CANCELLED:
        _give_up(session, kind, GivenUp(task_id, arguments, "cancelled", now_ms))
    return TaskState(state)


def try_again(session: Session, task_id: int, now_ms: int) -> bool:
    """Make a waiting task due now, or queue one that failed or was cancelled as if it were new, in the caller's
    transaction. False when it runs, has succeeded, or is gone.

    Whatever its kind did when it was given up stays done.
    """
    ended = (TaskState.FAILED, TaskState.CANCELLED)
    statement = (
        update(Task)
        .where(Task.task_id == task_id, Task.state.in_((TaskState.QUEUED, *ended)))
        .values(
            state=TaskState.QUEUED,
            run_at_ms=now_ms,
            attempts=case((Task.state.in_(ended), 0), else_=Task.attempts),
            cancel_requested=False,
            ended_at_ms=None,
        )
        .returning(Task.task_id)
        .execution_options(synchronize_session=False)
    )
    return session.execute(statement).scalar() is not None


def due_task_ids(engine: Engine, now_ms: int, limit: int) -> list[int]:
    """The tasks of known kinds that somebody should take now: lost ones first, then the longest due."""
    kinds = list(KINDS)
    # Both by the index on (state, run_at_ms); running rows are as few as the threads of all workers.
    lost = (
        select(Task.task_id)
        .where(Task.state == TaskState.RUNNING, Task.lease_until_ms <= now_ms, Task.kind.in_(kinds))
        .limit(limit)
    )
    due = (
        select(Task.task_id)
        .where(Task.state == TaskState.QUEUED, Task.run_at_ms <= now_ms, Task.kind.in_(kinds))
        .order_by(Task.run_at_ms)
        .limit(limit)
    )
    with reading(engine) as session:
        found = [*session.execute(lost).scalars(), *session.execute(due).scalars()]
    return found[:limit]


def figures(engine: Engine) -> QueueFigures:
    """How much waits."""
    statement = select(func.count(), func.min(Task.run_at_ms)).where(Task.state == TaskState.QUEUED)
    with reading(engine) as session:
        queued, oldest_ms = session.execute(statement).one()
    return QueueFigures(queued, oldest_ms or 0)


def delete_ended(engine: Engine, before_ms: int) -> int:
    """Delete some tasks that ended before a time, at most `PURGE_STEP_ROWS`. How many there were."""
    some = select(Task.task_id).where(Task.ended_at_ms < before_ms).order_by(Task.ended_at_ms).limit(PURGE_STEP_ROWS)
    with writing(engine) as session:
        statement = delete(Task).where(Task.task_id.in_(some)).returning(Task.task_id)
        return len(session.execute(statement.execution_options(synchronize_session=False)).all())


def _held(claimed: Claimed) -> Any:
    return update(Task).where(
        Task.task_id == claimed.task_id, Task.state == TaskState.RUNNING, Task.lease_token == claimed.token
    )


def _shown(progress: Progress) -> dict[str, Any]:
    return {
        "progress_done": progress.done,
        "progress_total": progress.total,
        "message": _fit(progress.message),
    }


def _give_up(session: Session, kind: str, task: GivenUp) -> None:
    """What a kind wants done when its task will not be tried again, in the same transaction."""
    known = KINDS.get(kind)
    if known is None or known.on_given_up is None:
        return
    try:
        with session.begin_nested():
            known.on_given_up(session, task)
    except Exception as error:  # whatever it is, the task has ended: recorded without what could not be done
        log.error("a task that was given up could not be cleaned up", extra={"kind": kind, **described(error)})


def _fit(message: str) -> str:
    # PostgreSQL takes no NUL in a text.
    return message.replace("\0", "")[:MAX_MESSAGE_CHARS]
