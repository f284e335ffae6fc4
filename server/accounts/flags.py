"""Feature flags: on for everybody, or for some accounts. A flag that nobody made is off."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import FormError, NotThere
from server.models import Account, FeatureFlag

# What code asks for; a few dozen at most are alive at a time.
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
MOST_FLAGS = 200
MOST_ACCOUNTS = 1000


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


def list_flags(session: Session) -> Sequence[FeatureFlag]:
    """All flags, by name."""
    return session.execute(select(FeatureFlag).order_by(FeatureFlag.name).limit(MOST_FLAGS)).scalars().all()


def flags_of(session: Session, account_id: int) -> list[tuple[str, bool, bool]]:
    """Each flag: its name, whether it is on for everybody, whether it is on for this account by name."""
    return [(flag.name, flag.is_on, account_id in flag.account_ids) for flag in list_flags(session)]


def change_flag(session: Session, name: str, is_on: bool, accounts: str, actor: int, now_ms: int) -> None:
    """Make or change a flag by a form: `accounts` are numbers between blanks or commas. Raises `FormError`."""
    name = name.strip().lower()
    if not _NAME.fullmatch(name):
        raise FormError("name", "A name has up to 64 of a-z, 0-9, dot, dash and underscore, and begins with a letter.")
    account_ids = _parse_accounts(session, accounts)
    if session.get(FeatureFlag, name) is None and len(list_flags(session)) >= MOST_FLAGS:
        raise FormError("name", f"There are {MOST_FLAGS} flags already: remove one that no code asks for.")
    set_flag(session, name, is_on=is_on, account_ids=account_ids)
    write_entry(session, Action.FLAG_CHANGED, now_ms, actor=actor, target=name, is_on=is_on, accounts=account_ids)


def set_for_account(session: Session, name: str, account_id: int, is_on: bool, actor: int, now_ms: int) -> None:
    """Turn a flag on or off for one account. Raises `NotThere`, `FormError`."""
    flag = session.get(FeatureFlag, name, with_for_update=True)
    if flag is None or session.get(Account, account_id) is None:
        raise NotThere("flag")
    kept = [number for number in flag.account_ids if number != account_id]
    if is_on and len(kept) >= MOST_ACCOUNTS:
        raise FormError("", f"A flag names at most {MOST_ACCOUNTS} accounts: turn it on for everybody instead.")
    flag.account_ids = [*kept, account_id] if is_on else kept
    write_entry(session, Action.FLAG_CHANGED, now_ms, actor=actor, account_id=account_id, target=name, is_on=is_on)


def remove_flag(session: Session, name: str, actor: int, now_ms: int) -> None:
    """Forget a flag: it is off for everybody. Raises `NotThere`."""
    flag = session.get(FeatureFlag, name)
    if flag is None:
        raise NotThere("flag")
    session.delete(flag)
    write_entry(session, Action.FLAG_REMOVED, now_ms, actor=actor, target=name)


def _parse_accounts(session: Session, text: str) -> list[int]:
    parts = text.replace(",", " ").split()
    if len(parts) > MOST_ACCOUNTS:
        raise FormError("accounts", f"At most {MOST_ACCOUNTS} accounts.")
    if not all(part.isascii() and part.isdecimal() and len(part) <= 9 for part in parts):
        raise FormError("accounts", "Numbers of accounts, with blanks between them.")
    numbers = sorted({int(part) for part in parts})
    there = set(session.execute(select(Account.account_id).where(Account.account_id.in_(numbers))).scalars())
    missing = [number for number in numbers if number not in there]
    if missing:
        raise FormError("accounts", f"There is no account {missing[0]}.")
    return numbers
