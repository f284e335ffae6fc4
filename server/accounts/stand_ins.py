"""Staff acting as a customer, to see what they see: asked for with a reason and a second factor shown for it.

A stand-in is a row beside the login of staff. While it is there that login reads and acts as the person, except for
what would take their account over (`BaseHandler.is_open_to_stand_ins`). It ends by being stopped, after
`LONGEST_STAND_IN_MS`, and with the login, the role or the second factor of staff, which every request looks at again
(`server.accounts.sessions.find_login`). What is done meanwhile stands in the audit log under both names.
"""

from __future__ import annotations

from sqlalchemy import select, union
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, NotThere
from server.accounts.reasons import clean_reason
from server.accounts.sessions import ActingStaff, Login
from server.accounts.two_factor import is_code
from server.clock import HOUR_MS
from server.models import Guest, Membership, Site, StandIn, User

LONGEST_STAND_IN_MS = HOUR_MS


def start_stand_in(
    session: Session, secret_key: str, login: Login, user_id: int, code: str, reason: str, now_ms: int
) -> None:
    """Let a login of staff act as this person.

    Raises `NotThere`; `FormError` at `reason` or `code`, and for staff, whose powers nobody else may have.
    """
    person = session.get(User, user_id)
    if person is None:
        raise NotThere("user")
    if person.is_staff:
        raise FormError("", "Nobody acts as staff: their powers need their own second factor.")
    if person.state != "active":
        raise FormError("", "This person cannot log in, so nobody can act as them.")
    reason = clean_reason(reason)
    staff = session.get_one(User, login.user_id)
    if not staff.is_staff or staff.totp_enabled_at_ms is None or not is_code(session, secret_key, staff, code, now_ms):
        raise FormError("code", "This code is not right, or was used already: wait for the next one.")
    row = session.get(StandIn, login.session_id)
    if row is None:
        row = StandIn(session_id=login.session_id)
        session.add(row)
    row.user_id, row.reason = user_id, reason
    row.started_at_ms, row.ends_at_ms = now_ms, now_ms + LONGEST_STAND_IN_MS
    _log(session, Action.STAND_IN_STARTED, staff.user_id, person, now_ms, reason=reason)


def stop_stand_in(session: Session, session_id: int, acting: ActingStaff, user_id: int, now_ms: int) -> bool:
    """Let a login be that of staff again; False when it is already."""
    row = session.get(StandIn, session_id)
    if row is None:
        return False
    session.delete(row)
    _log(session, Action.STAND_IN_STOPPED, acting.user_id, session.get_one(User, user_id), now_ms)
    return True


def _log(session: Session, action: Action, staff_id: int, person: User, now_ms: int, **detail: object) -> None:
    """One entry in the log of each account that the person sees anything of: its people see who was there."""
    theirs = select(Membership.account_id).where(Membership.user_id == person.user_id)
    guest_of = select(Site.account_id).join(Guest, Guest.site_id == Site.site_id).where(Guest.user_id == person.user_id)
    account_ids: list[int | None] = [*sorted(session.execute(union(theirs, guest_of)).scalars())]
    for account_id in account_ids or [None]:
        write_entry(
            session, action, now_ms, actor=staff_id, account_id=account_id, target=f"user {person.user_id}", **detail
        )
