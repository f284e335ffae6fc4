"""Which days are due to be closed, and how they are put together.

A day is due when it has ended in the site's own time, everything that was answered before its end is stored (the
watermark), and it has never been closed or is dirty. Days begin with the one on which the site was created; earlier
ones are closed when they are marked (`server.closed_days.mark_dirty`), as imports do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from jobs.job import Shard
from server.closed_days import EPOCH, Standing
from server.models import ClosedDay, Site
from server.queries.periods import SiteCalendar
from server.site_zones import BEGINNING, Zones, all_zones, date_at, start_of

DESTROYED = "destroyed"
ONE_DAY = timedelta(days=1)

CHUNK_DAYS = 31
"""Days closed at once at most: a month's, which is one partition or two."""
CHUNK_SITES = 2_000
"""Sites closed at once at most: their numbers stand in each statement."""


@dataclass(frozen=True, slots=True)
class DueDay:
    """A day to close, and what is known of it."""

    site_id: int
    day: date
    standing: Standing


@dataclass(frozen=True)
class Group:
    """Due days of sites with the same zones: consecutive days, all due for all of these sites."""

    zones: Zones
    days: tuple[date, ...]
    due: Mapping[tuple[int, date], Standing]

    @property
    def calendar(self) -> SiteCalendar:
        """When its days begin."""
        return SiteCalendar(self.zones)

    @property
    def site_ids(self) -> tuple[int, ...]:
        """Its sites."""
        return tuple(sorted({site_id for site_id, _ in self.due}))

    def halves(self) -> tuple[Group, Group]:
        """The earlier and the later days."""
        middle = len(self.days) // 2
        first, second = (
            Group(self.zones, days, {key: standing for key, standing in self.due.items() if key[1] in set(days)})
            for days in (self.days[:middle], self.days[middle:])
        )
        return first, second


def zones_of_sites(session: Session, sites: Collection[Site]) -> dict[int, Zones]:
    """The zones of each of these sites."""
    changed = all_zones(session, [site.site_id for site in sites])
    return {site.site_id: changed.get(site.site_id, ((BEGINNING, site.timezone),)) for site in sites}


def sites_of_shard(session: Session, shard: Shard, site_ids: Collection[int] | None = None) -> list[Site]:
    """The sites of a piece of the job that still exist; only these when `site_ids` says so."""
    wanted = select(Site).where(Site.state != DESTROYED, Site.site_id % shard.count == shard.index)
    if site_ids is not None:
        wanted = wanted.where(Site.site_id.in_(site_ids))
    return list(session.execute(wanted.order_by(Site.site_id)).scalars())


def due_groups(session: Session, shard: Shard, until_ms: int, site_ids: Collection[int] | None = None) -> list[Group]:
    """Everything that is due, the longest overdue first. `until_ms`: days that end later are still open."""
    sites = sites_of_shard(session, shard, site_ids)
    zones = zones_of_sites(session, sites)
    known = _known(session, zones, until_ms)
    by_zones: dict[Zones, list[DueDay]] = defaultdict(list)
    for site in sites:
        calendar = zones[site.site_id]
        last = date_at(calendar, until_ms) - ONE_DAY
        created = max(date_at(calendar, site.created_at_ms), EPOCH)
        standing = known[site.site_id]
        due = {day: _standing(row) for day, row in standing.dirty.items() if day <= last and day >= EPOCH}
        if standing.closed_since(created) < (last - created).days + 1:
            present = _days_of(session, site.site_id, created)
            due |= {day: Standing() for day in _days(created, last) if day not in present}
        by_zones[calendar] += [DueDay(site.site_id, day, each) for day, each in due.items()]
    groups = [group for calendar, days in by_zones.items() for group in groups_of(calendar, days)]
    return sorted(groups, key=lambda group: group.days[0])


def groups_of(zones: Zones, due: Iterable[DueDay]) -> list[Group]:
    """Put days together that follow each other and are due for the same sites."""
    sites_of: dict[date, dict[int, Standing]] = defaultdict(dict)
    for each in due:
        sites_of[each.day][each.site_id] = each.standing
    groups: list[Group] = []
    for sites, days in _runs(sites_of):
        for start in range(0, len(sites), CHUNK_SITES):
            some = sites[start : start + CHUNK_SITES]
            groups.append(
                Group(zones, tuple(days), {(site_id, day): sites_of[day][site_id] for day in days for site_id in some})
            )
    return groups


def bounds_ms(zones: Zones, day: date) -> tuple[int, int]:
    """When a day begins and ends."""
    return start_of(zones, day) * 1000, start_of(zones, day + ONE_DAY) * 1000


def _runs(sites_of: Mapping[date, Mapping[int, Standing]]) -> Iterator[tuple[Sequence[int], list[date]]]:
    days: list[date] = []
    for day in sorted(sites_of):
        if days and (
            day != days[-1] + ONE_DAY or len(days) == CHUNK_DAYS or sites_of[day].keys() != sites_of[days[-1]].keys()
        ):
            yield sorted(sites_of[days[-1]]), days
            days = []
        days.append(day)
    if days:
        yield sorted(sites_of[days[-1]]), days


class _Known:
    """What `closed_days` has of a site: its dirty days, and how many rows there are from which day on."""

    def __init__(self, first: str = "", rows: int = 0) -> None:
        self.first = first
        self.rows = rows
        self.dirty: dict[date, tuple[int, int]] = {}

    def closed_since(self, created: date) -> int:
        """How many days from the creation on have a row; 0 when that is not known without looking at them."""
        return self.rows if self.first >= created.isoformat() else 0


def _known(session: Session, zones: Mapping[int, Zones], until_ms: int) -> dict[int, _Known]:
    found: dict[int, _Known] = {site_id: _Known() for site_id in zones}
    counts = select(ClosedDay.site_id, func.min(ClosedDay.day), func.count()).where(ClosedDay.ends_at_ms <= until_ms)
    for site_id, first, rows in session.execute(counts.group_by(ClosedDay.site_id)):
        if site_id in found:
            found[site_id] = _Known(first, rows)
    dirty = select(ClosedDay.site_id, ClosedDay.day, ClosedDay.version, ClosedDay.closed_at_ms)
    for site_id, day, version, changed_at_ms in session.execute(dirty.where(ClosedDay.is_dirty)):
        if site_id in found:
            found[site_id].dirty[date.fromisoformat(day)] = (version, changed_at_ms)
    return found


def _days_of(session: Session, site_id: int, first: date) -> set[date]:
    days = select(ClosedDay.day).where(ClosedDay.site_id == site_id, ClosedDay.day >= first.isoformat())
    return {date.fromisoformat(day) for day in session.execute(days).scalars()}


def _days(first: date, last: date) -> Iterator[date]:
    while first <= last:
        yield first
        first += ONE_DAY


def _standing(row: tuple[int, int]) -> Standing:
    return Standing(*row)
