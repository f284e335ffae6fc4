"""Counts one day (UTC) of some sites and writes what is new, in one transaction with the sums of their periods.

A day is cut into pieces where a period begins or a site changes hands, and each piece is counted for the account that
had the site and the period that ran. Periods may be cut while the store counts: an account whose periods are others
when it comes to writing is left out, for its mark brings it up in the next run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobs.context import JobContext
from server.app_database import reading, writing
from server.billing.capacity import note_change
from server.billing.plan_changes import plan_of
from server.billing.site_owners import Ownership
from server.clock import DAY_MS
from server.models import UsageDay, UsagePeriod
from server.snapshot import announce

if TYPE_CHECKING:
    from jobs.usage_run import UsageStore


@dataclass(frozen=True)
class DayCount:
    """What is to be counted. `owners`: for each site who had it when."""

    day: date
    site_ids: tuple[int, ...]
    owners: Mapping[int, Sequence[Ownership]]

    @property
    def starts_at_ms(self) -> int:
        """When the day begins."""
        return int(datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC).timestamp()) * 1000

    @property
    def ends_at_ms(self) -> int:
        """When it is over."""
        return self.starts_at_ms + DAY_MS


@dataclass(frozen=True)
class Piece:
    """A stretch of the day that is one site's in one period."""

    account_id: int
    period_id: int
    site_id: int
    from_ms: int
    until_ms: int


def count_day(context: JobContext, store: UsageStore, asked: DayCount) -> None:
    """Count, and write what changed. Raises what the stores raise."""
    engine = context.services.engine
    account_ids = {each.account_id for theirs in asked.owners.values() for each in theirs}
    with reading(engine) as session:
        periods = _periods(session, account_ids, asked)
        present = _present(session, asked, account_ids)
    pieces = _pieces(asked, periods)
    if not pieces:
        return
    cuts = sorted({asked.starts_at_ms, *(piece.from_ms for piece in pieces), *(piece.until_ms for piece in pieces)})
    cuts = [cut for cut in cuts if cut < asked.ends_at_ms]
    counted: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for site_id, cut, events in store.count(asked.site_ids, asked.starts_at_ms, asked.ends_at_ms, cuts):
        counted[site_id].append((cut, events))
    events_of = {
        piece: sum(events for cut, events in counted[piece.site_id] if piece.from_ms <= cut < piece.until_ms)
        for piece in pieces
    }
    if not _differing(present, events_of):
        return  # as nearly always when the daily look comes by
    with writing(engine) as session:
        context.fence(session)
        same = _unchanged(periods, _periods(session, account_ids, asked, is_locking=True))
        theirs = {piece: events for piece, events in events_of.items() if piece.account_id in same}
        changed = _write(session, asked, theirs, same)
        is_told = _sum_up(session, context, changed)
    if is_told:
        announce(context.services.settings)


def _periods(
    session: Session, account_ids: set[int], asked: DayCount, *, is_locking: bool = False
) -> dict[int, list[UsagePeriod]]:
    """The periods of each account that touch the day and are not frozen."""
    touches = (UsagePeriod.starts_at_ms < asked.ends_at_ms) & (UsagePeriod.ends_at_ms > asked.starts_at_ms)
    wanted = select(UsagePeriod).where(UsagePeriod.account_id.in_(account_ids), touches)
    wanted = wanted.where(UsagePeriod.frozen_at_ms.is_(None)).order_by(UsagePeriod.period_id)
    found: dict[int, list[UsagePeriod]] = defaultdict(list)
    for row in session.execute(wanted.with_for_update() if is_locking else wanted).scalars():
        found[row.account_id].append(row)
    return found


def _unchanged(before: Mapping[int, list[UsagePeriod]], now: Mapping[int, list[UsagePeriod]]) -> set[int]:
    def bounds(rows: Sequence[UsagePeriod]) -> list[tuple[int, int, int]]:
        return [(row.period_id, row.starts_at_ms, row.ends_at_ms) for row in rows]

    return {account_id for account_id, rows in before.items() if bounds(rows) == bounds(now.get(account_id, []))}


