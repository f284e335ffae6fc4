"""Sums the days of months that are closed whole, so that long lists over months need not read each day.

| step | a crash after it leaves |
|---|---|
| claim | a version without rows, which nobody reads, until the month is claimed again |
| write `closings`, then the month's rows | rows of that version, likewise: deleted as leftovers afterwards |
| hold their sums against the days' totals | the same |
| switch, in one transaction with a look at the days and the claim | nothing: it is done or not |

A month is due when each of its days is closed and not dirty, some have values, and its rows are not of these versions.
Looked at are the months of days that were switched by this run, and at the first run of a day all of them.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.closing_days import bounds_ms, zones_of_sites
from server.app_database import reading, writing
from server.closed_days import OPEN, has_values
from server.closed_months import (
    MonthRows,
    claim_month,
    dates_of,
    last_date,
    month_of,
    month_version_of,
    switch_month,
)
from server.models import ClosedDay, ClosedMonth, Site
from server.queries.closing_months import sums_agree, write_month
from server.queries.closing_store import ClosingConnection
from server.services import Services
from server.site_zones import Zones

log = logging.getLogger(__name__)

SITES_AT_ONCE = 100
"""A month's days of each stand in one statement."""

Versions = dict[date, int]


class MonthCloser:
    """Writes months. `next_ms` gives a time that no other attempt has; `fence` joins the transaction of the switch.

    None is begun once `is_over`: what is left is found by the first run of the next day.
    """

    def __init__(
        self,
        services: Services,
        connection: ClosingConnection,
        next_ms: Callable[[], int],
        fence: Callable[[Session], None] = lambda session: None,
        progress: Callable[[str], None] = lambda message: None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> None:
        self._services = services
        self._connection = connection
        self._next_ms = next_ms
        self._fence = fence
        self._progress = progress
        self._is_over = is_over
        self.months = 0
        """Months of sites that were switched."""

    def close(self, site_ids: Collection[int], months: Collection[date] | None = None) -> None:
        """Write what is due of these sites, and of these months if any are named. Raises what the stores raise."""
        for some in _portions(sorted(site_ids)):
            with reading(self._services.engine) as session:
                due = due_months(session, some, months)
            for month, of_sites in sorted(due.items()):
                if self._is_over():
                    return
                self._write(month, of_sites)

    def _write(self, month: date, of_sites: dict[int, Versions]) -> None:
        version = month_version_of(self._next_ms(), month)
        with writing(self._services.engine) as session:
            self._fence(session)
            claimed = claim_month(session, month, version, of_sites)
        if not claimed:
            return
        theirs = {site_id: of_sites[site_id] for site_id in claimed}
        self._progress(f"{month:%Y-%m} begun")
        write_month(self._connection, month, version, theirs)
        self._progress(f"{month:%Y-%m} check")
        agreeing = sums_agree(self._connection, month, version, theirs)
        self._progress(f"{month:%Y-%m} switch")
        with writing(self._services.engine) as session:
            self._fence(session)
            for site_id in agreeing:
                self.months += switch_month(session, site_id, month, version, theirs[site_id])
        if len(agreeing) < len(theirs):
            # Rows were away meanwhile, or are lost. Lists are read from the days, and it is tried again the next day.
            sites = sorted(set(theirs) - set(agreeing))
            log.warning("a month is not the sum of its days", extra={"month": month.isoformat(), "sites": sites})
        self._progress(f"{month:%Y-%m} closed")


def due_months(
    session: Session, site_ids: Collection[int], months: Collection[date] | None = None
) -> dict[date, dict[int, Versions]]:
    """The months to write, with the versions of their days by site."""
    sites = list(session.execute(select(Site).where(Site.site_id.in_(site_ids))).scalars())
    zones = zones_of_sites(session, sites)
    wanted = select(ClosedDay.site_id, ClosedDay.day, ClosedDay.version, ClosedDay.is_dirty).where(
        ClosedDay.site_id.in_(site_ids)
    )
    if months is not None:
        if not months:
            return {}
        wanted = wanted.where(
            ClosedDay.day >= min(months).isoformat(), ClosedDay.day <= last_date(max(months)).isoformat()
        )
    found: dict[tuple[int, date], Versions] = defaultdict(dict)
    for site_id, text, version, is_dirty in session.execute(wanted):
        if version != OPEN and not is_dirty:
            day = date.fromisoformat(text)
            found[site_id, month_of(day)][day] = version
    rows = select(ClosedMonth).where(ClosedMonth.site_id.in_(site_ids))
    known = {
        (row.site_id, date.fromisoformat(row.month)): MonthRows(row.version, row.days_digest)
        for row in session.execute(rows).scalars()
    }
    due: dict[date, dict[int, Versions]] = defaultdict(dict)
    for (site_id, month), versions in found.items():
        if site_id not in zones or (months is not None and month not in months):
            continue
        # A date that the zone skipped has no length, and need not be closed.
        days = [day for day in dates_of(month) if _has_length(zones[site_id], day)]
        if any(day not in versions for day in days) or not any(map(has_values, versions.values())):
            continue
        theirs = {day: versions[day] for day in days}
        before = known.get((site_id, month))
        if before is None or not before.is_of(theirs.values()):
            due[month][site_id] = theirs
    return due


def _has_length(zones: Zones, day: date) -> bool:
    start_ms, end_ms = bounds_ms(zones, day)
    return start_ms < end_ms


def _portions(site_ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(site_ids), SITES_AT_ONCE):
        yield site_ids[start : start + SITES_AT_ONCE]
