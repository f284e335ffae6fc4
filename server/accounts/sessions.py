"""Logins: a random token in a cookie, its hash in `login_sessions`.

A login ends by logging out, by being revoked, `session_idle_days` after its last visit, `session_max_days` after its
start, and with its user. Staff powers need a second factor no older than `STAFF_FRESH_MS`. A login of staff may act as
somebody else for a while (`server.accounts.stand_ins`): then it is that person's in all but name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, Row, delete, select, update
from sqlalchemy.orm import Session

from server.accounts.devices import Device
from server.accounts.tokens import new_secret, secret_hash
from server.app_database import reading, writing
from server.clock import DAY_MS, HOUR_MS, MINUTE_MS
from server.config import Settings
from server.models import (
    GONE_ACCOUNT_STATES,
    Account,
    Block,
    KnownDevice,
    LoginSession,
    MemberRole,
    Membership,
    StandIn,
    User,
)

STAFF_FRESH_MS = 12 * HOUR_MS

# How exactly `seen_at_ms` is kept: not every page view is worth a write.
SEEN_EVERY_MS = 5 * MINUTE_MS


@dataclass(frozen=True)
class AccountPlace:
    """An account that a person belongs to, and as what. `block_reason`: why staff blocked it; empty when it is not.

    A guest's place is one site of it: `name` is the site's then, and nothing is said of the account.
    """

    account_id: int
    name: str
    role: MemberRole
    block_reason: str = ""
    is_guest: bool = False


@dataclass(frozen=True)
class ActingStaff:
    """Who really sits behind a login that acts as somebody else, why, and until when."""

    user_id: int
    name: str
    reason: str
    ends_at_ms: int


@dataclass(frozen=True)
class Login:
    """Who is signed in, on which login, and where they belong. `acting`: staff who act as this person."""

    user_id: int
    email: str
    name: str
    is_staff: bool
    has_two_factor: bool
    session_id: int
    second_factor_at_ms: int | None
    places: tuple[AccountPlace, ...]
    leaving: tuple[AccountPlace, ...] = ()
    """Accounts that are being deleted: their owners may still take that back."""
    acting: ActingStaff | None = None

    @property
    def holder_user_id(self) -> int:
        """Whose login it is: the person's own, or that of staff who act as them."""
        return self.user_id if self.acting is None else self.acting.user_id

    def place(self, account_id: int) -> AccountPlace | None:
        """The person's place in an account."""
        return next((place for place in self.places if place.account_id == account_id), None)

    def leaving_place(self, account_id: int) -> AccountPlace | None:
        """The person's place in an account that is being deleted."""
        return next((place for place in self.leaving if place.account_id == account_id), None)

    def has_staff_powers(self, now_ms: int) -> bool:
        """Whether staff's pages open: staff, with a second factor shown lately."""
        shown_at_ms = self.second_factor_at_ms
        return (
            self.is_staff and self.has_two_factor and shown_at_ms is not None and now_ms - shown_at_ms < STAFF_FRESH_MS
        )


def start_login(session: Session, user_id: int, device: Device, now_ms: int, *, second_factor: bool) -> str:
    """A new login; returns the cookie's token, which cannot be seen again."""
    token = new_secret()
    session.add(
        LoginSession(
            token_hash=secret_hash(token),
            user_id=user_id,
            device=device.text,
            country=device.country,
            created_at_ms=now_ms,
            seen_at_ms=now_ms,
            second_factor_at_ms=now_ms if second_factor else None,
        )
    )
    return token


