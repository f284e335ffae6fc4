"""Feature flags: on for everybody, or for some accounts. A flag that nobody made is off."""

from __future__ import annotations

from sqlalchemy.orm import Session

from server.models import FeatureFlag


def is_on(session: Session, name: str, account_id: int | None = None) -> bool:
    """Whether a feature is on for an account."""
    flag = session.get(FeatureFlag, name)
    return flag is not None and (flag.is_on or (account_id is not None and account_id in flag.account_ids))


def set_flag(session: Session, name: str, *, is_on: bool, account_ids: list[int] | None = None) -> None:
    """Make or change a flag."""
    flag = session.get(FeatureFlag, name)
    if flag is None:
        session.add(FeatureFlag(name=name, is_on=is_on, account_ids=account_ids or []))
        return
    flag.is_on = is_on
    if account_ids is not None:
        flag.account_ids = account_ids