def _pieces(asked: DayCount, periods: Mapping[int, list[UsagePeriod]]) -> list[Piece]:
    found = []
    for site_id in asked.site_ids:
        for owner in asked.owners[site_id]:
            for row in periods.get(owner.account_id, ()):
                from_ms = max(asked.starts_at_ms, owner.from_ms, row.starts_at_ms)
                until_ms = min(asked.ends_at_ms, owner.until_ms, row.ends_at_ms)
                if from_ms < until_ms:
                    found.append(Piece(owner.account_id, row.period_id, site_id, from_ms, until_ms))
    return found


Stored = Mapping[tuple[int, int], UsageDay]
"""By period and site."""

Counted = tuple[int, int, int]
"""From, until and events."""


def _present(session: Session, asked: DayCount, account_ids: set[int]) -> Stored:
    """What was counted before."""
    theirs = select(UsageDay).join(UsagePeriod, UsagePeriod.period_id == UsageDay.period_id)
    theirs = theirs.where(UsageDay.site_id.in_(asked.site_ids), UsageDay.day == str(asked.day))
    theirs = theirs.where(UsagePeriod.account_id.in_(account_ids), UsagePeriod.frozen_at_ms.is_(None))
    return {(row.period_id, row.site_id): row for row in session.execute(theirs).scalars()}


def _differing(present: Stored, events_of: Mapping[Piece, int]) -> dict[tuple[int, int], Counted | None]:
    """What is to be written over what is there, by period and site; None for what is to go."""
    merged: dict[tuple[int, int], Counted] = {}
    for piece, events in events_of.items():
        # A site that came back to an account within a day has two pieces in one period.
        from_ms, until_ms, sum_ = merged.get((piece.period_id, piece.site_id), (piece.from_ms, piece.until_ms, 0))
        bounds = (min(from_ms, piece.from_ms), max(until_ms, piece.until_ms))
        merged[piece.period_id, piece.site_id] = (*bounds, sum_ + events)
    found: dict[tuple[int, int], Counted | None] = {key: None for key in present if key not in merged}
    for key, (from_ms, until_ms, events) in merged.items():
        row = present.get(key)
        if row is None:
            if events:
                found[key] = (from_ms, until_ms, events)
            continue
        before = (row.from_ms, row.until_ms, row.events)
        # Within the same bounds fewer rows mean that some were deleted, and those were used.
        least = row.events if before[:2] == (from_ms, until_ms) else 0
        if before != (from_ms, until_ms, max(events, least)):
            found[key] = (from_ms, until_ms, max(events, least))
    return found


def _write(session: Session, asked: DayCount, events_of: Mapping[Piece, int], accounts: set[int]) -> set[int]:
    """Write the counts that are new; the periods whose sum may be another now."""
    present = _present(session, asked, accounts)
    differing = _differing(present, events_of)
    for (period_id, site_id), counted in differing.items():
        row = present.get((period_id, site_id))
        if counted is None:
            session.delete(row)
            continue
        if row is None:
            row = UsageDay(period_id=period_id, site_id=site_id, day=str(asked.day))
            session.add(row)
        row.from_ms, row.until_ms, row.events = counted
    session.flush()
    return {period_id for period_id, _ in differing}


def _sum_up(session: Session, context: JobContext, period_ids: set[int]) -> bool:
    """Bring the sums of periods up to date; whether fronts are to hear of one that came over its plan or under it."""
    is_told = False
    sums = select(UsageDay.period_id, func.sum(UsageDay.events)).where(UsageDay.period_id.in_(period_ids))
    events_of = {period_id: int(events) for period_id, events in session.execute(sums.group_by(UsageDay.period_id))}
    for row in session.execute(select(UsagePeriod).where(UsagePeriod.period_id.in_(period_ids))).scalars():
        before, row.counted_events = row.counted_events, events_of.get(row.period_id, 0)
        row.counted_at_ms = context.now_ms()
        if row.depleted_at_ms is not None:
            limit = plan_of(session, row.account_id).monthly_events
            if (before >= limit) != (row.counted_events >= limit):
                note_change(session, context.services, row.account_id)
                is_told = True
    return is_told
