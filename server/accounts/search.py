"""Looking for accounts, people and sites: by a part of a name, a mail address or a domain, or by number.

Each answer is one page of the newest first; `before` is the number to go on below. A page costs three statements,
however many rows it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from server.models import Account, BillingProfile, Block, Membership, Site, User

PAGE_ROWS = 50

# Longer than any address.
LONGEST_TEXT_CHARS = 254

LARGEST_NUMBER = 2**31 - 1

_ESCAPE = "\\"

Row = TypeVar("Row")


@dataclass(frozen=True)
class FoundAccount:
    """A line of the list of accounts."""

    account_id: int
    name: str
    state: str
    created_at_ms: int
    plan_code: str
    is_blocked: bool
    people: int
    sites: int


@dataclass(frozen=True)
class FoundPerson:
    """A line of the list of people."""

    user_id: int
    email: str
    name: str
    state: str
    is_staff: bool
    has_two_factor: bool
    created_at_ms: int
    accounts: int


@dataclass(frozen=True)
class FoundSite:
    """A line of the list of sites."""

    site_id: int
    domain: str
    state: str
    account_id: int
    account_name: str
    is_blocked: bool
    first_hit_at_ms: int | None
    created_at_ms: int


@dataclass(frozen=True)
class Found(Sequence[Row]):
    """A page of rows. `next_before`: the number that the next page goes on below; None on the last one."""

    rows: list[Row]
    next_before: int | None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]


def find_accounts(
    session: Session,
    text: str,
    before: int | None,
    limit: int = PAGE_ROWS,
    *,
    among: Select[int] | None = None,
) -> Found[FoundAccount]:
    """Accounts by name or number, by a member's address or name, or by a site's domain; `among`: only some of them."""
    question = (
        select(Account, BillingProfile.plan_code, Block.block_id)
        .outerjoin(BillingProfile, BillingProfile.account_id == Account.account_id)
        .outerjoin(Block, Block.account_id == Account.account_id)
        .order_by(Account.account_id.desc())
        .limit(limit + 1)
    )
    if text:
        people = (
            select(Membership.account_id)
            .join(User, User.user_id == Membership.user_id)
            .where(or_(_holds(User.email, text), _holds(User.name, text)))
        )
        question = question.where(
            or_(
                _holds(Account.name, text),
                _is_number(Account.account_id, text),
                Account.account_id.in_(people),
                Account.account_id.in_(select(Site.account_id).where(_holds(Site.domain, text))),
            )
        )
    if among is not None:
        question = question.where(Account.account_id.in_(among))
    if before is not None:
        question = question.where(Account.account_id < before)
    found = session.execute(question).all()
    numbers = [account.account_id for account, _, _ in found]
    people_of = _counts(session, Membership.account_id, numbers)
    sites_of = _counts(session, Site.account_id, numbers, Site.state != "destroyed")
    rows = [
        FoundAccount(
            account_id=account.account_id,
            name=account.name,
            state=account.state,
            created_at_ms=account.created_at_ms,
            plan_code=plan_code or "",
            is_blocked=block_id is not None,
            people=people_of.get(account.account_id, 0),
            sites=sites_of.get(account.account_id, 0),
        )
        for account, plan_code, block_id in found
    ]
    return _page(rows, limit, [row.account_id for row in rows])


def find_people(session: Session, text: str, before: int | None, limit: int = PAGE_ROWS) -> Found[FoundPerson]:
    """People by address, name or number."""
    question = select(User).order_by(User.user_id.desc()).limit(limit + 1)
    if text:
        question = question.where(
            or_(_holds(User.email, text), _holds(User.name, text), _is_number(User.user_id, text))
        )
    if before is not None:
        question = question.where(User.user_id < before)
    found = session.execute(question).scalars().all()
    accounts_of = _counts(session, Membership.user_id, [user.user_id for user in found])
    rows = [
        FoundPerson(
            user_id=user.user_id,
            email=user.email,
            name=user.name,
            state=user.state,
            is_staff=user.is_staff,
            has_two_factor=user.totp_enabled_at_ms is not None,
            created_at_ms=user.created_at_ms,
            accounts=accounts_of.get(user.user_id, 0),
        )
        for user in found
    ]
    return _page(rows, limit, [row.user_id for row in rows])


def find_sites(session: Session, text: str, before: int | None, limit: int = PAGE_ROWS) -> Found[FoundSite]:
    """Sites by domain, earlier domain, or number."""
    block = or_(Block.site_id == Site.site_id, Block.account_id == Site.account_id)
    is_blocked = select(Block.block_id).where(block).exists()
    question = (
        select(Site, Account.name, is_blocked)
        .join(Account, Account.account_id == Site.account_id)
        .order_by(Site.site_id.desc())
        .limit(limit + 1)
    )
    if text:
        question = question.where(
            or_(_holds(Site.domain, text), _holds(Site.former_domain, text), _is_number(Site.site_id, text))
        )
    if before is not None:
        question = question.where(Site.site_id < before)
    rows = [
        FoundSite(
            site_id=site.site_id,
            domain=site.domain,
            state=site.state,
            account_id=site.account_id,
            account_name=account_name,
            is_blocked=blocked,
            first_hit_at_ms=site.first_hit_at_ms,
            created_at_ms=site.created_at_ms,
        )
        for site, account_name, blocked in session.execute(question)
    ]
    return _page(rows, limit, [row.site_id for row in rows])


def _holds(column: InstrumentedAttribute[str], text: str) -> ColumnElement[bool]:
    """Whether a column holds this text, in either case; `%` and `_` stand for themselves."""
    escaped = text.lower()
    for sign in (_ESCAPE, "%", "_"):
        escaped = escaped.replace(sign, _ESCAPE + sign)
    return func.lower(column).like(f"%{escaped}%", escape=_ESCAPE)


def _is_number(column: InstrumentedAttribute[int], text: str) -> ColumnElement[bool]:
    number = text.removeprefix("#")
    is_one = number.isascii() and number.isdecimal() and int(number[:11]) <= LARGEST_NUMBER
    return column == (int(number[:11]) if is_one else -1)


def _counts(session: Session, column: Any, numbers: Sequence[int], *conditions: Any) -> dict[int, int]:
    counted = select(column, func.count()).where(column.in_(numbers), *conditions).group_by(column)
    return dict(session.execute(counted).all())


def _page(rows: list[Row], limit: int, numbers: Sequence[int]) -> Found[Row]:
    return Found(rows[:limit], numbers[limit - 1] if len(rows) > limit else None)
