"""Finds closed days to which rows came afterwards, and marks them dirty.

A segment may be stored long after its hits: its machine was away, it was replayed from quarantine, a server batch
carried times of last week. `ledger` says of which hours something was stored lately, by the time at which the segment
was opened; once a day every day that a replay can still reach is looked at. Whether a day really has other rows than
those it was made of is decided by counting: `closings` has the number for each version. So a day is never closed again
for nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.closing_days import DueDay, groups_of, zones_of_sites
from server.audit import ACCEPTED_LABEL
from server.clock import DAY_MS, HOUR_MS
from server.closed_days import OPEN, Standing
from server.models import ClosedDay, Site
from server.queries import run_query
from server.queries.closing import NOTHING, Chunk, count_rows
from server.queries.closing_store import ClosingConnection

LOOK_BACK_MS = 2 * HOUR_MS
"""Segments are open for seconds; whatever was opened before the last run and stored after it is younger than this, or
is found by the daily look."""

REPLAY_DAYS = 9
"""batch_id lives 7 days, and with it a replay."""

Hours = Collection[tuple[int, int]]
"""(site_id, second at which the hour begins)."""


@dataclass(frozen=True, slots=True)
class _Closed:
    site_id: int
    day: date
    standing: Standing
    starts_at_ms: int
    ends_at_ms: int


def late_hours(connection: ClosingConnection, since_ms: int) -> set[tuple[int, int]]:
    """The hours of which hits were stored in segments that were opened since then."""
    rows = run_query(connection, "closing_late", since_s=max(0, since_ms) // 1000, accepted=ACCEPTED_LABEL)
    return {(int(site_id), int(hour_s)) for site_id, hour_s in rows}


def changed_days(
    session: Session, connection: ClosingConnection, *, hours: Hours = (), since_ms: int | None = None
) -> dict[int, list[date]]:
    """Closed days whose number of rows is not the one they were made of, by site.

    Looked at are the days that these hours touch, and with `since_ms` all that ended since then.
    """
    closed = _touched(session, hours)
    if since_ms is not None:
        closed |= {(each.site_id, each.day): each for each in _rows(session, ClosedDay.ends_at_ms >= since_ms)}
    if not closed:
        return {}
    site_ids = {site_id for site_id, _ in closed}
    sites = list(session.execute(select(Site).where(Site.site_id.in_(site_ids))).scalars())
    zones = zones_of_sites(session, sites)
    counted = _counted(connection, closed.values())
    found: dict[int, list[date]] = defaultdict(list)
    for calendar in set(zones.values()):
        theirs = [each for each in closed.values() if zones.get(each.site_id) == calendar]
        for group in groups_of(calendar, (DueDay(each.site_id, each.day, each.standing) for each in theirs)):
            rows = count_rows(connection, Chunk(group.site_ids, group.calendar, group.days, closing_ms=0))
            for (site_id, day), standing in group.due.items():
                if rows.get((site_id, day), NOTHING).rows != counted.get((site_id, standing.version), 0):
                    found[site_id].append(day)
    return dict(found)


def _touched(session: Session, hours: Hours) -> dict[tuple[int, date], _Closed]:
    by_site: dict[int, list[int]] = defaultdict(list)
    for site_id, hour_s in hours:
        by_site[site_id].append(hour_s * 1000)
    found = {}
    for site_id, starts_ms in by_site.items():
        theirs = (
            (ClosedDay.site_id == site_id)
            & (ClosedDay.starts_at_ms < max(starts_ms) + HOUR_MS)
            & (ClosedDay.ends_at_ms > min(starts_ms))
        )
        for each in _rows(session, theirs):
            if any(start < each.ends_at_ms and start + HOUR_MS > each.starts_at_ms for start in starts_ms):
                found[site_id, each.day] = each
    return found


def _rows(session: Session, which: object) -> list[_Closed]:
    """Closed days that are not dirty: those are closed again anyway."""
    wanted = select(ClosedDay).where(which, ClosedDay.version != OPEN, ClosedDay.is_dirty.is_(False))  # type: ignore[arg-type]
    return [
        _Closed(
            row.site_id,
            date.fromisoformat(row.day),
            Standing(row.version, row.closed_at_ms),
            row.starts_at_ms,
            row.ends_at_ms,
        )
        for row in session.execute(wanted).scalars()
    ]


def _counted(connection: ClosingConnection, closed: Iterable[_Closed]) -> dict[tuple[int, int], int]:
    """The number of rows that each version was made of; a day without any has no line."""
    days = [each.day for each in closed]
    rows = run_query(
        connection,
        "closing_counted",
        site_ids=sorted({each.site_id for each in closed}),
        first=min(days),
        last=max(days),
    )
    return {(int(site_id), int(version)): int(event_rows) for site_id, version, event_rows in rows}


def sweep_since_ms(settled_until_ms: int, due_at_ms: int, now_ms: int) -> int | None:
    """Since when the day's look goes back, at the first run of a day (UTC); None at the others."""
    return None if settled_until_ms // DAY_MS == due_at_ms // DAY_MS else now_ms - REPLAY_DAYS * DAY_MS
