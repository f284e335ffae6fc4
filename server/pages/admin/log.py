"""`/admin/log`: the audit log of the whole installation, by person, account, kind of action and time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session
from tornado.web import HTTPError

from server.accounts.audit_log import Action
from server.accounts.names import names_of
from server.clock import DAY_MS
from server.handler import AppContext
from server.models import AuditEntry
from server.pages.admin.staff_page import StaffPage

ROWS = 100


class LogHandler(StaffPage):
    """`/admin/log`"""

    template = "admin/log.html"
    room = "/admin/log"

    async def get(self) -> None:
        """The page."""
        actor, account, before = self.number("actor"), self.number("account"), self.number("before")
        action, day = self.text("action", 64), self.text("day", 10)
        if action and action not in list(Action):
            raise HTTPError(400, "There is no action of this name.")
        until_ms = _end_of(day)

        def read(session: Session) -> tuple[list[AuditEntry], dict[int, str]]:
            found = select(AuditEntry).order_by(AuditEntry.entry_id.desc()).limit(ROWS + 1)
            if actor is not None:
                found = found.where(or_(AuditEntry.actor_user_id == actor, AuditEntry.stand_in_user_id == actor))
            if account is not None:
                found = found.where(AuditEntry.account_id == account)
            if action:
                found = found.where(AuditEntry.action == action)
            if until_ms is not None:
                found = found.where(AuditEntry.at_ms < until_ms)
            if before is not None:
                found = found.where(AuditEntry.entry_id < before)
            entries = list(session.execute(found).scalars())
            people = [number for entry in entries for number in (entry.actor_user_id, entry.stand_in_user_id)]
            return entries, names_of(session, people)

        entries, names = await self.read(read)
        self.show(
            entries=entries[:ROWS],
            names=names,
            next_before=entries[ROWS - 1].entry_id if len(entries) > ROWS else None,
            before=before,
            actions=[str(each) for each in Action],
            filters={"actor": actor or "", "account": account or "", "action": action, "day": day},
        )


def _end_of(day: str) -> int | None:
    """The end of a date in UTC; None for no date. 400 for what is none."""
    if not day:
        return None
    try:
        return int(datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp() * 1000) + DAY_MS
    except ValueError:
        raise HTTPError(400, "A day is a date such as 2026-11-30.") from None


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    return [(r"/admin/log", LogHandler, {"app_context": app_context})]