def find_login(engine: Engine, settings: Settings, token: str, now_ms: int) -> Login | None:
    """The login of a cookie's token; None when it has ended."""
    with reading(engine) as session:
        found = session.execute(
            select(LoginSession, User, StandIn)
            .join(User, User.user_id == LoginSession.user_id)
            .outerjoin(StandIn, (StandIn.session_id == LoginSession.session_id) & (StandIn.ends_at_ms > now_ms))
            .where((LoginSession.token_hash == secret_hash(token)) & (User.state == "active"))
        ).one_or_none()
        if found is None:
            return None
        row, user = found[0], found[1]
        stand_in: StandIn | None = found[2]
        if now_ms - row.seen_at_ms > settings.session_idle_days * DAY_MS:
            return None
        if now_ms - row.created_at_ms > settings.session_max_days * DAY_MS:
            return None
        acting = None
        if stand_in is not None and user.is_staff and user.totp_enabled_at_ms is not None:
            person = session.get_one(User, stand_in.user_id)
            if person.state == "active" and not person.is_staff:
                acting = ActingStaff(user.user_id, user.name or user.email, stand_in.reason, stand_in.ends_at_ms)
                user = person
        places = session.execute(
            select(Account.account_id, Account.name, Membership.role, Account.state, Block.reason)
            .join(Membership, Membership.account_id == Account.account_id)
            .outerjoin(Block, Block.account_id == Account.account_id)
            .where((Membership.user_id == user.user_id) & (Account.state != "destroyed"))
            .order_by(Account.name, Account.account_id)
        ).all()
    if now_ms - row.seen_at_ms > SEEN_EVERY_MS:
        with writing(engine) as session:
            ours = LoginSession.session_id == row.session_id
            session.execute(update(LoginSession).where(ours).values(seen_at_ms=now_ms))
    return Login(
        user_id=user.user_id,
        email=user.email,
        name=user.name,
        is_staff=user.is_staff,
        has_two_factor=user.totp_enabled_at_ms is not None,
        session_id=row.session_id,
        second_factor_at_ms=row.second_factor_at_ms,
        places=_places(row for row in places if row[3] not in GONE_ACCOUNT_STATES),
        leaving=_places(row for row in places if row[3] in GONE_ACCOUNT_STATES),
        acting=acting,
    )


def _places(rows: Iterable[Row[int, str, str, str, str]]) -> tuple[AccountPlace, ...]:
    return tuple(AccountPlace(number, name, MemberRole(role), why or "") for number, name, role, _, why in rows)


def list_logins(session: Session, user_id: int) -> Sequence[LoginSession]:
    """A user's logins, the latest seen first."""
    theirs = select(LoginSession).where(LoginSession.user_id == user_id)
    return (
        session.execute(theirs.order_by(LoginSession.seen_at_ms.desc(), LoginSession.session_id.desc())).scalars().all()
    )


def end_login(session: Session, user_id: int, session_id: int) -> bool:
    """End one login of a user; False when it has ended already or is another's."""
    theirs = (LoginSession.user_id == user_id) & (LoginSession.session_id == session_id)
    ended = delete(LoginSession).where(theirs).returning(LoginSession.session_id)
    return session.execute(ended).scalar() is not None


def end_logins(session: Session, user_id: int, *, but: int | None = None) -> int:
    """End all logins of a user, `but` the one named. Returns how many."""
    theirs = LoginSession.user_id == user_id
    if but is not None:
        theirs &= LoginSession.session_id != but
    return len(session.execute(delete(LoginSession).where(theirs).returning(LoginSession.session_id)).all())


def confirm_second_factor(session: Session, session_id: int, now_ms: int) -> None:
    """The login has shown its second factor now."""
    ours = LoginSession.session_id == session_id
    session.execute(update(LoginSession).where(ours).values(second_factor_at_ms=now_ms))


def is_known_device(session: Session, user_id: int, device_secret: str | None, now_ms: int) -> tuple[bool, str]:
    """Whether the user has logged in from the browser with this cookie before, and the cookie it should have now."""
    if device_secret:
        row = session.get(KnownDevice, (user_id, secret_hash(device_secret)))
        if row is not None:
            row.seen_at_ms = now_ms
            return True, device_secret
    # A browser that several people use keeps its cookie: it is known to each of them by itself.
    kept = device_secret or new_secret()
    session.add(KnownDevice(user_id=user_id, device_hash=secret_hash(kept), seen_at_ms=now_ms))
    return False, kept
