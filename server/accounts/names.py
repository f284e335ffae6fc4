"""Who the numbers in rows are."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.models import Account, User


def names_of(session: Session, user_ids: Iterable[int | None]) -> dict[int, str]:
    """What people are called, by number; an address stands for a missing name. One statement."""
    numbers = {number for number in user_ids if number is not None}
    if not numbers:
        return {}
    named = select(User.user_id, User.name, User.email).where(User.user_id.in_(numbers))
    return {number: name or email for number, name, email in session.execute(named)}


def account_names(session: Session, account_ids: Iterable[int | None]) -> dict[int, str]:
    """What accounts are called, by number. One statement."""
    numbers = {number for number in account_ids if number is not None}
    if not numbers:
        return {}
    named = select(Account.account_id, Account.name).where(Account.account_id.in_(numbers))
    return dict(session.execute(named).all())
