"""`/admin/people`: finding a person; their page, and acting as them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from server.accounts.errors import FormError, NotThere
from server.accounts.guests import guest_sites
from server.accounts.names import names_of
from server.accounts.search import find_people
from server.accounts.stand_ins import start_stand_in
from server.clock import now_ms
from server.handler import AppContext
from server.models import Account, AuditEntry, LoginSession, Membership, User
from server.pages.admin.staff_page import StaffPage
from server.rate_limit import rate_limit

ROWS = 100
LOG_ROWS = 20


class PeopleHandler(StaffPage):
    """`/admin/people`"""

    template = "admin/people.html"
    room = "/admin/people"

    async def get(self) -> None:
        """The list, or who was looked for."""
        text, before = self.text("q").strip(), self.number("before")
        self.show(q=text, found=await self.read(lambda session: find_people(session, text, before)), before=before)


class PersonHandler(StaffPage):
    """`/admin/people/<number>`: who it is; the form starts acting as them."""

    template = "admin/person.html"
    room = "/admin/people"

    async def get(self, user_number: str) -> None:
        """The page."""
        await self._show(int(user_number))

    @rate_limit("10/m", "60/h")
    async def post(self, user_number: str) -> None:
        """Act as this person from now on, on this browser."""
        assert self.login is not None
        login, user_id, given = self.login, int(user_number), self.form("reason", "code")
        secret_key = self.app_context.services.secret_key
        try:
            await self.carry_out(
                lambda session: start_stand_in(
                    session, secret_key, login, user_id, given["code"], given["reason"], now_ms()
                )
            )
        except FormError as error:
            await self._show(user_id, error)
            return
        self.redirect("/sites", status=303)

    async def _show(self, user_id: int, error: FormError | None = None) -> None:
        shown = await self.read(lambda session: _read(session, user_id))
        self.show(**shown, error=error, typed=self.form("reason")["reason"])


def _read(session: Session, user_id: int) -> dict[str, Any]:
    user = session.get(User, user_id)
    if user is None:
        raise NotThere("user")
    places = (
        select(Account.account_id, Account.name, Account.state, Membership.role)
        .join(Membership, Membership.account_id == Account.account_id)
        .where(Membership.user_id == user_id)
        .order_by(Account.name, Account.account_id)
        .limit(ROWS)
    )
    logins = select(func.count(), func.max(LoginSession.seen_at_ms)).where(LoginSession.user_id == user_id)
    theirs = or_(AuditEntry.actor_user_id == user_id, AuditEntry.target == f"user {user_id}")
    entries = select(AuditEntry).where(theirs).order_by(AuditEntry.entry_id.desc()).limit(LOG_ROWS)
    found = session.execute(entries).scalars().all()
    count, seen_at_ms = session.execute(logins).one()
    people = [number for entry in found for number in (entry.actor_user_id, entry.stand_in_user_id)]
    return {
        "user": user,
        "places": session.execute(places).all(),
        "guest_of": guest_sites(session, user_id)[:ROWS],
        "logins": count,
        "seen_at_ms": seen_at_ms,
        "entries": found,
        "names": names_of(session, people),
    }


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [(r"/admin/people", PeopleHandler, given), (r"/admin/people/([0-9]{1,9})", PersonHandler, given)]
