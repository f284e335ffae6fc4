"""Which version of a site's day readers use: the switch between closings, in the app database.

A closing writes its rows under a version of its own, which nobody reads, and then `switch` names it, in one statement
per day that changes nothing when somebody else was faster. Whatever a crash leaves behind is rows that no day names.

A version is unique for each (site, day): the time of the closing, whether the day is large enough for breakdowns, and
the number of the day. So a set of versions is all that a query has to check. Imports write their figures under
their own number, which is below every version.

`closed_at_ms` is also what tells whether a day was marked dirty while it was being closed: `mark_dirty` moves it on,
and a switch that finds it moved leaves the day dirty.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import case, select, update
from sqlalchemy.orm import Session

from server.app_database import inserting
from server.models import ClosedDay, Site
from server.site_zones import start_of, zones_of

EPOCH = date(1970, 1, 1)
DAY_NUMBERS = 65_536
"""ClickHouse's Date ends in 2149."""
ROWS_AT_ONCE = 500
"""In one statement of the app database."""
OPEN = 0
"""The version of a day that was marked dirty before it was ever closed: readers take it for an open one."""


def version_of(closing_ms: int, day: date, *, has_values: bool) -> int:
    """The version of a day's closing that began then."""
    return (closing_ms * 2 + has_values) * DAY_NUMBERS + (day - EPOCH).days


def has_values(version: int) -> bool:
    """Whether this version has breakdowns by value in `daily`, and hours; else only the day's totals and its visits."""
    return bool(version // DAY_NUMBERS & 1)


def day_of(version: int) -> date:
    """The day that a version is of."""
    return EPOCH + timedelta(days=version % DAY_NUMBERS)


def closing_ms_of(version: int) -> int:
    """When the closing of this version began."""
    return version // DAY_NUMBERS // 2


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a day before it is closed: the version in use, and when it was last closed or marked."""

    version: int = OPEN
    changed_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Switch:
    """A day that has been closed: what it was before, and what readers are to use from now on."""

    site_id: int
    day: date
    before: Standing
    version: int
    starts_at_ms: int
    ends_at_ms: int
    closed_at_ms: int


def closed_topic(site_id: int) -> str:
    """What answers are remembered under that whoever changes a site's past makes out of date."""
    return f"site:{site_id}:closed"


def closed_versions(session: Session, site_id: int, first: date, last: date) -> dict[date, int]:
    """The versions of a site's closed days from the first to the last; a day that is not there is open."""
    rows = session.execute(
        select(ClosedDay.day, ClosedDay.version).where(
            ClosedDay.site_id == site_id,
            ClosedDay.day >= first.isoformat(),
            ClosedDay.day <= last.isoformat(),
            ClosedDay.version != OPEN,
        )
    )
    return {date.fromisoformat(day): version for day, version in rows}


def mark_dirty(session: Session, site_id: int, days: Iterable[date | str], now_ms: int) -> None:
    """Have days closed again, or for the first time; part of the caller's transaction.

    Any day that has ended may be named, also one before the site was created. Days that are still open are passed over
    by whoever closes. A site that is gone is ignored.
    """
    site = session.get(Site, site_id)
    if site is None:
        return
    zones = zones_of(session, site)
    for day in sorted({each if isinstance(each, date) else date.fromisoformat(each) for each in days}):
        values = {
            "site_id": site_id,
            "day": day.isoformat(),
            "version": OPEN,
            "is_dirty": True,
            "starts_at_ms": start_of(zones, day) * 1000,
            "ends_at_ms": start_of(zones, day + timedelta(days=1)) * 1000,
            "closed_at_ms": now_ms,
        }
        later = case((ClosedDay.closed_at_ms >= now_ms, ClosedDay.closed_at_ms + 1), else_=now_ms)
        session.execute(
            inserting(session, ClosedDay)
            .values(values)
            .on_conflict_do_update(
                index_elements=[ClosedDay.site_id, ClosedDay.day], set_={"is_dirty": True, "closed_at_ms": later}
            )
        )


def switch(session: Session, done: Collection[Switch]) -> list[Switch]:
    """Let readers use the new versions; part of the caller's transaction. Returns those that were switched.

    A day that another closing switched meanwhile, or whose site is gone, stays as it is. One that was marked dirty
    meanwhile is switched and stays dirty.
    """
    theirs = Site.site_id.in_({each.site_id for each in done})
    there = set(session.execute(select(Site.site_id).where(theirs)).scalars())
    known = [each for each in done if each.site_id in there]
    first = [each for each in known if each.before.changed_at_ms == 0]
    switched: set[tuple[int, str]] = set()
    for start in range(0, len(first), ROWS_AT_ONCE):
        switched |= _add(session, first[start : start + ROWS_AT_ONCE])
    for each in known:
        if each.before.changed_at_ms and _replace(session, each):
            switched.add((each.site_id, each.day.isoformat()))
    return [each for each in known if (each.site_id, each.day.isoformat()) in switched]


def _values(each: Switch) -> dict[str, int]:
    return {
        "version": each.version,
        "starts_at_ms": each.starts_at_ms,
        "ends_at_ms": each.ends_at_ms,
        "closed_at_ms": each.closed_at_ms,
    }


def _add(session: Session, some: Sequence[Switch]) -> set[tuple[int, str]]:
    """Days that had no row; which of them were switched."""
    statement = inserting(session, ClosedDay).values(
        [{**_values(each), "site_id": each.site_id, "day": each.day.isoformat(), "is_dirty": False} for each in some]
    )
    # Somebody marked it dirty meanwhile, for the first time: it has no version yet, and stays dirty.
    statement = statement.on_conflict_do_update(
        index_elements=[ClosedDay.site_id, ClosedDay.day],
        set_={name: statement.excluded[name] for name in _values(some[0])},
        where=ClosedDay.version == OPEN,
    )
    found = session.execute(statement.returning(ClosedDay.site_id, ClosedDay.day))
    return {(site_id, day) for site_id, day in found}


def _replace(session: Session, each: Switch) -> bool:
    """A day that had a row: whether it was switched."""
    is_unchanged = ClosedDay.closed_at_ms == each.before.changed_at_ms
    found = session.execute(
        update(ClosedDay)
        .where(
            ClosedDay.site_id == each.site_id,
            ClosedDay.day == each.day.isoformat(),
            ClosedDay.version == each.before.version,
        )
        .values(**_values(each), is_dirty=case((is_unchanged, False), else_=True))
        .returning(ClosedDay.version)
        .execution_options(synchronize_session=False)
    )
    return found.scalar() is not None
