"""A site's time zones over the years: a change never moves a day that has been counted.

`site_timezones` says from which local date on a zone holds; a site that never changed has no rows there, and
`Site.timezone` holds for all its days. `Site.timezone` is always the newest choice, which may hold from tomorrow only.
The zone of a date decides when that date begins, so the last day before a change lasts until the first one after it
begins, whatever lies between.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from server.clock import utc_date
from server.models import Site, SiteTimezone

Zones = tuple[tuple[date, str], ...]
"""(first date, zone name), ascending; the first entry holds before its date too."""

# The first date of the zone that a site had before its first change.
BEGINNING = date.min

# Made once: every question about a site begins with it.
_ZONES_OF_SITE = (
    select(SiteTimezone.from_day, SiteTimezone.timezone)
    .where(SiteTimezone.site_id == bindparam("site_id"))
    .order_by(SiteTimezone.from_day)
)


@cache
def zone_names() -> tuple[str, ...]:
    """All time zones there are, sorted. To ask for them walks a folder of 600 files, so it is done once."""
    return tuple(sorted(available_timezones()))


def zones_of(session: Session, site: Site) -> Zones:
    """A site's zones."""
    rows = session.execute(_ZONES_OF_SITE, {"site_id": site.site_id})
    changed = tuple((date.fromisoformat(from_day), timezone) for from_day, timezone in rows)
    return changed or ((BEGINNING, site.timezone),)


def all_zones(session: Session, site_ids: Collection[int] | None = None) -> dict[int, Zones]:
    """The zones of these sites, or of all, as far as they ever changed."""
    wanted = select(SiteTimezone).order_by(SiteTimezone.site_id, SiteTimezone.from_day)
    if site_ids is not None:
        wanted = wanted.where(SiteTimezone.site_id.in_(site_ids))
    found: dict[int, list[tuple[date, str]]] = {}
    for row in session.execute(wanted).scalars():
        found.setdefault(row.site_id, []).append((date.fromisoformat(row.from_day), row.timezone))
    return {site_id: tuple(zones) for site_id, zones in found.items()}


def zone_of_date(zones: Zones, day: date) -> str:
    """The zone that decides when this date begins."""
    return next((zone for first, zone in reversed(zones) if first <= day), zones[0][1])


def start_of(zones: Zones, day: date) -> int:
    """The second (UTC) at which a date begins."""
    # Where a clock change skips midnight, fold=0 counts with the offset before it, which gives the change itself.
    zone = ZoneInfo(zone_of_date(zones, day))
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC).timestamp())


def date_at(zones: Zones, now_ms: int) -> date:
    """The site's local date at this time."""
    day = utc_date(now_ms) + timedelta(days=1)
    while start_of(zones, day) * 1000 > now_ms:
        day -= timedelta(days=1)
    return day


def change_zone(session: Session, site: Site, timezone: str, now_ms: int) -> date | None:
    """Let a zone hold from the next local date whose midnight is still to come; part of the caller's transaction.

    Returns that date, None when the zone holds already. A change that has not begun is replaced, unless today has been
    lasting longer because of it: then it stays for a day.
    """
    zones = zones_of(session, site)
    today = date_at(zones, now_ms)
    begun = sum(1 for first, _ in zones if first <= today)
    kept = next(zones[:count] for count in range(begun, len(zones) + 1) if date_at(zones[:count], now_ms) == today)
    site.timezone = timezone
    last, in_force = kept[-1]
    theirs = SiteTimezone.site_id == site.site_id
    session.execute(delete(SiteTimezone).where(theirs))
    if timezone != in_force:
        first = max(today, last) + timedelta(days=1)
        while start_of(((BEGINNING, timezone),), first) <= max(
            now_ms // 1000, start_of(kept, first - timedelta(days=1))
        ):
            first += timedelta(days=1)
        kept = (*kept, (first, timezone))
    if len(kept) > 1:
        session.add_all(SiteTimezone(site_id=site.site_id, from_day=str(day), timezone=zone) for day, zone in kept)
    first, _ = kept[-1]
    return first if first > today else None
