"""Queueing, cancelling, sweeping and forgetting tasks: what every process may do.

A task is a row, added in the caller's transaction; its message leaves after the commit, and never without one. Whatever
becomes of the message, `sweep` finds each due row that nobody took.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

import orjson
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session, SessionTransaction

from server.clock import DAY_MS
from server.clock import now_ms as wall_clock_ms
from server.config import Settings
from server.tasks import metrics, rows
from server.tasks.broker import Broker
from server.tasks.kinds import JSON, ArgumentsRefused, known_kind
from server.tasks.limits import TaskLimits
from server.tasks.rows import TaskState

# Arguments say what to work on, they do not carry it.
MAX_ARGUMENTS_BYTES = 64 * 1024
MAX_UNIQUE_KEY_CHARS = 200

KEEP_ENDED_DAYS = 30
"""How long ended tasks are kept: long enough to see what happened last month."""

PURGE_STEPS = 100
"""One purge deletes at most so many times `rows.PURGE_STEP_ROWS`; the next goes on."""

_PENDING = "footfall_task_messages"

# A task of this transaction and the savepoint it was queued in.
_Pending = list[tuple[int, SessionTransaction | None]]


class Cancelled(StrEnum):
    """What `TaskQueue.cancel` did."""

    AT_ONCE = "at_once"
    REQUESTED = "requested"
    """It runs: it stops at its next progress, or ends before."""
    TOO_LATE = "too_late"
    """It has ended, or there is no such task."""


class TaskQueue:
    """The queue as one process sees it. For any thread; nothing is opened before it is needed."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        *,
        limits: TaskLimits | None = None,
        now_ms: Callable[[], int] | None = None,
        broker: Broker | None = None,
    ) -> None:
        self.engine = engine
        self.limits = limits or TaskLimits()
        self.now_ms = now_ms or wall_clock_ms
        self.broker = broker or Broker(settings, self.limits)
        self.minute_functions: dict[str, Callable[[], None]] = {}
        self._swept: dict[int, int] = {}

    def enqueue(
        self,
        session: Session,
        kind: str,
        *,
        arguments: Mapping[str, JSON] | None = None,
        account_id: int | None = None,
        run_at_ms: int | None = None,
        unique_key: str | None = None,
    ) -> int:
        """Queue a task in the caller's transaction; its number. With a key that an unfinished task has: that one's.

        It starts after the commit, or after `run_at_ms`. An unfinished task with the same key may already be running:
        then what changed since it started may escape it. Raises `UnknownTaskKind`, `ArgumentsRefused`,
        `UniqueKeyContested`.
        """
        given = dict(arguments or {})
        known_kind(kind).check_arguments(given)
        try:
            size_bytes = len(orjson.dumps(given))
        except TypeError as error:
            raise ArgumentsRefused(f"{kind}: arguments are not JSON") from error
        if size_bytes > MAX_ARGUMENTS_BYTES:
            raise ArgumentsRefused(f"{kind}: arguments are over {MAX_ARGUMENTS_BYTES} bytes")
        if unique_key is not None and len(unique_key) > MAX_UNIQUE_KEY_CHARS:
            raise ArgumentsRefused(f"{kind}: the unique key is over {MAX_UNIQUE_KEY_CHARS} characters")
        now_ms = self.now_ms()
        due_ms = now_ms if run_at_ms is None else run_at_ms
        task_id, is_new = rows.add(
            session, kind, given, account_id=account_id, run_at_ms=due_ms, unique_key=unique_key, now_ms=now_ms
        )
        if is_new:
            metrics.TASKS_ENQUEUED.labels(kind).inc()
            if due_ms <= now_ms:
                self._push_after_commit(session, task_id)
        return task_id

    def try_again(self, session: Session, task_id: int) -> bool:
        """Have a waiting, failed or cancelled task done now, in the caller's transaction. False when it cannot be."""
        if not rows.try_again(session, task_id, self.now_ms()):
            return False
        self._push_after_commit(session, task_id)
        return True

    def give_up(self, session: Session, task_id: int) -> Cancelled:
        """`cancel` in the caller's transaction."""
        return _cancelled(rows.cancel_in(session, task_id, self.now_ms()))

    def cancel(self, task_id: int) -> Cancelled:
        """Cancel a queued task at once; ask a running one to stop."""
        return _cancelled(rows.cancel(self.engine, task_id, self.now_ms()))

    def every_minute(self, name: str, function: Callable[[], None]) -> None:
        """Have `function` called once a minute by every worker, from its own thread, Redis or not.

        Several workers call it at the same time: it must be safe to. To be registered before the worker starts; raises
        ValueError for a name that is taken.
        """
        if name in self.minute_functions:
            raise ValueError(f"{name!r} is called every minute already")
        self.minute_functions[name] = function

    def sweep(self, now_ms: int) -> int:
        """Send a message for each due task that nobody took: delayed ones, retries, lost ones. How many were sent.

        Looks at `TaskLimits.sweep_rows` rows, oldest first. A row that waits with its message in the queue gets another
        one only after `resend_after_ms`, or once the queue is empty. Raises SQLAlchemy's error when the app database
        is away.
        """
        due = rows.due_task_ids(self.engine, now_ms, self.limits.sweep_rows)
        # While the queue is away this is also how an idle worker learns that it is back.
        waiting = self.broker.waiting() if due or self.broker.outage.is_on else 0
        swept: dict[int, int] = {}
        sent = 0
        for task_id in due:
            last_ms = self._swept.get(task_id)
            if waiting and last_ms is not None and now_ms - last_ms < self.limits.resend_after_ms:
                swept[task_id] = last_ms
            elif waiting is not None and self.broker.push(task_id):
                swept[task_id] = now_ms
                sent += 1
        self._swept = swept
        metrics.MESSAGES_SWEPT.inc(sent)
        return sent

    def due(self, now_ms: int) -> list[int]:
        """Tasks that somebody should take now. Raises SQLAlchemy's error when the app database is away."""
        return rows.due_task_ids(self.engine, now_ms, self.limits.sweep_rows)

    def purge(self, now_ms: int, keep_days: int = KEEP_ENDED_DAYS) -> int:
        """Delete tasks that ended more than `keep_days` ago, in small steps. How many."""
        before_ms = now_ms - keep_days * DAY_MS
        deleted = 0
        for _ in range(PURGE_STEPS):
            step = rows.delete_ended(self.engine, before_ms)
            deleted += step
            if step < rows.PURGE_STEP_ROWS:
                break
        return deleted

    def close(self) -> None:
        """Close the connections of the queue's store."""
        self.broker.close()

    def _push_after_commit(self, session: Session, task_id: int) -> None:
        pending: _Pending | None = session.info.get(_PENDING)
        if pending is None:
            pending = session.info[_PENDING] = []
            event.listen(session, "after_commit", self._committed)
            event.listen(session, "after_soft_rollback", _rolled_back)
        pending.append((task_id, session.get_nested_transaction()))

    def _committed(self, session: Session) -> None:
        # A savepoint's release is told here too; what it holds is not committed yet.
        if session.in_nested_transaction():
            return
        pending: _Pending = session.info[_PENDING]
        task_ids = [task_id for task_id, _ in pending]
        pending.clear()
        for task_id in task_ids:
            if not self.broker.push(task_id):
                break


def _cancelled(state: TaskState | None) -> Cancelled:
    if state is None:
        return Cancelled.TOO_LATE
    return Cancelled.AT_ONCE if state is TaskState.CANCELLED else Cancelled.REQUESTED


def _rolled_back(session: Session, ended: SessionTransaction) -> None:
    pending: _Pending = session.info[_PENDING]
    pending[:] = [] if not ended.nested else [entry for entry in pending if not _is_within(entry[1], ended)]


def _is_within(savepoint: SessionTransaction | None, ended: SessionTransaction) -> bool:
    while savepoint is not None:
        if savepoint is ended:
            return True
        savepoint = savepoint.parent
    return False
