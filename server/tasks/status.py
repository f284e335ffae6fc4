"""How a task stands, for pages."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Engine

from server.app_database import reading
from server.models import Task
from server.tasks.rows import UNFINISHED, TaskState


@dataclass(frozen=True)
class TaskStatus:
    """A task as a page may show it to the account that it belongs to. Times in milliseconds since 1970 UTC."""

    task_id: int
    kind: str
    account_id: int | None
    state: TaskState
    attempts: int
    done: int
    total: int | None
    message: str
    is_stopping: bool
    created_at_ms: int
    run_at_ms: int
    started_at_ms: int | None
    ended_at_ms: int | None

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen."""
        return self.state not in UNFINISHED

    @property
    def share(self) -> float | None:
        """How much is done, from 0 to 1; None when the total is not known."""
        return min(1.0, self.done / self.total) if self.total else None


def task_status(engine: Engine, task_id: int) -> TaskStatus | None:
    """The status of a task; None when there is none, or it was purged."""
    with reading(engine) as session:
        row = session.get(Task, task_id)
        if row is None:
            return None
        return TaskStatus(
            task_id=row.task_id,
            kind=row.kind,
            account_id=row.account_id,
            state=TaskState(row.state),
            attempts=row.attempts,
            done=row.progress_done,
            total=row.progress_total,
            message=row.message,
            is_stopping=row.cancel_requested and row.state == TaskState.RUNNING,
            created_at_ms=row.created_at_ms,
            run_at_ms=row.run_at_ms,
            started_at_ms=row.started_at_ms,
            ended_at_ms=row.ended_at_ms,
        )
