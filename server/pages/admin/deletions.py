"""`/admin/deletions`: accounts whose end was asked for. Approving makes it soft at once, refusing says why."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.deletion import (
    approve,
    approved_by_itself_at_ms,
    destroyed_from_ms,
    open_requests,
    refuse,
)
from server.accounts.errors import FormError
from server.accounts.names import account_names, names_of
from server.accounts.reasons import clean_reason
from server.clock import now_ms
from server.handler import AppContext
from server.models import DeletionRequest
from server.pages.admin.staff_page import StaffPage, unknown_form
from server.rate_limit import rate_limit

# Of those that are over, the latest.
OVER_ROWS = 50


class DeletionsHandler(StaffPage):
    """`/admin/deletions`"""

    template = "admin/deletions.html"
    room = "/admin/deletions"

    async def get(self) -> None:
        """The page."""
        await self._show()

    @rate_limit("60/m")
    async def post(self) -> None:
        """`change` is approve or refuse."""
        given, request_id = self.form("change", "reason"), self.posted_number("request_id")
        services, actor, now = self.app_context.services, self.staff_id, now_ms()
        try:
            match given["change"]:
                case "approve":
                    await self.carry_out(lambda session: approve(session, services, request_id, actor, now))
                    said = "approved"
                case "refuse":
                    reason = clean_reason(given["reason"], f"reason-{request_id}")
                    await self.carry_out(lambda session: refuse(session, services, request_id, actor, now, reason))
                    said = "refused"
                case _:
                    raise unknown_form()
        except FormError as error:
            await self._show(error, request_id)
            return
        await self.tell_fronts()
        self.done("/admin/deletions", said)

    async def _show(self, error: FormError | None = None, request_id: int = 0) -> None:
        def read(session: Session) -> dict[str, Any]:
            waiting = open_requests(session)
            ids = [request.request_id for request in waiting]
            latest = select(DeletionRequest).order_by(DeletionRequest.request_id.desc())
            over = latest.where(DeletionRequest.request_id.not_in(ids)).limit(OVER_ROWS)
            rows = [*waiting, *session.execute(over).scalars()]
            people = [n for row in rows for n in (row.requested_by_user_id, row.approved_by_user_id)]
            return {
                "waiting": waiting,
                "over": rows[len(waiting) :],
                "accounts": account_names(session, [row.account_id for row in rows]),
                "names": names_of(session, people),
            }

        self.show(
            **await self.read(read),
            approved_by_itself_at_ms=approved_by_itself_at_ms,
            destroyed_from_ms=destroyed_from_ms,
            refusing=request_id,
            typed=self.form("reason")["reason"],
            error=error,
        )


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    return [(r"/admin/deletions", DeletionsHandler, {"app_context": app_context})]
