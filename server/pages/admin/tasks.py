"""`/admin/tasks`: the queue. Trying a waiting or failed task now, giving one up."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from tornado.web import HTTPError

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, NotThere
from server.clock import now_ms
from server.handler import AppContext
from server.models import Task
from server.pages.admin.staff_page import StaffPage, unknown_form
from server.rate_limit import rate_limit
from server.tasks import KINDS, Cancelled, TaskState

ROWS = 50


class TasksHandler(StaffPage):
    """`/admin/tasks`"""

    template = "admin/tasks.html"
    room = "/admin/tasks"

    async def get(self) -> None:
        """The page."""
        await self._show()

    @rate_limit("60/m")
    async def post(self) -> None:
        """`change` is retry or give_up."""
        change, task_id = self.form("change")["change"], self.posted_number("task_id")
        try:
            if change not in ("retry", "give_up"):
                raise unknown_form()
            said = await self.carry_out(lambda session: self._change(session, change, task_id))
        except FormError as error:
            await self._show(error)
            return
        self.done("/admin/tasks", said)

    def _change(self, session: Session, change: str, task_id: int) -> str:
        queue, now = self.app_context.services.tasks, now_ms()
        row = session.get(Task, task_id)
        if row is None:
            raise NotThere("task")
        named: dict[str, Any] = {
            "target": f"task {task_id}: {row.kind}",
            "account_id": row.account_id,
            "state": row.state,
        }
        if change == "retry":
            if row.state != TaskState.QUEUED and not can_be_repeated(row.kind):
                raise FormError("", "What it was for was cleaned up when it failed: it has to be asked for anew.")
            if not queue.try_again(session, task_id):
                raise FormError("", "This task runs at the moment, or has been done.")
            write_entry(session, Action.TASK_RETRIED, now, actor=self.staff_id, **named)
            return "task-retried"
        outcome = queue.give_up(session, task_id)
        if outcome is Cancelled.TOO_LATE:
            raise FormError("", "This task has ended already.")
        write_entry(session, Action.TASK_GIVEN_UP, now, actor=self.staff_id, **named, outcome=str(outcome))
        return "task-given-up" if outcome is Cancelled.AT_ONCE else "task-stopping"

    async def _show(self, error: FormError | None = None) -> None:
        state, kind, before = self.text("state", 16), self.text("kind", 64), self.number("before")
        if state and state not in list(TaskState):
            raise HTTPError(400, f"A state is one of {', '.join(TaskState)}.")

        def read(session: Session) -> tuple[list[Task], Any]:
            found = select(Task).order_by(Task.task_id.desc()).limit(ROWS + 1)
            if state:
                found = found.where(Task.state == state)
            if kind:
                found = found.where(Task.kind == kind)
            if before is not None:
                found = found.where(Task.task_id < before)
            counted = select(Task.state, func.count()).group_by(Task.state)
            return list(session.execute(found).scalars()), dict(session.execute(counted).all())

        rows, counts = await self.read(read)
        self.show(
            rows=rows[:ROWS],
            next_before=rows[ROWS - 1].task_id if len(rows) > ROWS else None,
            before=before,
            counts=counts,
            states=[str(each) for each in TaskState],
            state=state,
            kind=kind,
            can_be_repeated=can_be_repeated,
            error=error,
        )


def can_be_repeated(kind: str) -> bool:
    """Whether a failed task of this kind can be tried again: not when its end was cleaned up after."""
    known = KINDS.get(kind)
    return known is not None and known.on_given_up is None


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    return [(r"/admin/tasks", TasksHandler, {"app_context": app_context})]
