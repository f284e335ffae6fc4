"""Condenses the open day of large sites again and again, so that today need not be read from all its events.

The same statements as for a day that is over, up to a cut: everything older is stored. A crash leaves readers on the
version before, and rows that are deleted as leftovers. At most a tenth of the time is spent on a site.
"""

from __future__ import annotations

from jobs.closing_chunk import Closer
from jobs.closing_days import bounds_ms, sites_of_shard, zones_of_sites
from jobs.context import JobContext
from server.app_database import reading, writing
from server.clock import HOUR_MS, MINUTE_MS
from server.open_days import OpenVersion, begin_open, open_version, switch_open
from server.queries import run_query
from server.queries.closing import NOTHING, Chunk, Closing, count_rows
from server.queries.periods import SiteCalendar
from server.site_zones import Zones, date_at

LEAST_INTERVAL_MS = 4 * MINUTE_MS
"""The job itself runs less often; this is for runs by hand, one after the other."""
REST = 10
"""A version is made again after so many times what it took."""
LONGEST_DAY_MS = 26 * HOUR_MS


def condense_open_days(context: JobContext, closer: Closer, until_ms: int) -> int:
    """Condense the open days that are due until this time, up to which all is stored; returns how many were."""
    limits = closer.limits
    since_s = max(0, until_ms - LONGEST_DAY_MS) // 1000
    rows = run_query(closer.connection, "closing_open", since_s=since_s, least=limits.open_least_rows)
    if not rows:
        return 0
    with reading(context.services.engine) as session:
        sites = sites_of_shard(session, context.shard, [int(site_id) for (site_id,) in rows])
        zones = zones_of_sites(session, sites)
    return sum(_condense(context, closer, site.site_id, zones[site.site_id], until_ms) for site in sites)


def _condense(context: JobContext, closer: Closer, site_id: int, zones: Zones, until_ms: int) -> bool:
    engine, limits = context.services.engine, closer.limits
    day = date_at(zones, until_ms)
    starts_at_ms, _ = bounds_ms(zones, day)
    began_ms = context.now_ms()
    with reading(engine) as session:
        before = open_version(session, site_id, day)
    is_news = before is None or before.starts_at_ms != starts_at_ms or before.cut_ms < until_ms
    if until_ms <= starts_at_ms or not is_news or (before is not None and before.next_at_ms > began_ms):
        return False
    chunk = Chunk(
        (site_id,),
        SiteCalendar(zones),
        (day,),
        closer.next_ms(),
        limits.least_events,
        limits.open_most_values,
        cut_ms=until_ms,
    )
    counted = count_rows(closer.connection, chunk).get((site_id, day), NOTHING)
    if counted.rows < limits.open_least_rows or not counted.has_one_weight:
        return False
    if before is None:
        with writing(engine) as session:
            context.fence(session)
            before = begin_open(session, site_id, day)
    closing = Closing(chunk, {(site_id, day): counted})
    closing.run(closer.connection, lambda step: context.progress(closer.rows, f"{day} open {step}"))
    context.progress(closer.rows, f"{day} open switch")
    next_at_ms = began_ms + max(LEAST_INTERVAL_MS, REST * (context.now_ms() - began_ms))
    new = OpenVersion(site_id, day, closing.versions[site_id, day], starts_at_ms, until_ms, next_at_ms)
    with writing(engine) as session:
        context.fence(session)
        return switch_open(session, before, new)
