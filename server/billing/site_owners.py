"""Which account a site's events are counted for: the one that had it when they came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from server.billing.period_rows import follow_periods
from server.models import SiteOwner, UsagePeriod

EVER_MS = 2**62
"""Later than anything."""


@dataclass(frozen=True)
class Ownership:
    """A site's time with an account: from, and until without it."""

    account_id: int
    from_ms: int
    until_ms: int


def ownerships(session: Session, accounts: Iterable[tuple[int, int]]) -> dict[int, list[Ownership]]:
    """For each of these sites, given with its account of today: who had it from when to when."""
    moves: dict[int, list[SiteOwner]] = defaultdict(list)
    for row in session.execute(select(SiteOwner).order_by(SiteOwner.site_id, SiteOwner.from_ms)).scalars():
        moves[row.site_id].append(row)
    found = {}
    for site_id, account_id in accounts:
        theirs = moves.get(site_id)
        if theirs is None:
            found[site_id] = [Ownership(account_id, 0, EVER_MS)]
            continue
        ends = [*(row.from_ms for row in theirs[1:]), EVER_MS]
        found[site_id] = [Ownership(row.account_id, row.from_ms, end) for row, end in zip(theirs, ends, strict=True)]
    return found


def note_move(session: Session, site_id: int, from_account_id: int, to_account_id: int, now_ms: int) -> None:
    """A site goes to another account now: what comes from now on is that one's. Part of the caller's transaction."""
    known = select(SiteOwner.site_id).where(SiteOwner.site_id == site_id).limit(1)
    if session.execute(known).scalar() is None:
        session.add(SiteOwner(site_id=site_id, from_ms=0, account_id=from_account_id))
    session.merge(SiteOwner(site_id=site_id, from_ms=now_ms, account_id=to_account_id))
    # In one order, so that of two moves one waits and none for ever.
    for account_id in sorted((from_account_id, to_account_id)):
        row = follow_periods(session, account_id, now_ms)
        is_later = UsagePeriod.recount_from_ms.is_(None) | (UsagePeriod.recount_from_ms > now_ms)
        marked = update(UsagePeriod).where(UsagePeriod.period_id == row.period_id, is_later)
        session.execute(marked.values(recount_from_ms=now_ms).execution_options(synchronize_session=False))
