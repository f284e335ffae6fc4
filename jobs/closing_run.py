"""One run of the job `closing`: marks days to which rows came later, closes what is due, deletes what is over.

What is in these tables: `server.queries.closed_tables`. How readers come to a new version: `server.closed_days`. Which
days are due: `jobs.closing_days`. What changed: `jobs.late_rows`. All of it may be cut anywhere and done again.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import date, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from jobs.closing_chunk import Closer, ClosingLimits
from jobs.closing_days import due_groups, sites_of_shard
from jobs.closing_months import MonthCloser
from jobs.closing_open import condense_open_days
from jobs.context import JobContext
from jobs.late_rows import LOOK_BACK_MS, changed_days, late_hours, sweep_since_ms
from server.app_database import minimum_watermark, reading, writing
from server.backups.register import half_restored, is_backup_running
from server.clock import HOUR_MS, MINUTE_MS
from server.closed_days import EPOCH, closing_ms_of, mark_dirty
from server.closed_months import MONTH_BIT, month_of
from server.models import ClosedDay, ClosedMonth, OpenDay
from server.open_days import NOTHING_YET, forget_closed
from server.queries import run_query
from server.queries.closing import delete_versions
from server.queries.closing_store import ClosingConnection, ClosingStore

log = logging.getLogger(__name__)

LEFTOVER_AGE_MS = 15 * MINUTE_MS
"""A version that nobody names any more may still be read by a query that began before; and a closing that is under way
names none of its versions yet: a chunk takes a minute."""

LEFTOVERS_AT_ONCE = 2_000

SPARE_MS = 5 * MINUTE_MS
"""No group and no month is begun so shortly before the deadline: what is left is the next run's."""
STALE_WATERMARK_MS = HOUR_MS


def close_due(context: JobContext, store: ClosingStore, limits: ClosingLimits | None = None) -> int:
    """Close what is due; returns the number of rows of `events` that were condensed."""
    engine, now_ms = context.services.engine, context.now_ms()
    if half_restored(engine):
        log.warning("nothing is closed until a restore is completed")
        return 0
    until_ms = _complete_until_ms(context, now_ms)
    if context.shard.index == 0:
        _mark_changed(context, store.connection, until_ms)
    closer = Closer(
        context.services,
        store.connection,
        context.now_ms,
        limits or ClosingLimits(),
        fence=context.fence,
        progress=context.progress,
    )
    with reading(engine) as session:
        groups = due_groups(session, context.shard, until_ms)
    for group in groups:
        if _is_over(context):
            log.info("the next run goes on closing", extra={"groups": len(groups)})
            break
        closer.close(group)
    months = _sum_months(context, closer)
    condensed = condense_open_days(context, closer, until_ms)
    if context.shard.index == 0:
        delete_leftovers(context, store)
    if closer.days or condensed or months:
        log.info(
            "closed days",
            extra={"days": closer.days, "rows": closer.rows, "open_days": condensed, "months": months},
        )
    return closer.rows


def _is_over(context: JobContext) -> bool:
    """Whether nothing long is begun any more by this run."""
    return context.now_ms() > context.deadline_at_ms - SPARE_MS


def _sum_months(context: JobContext, closer: Closer) -> int:
    """Sum the months of days that were switched; at the first run of a day all that are due. Returns how many."""
    months = MonthCloser(
        context.services,
        closer.connection,
        closer.next_ms,
        fence=context.fence,
        progress=lambda message: context.progress(closer.rows, message),
        is_over=lambda: _is_over(context),
    )
    if sweep_since_ms(context.settled_until_ms, context.due_at_ms, context.now_ms()) is None:
        months.close({site_id for site_id, _ in closer.switched}, {month_of(day) for _, day in closer.switched})
    else:
        with reading(context.services.engine) as session:
            sites = [site.site_id for site in sites_of_shard(session, context.shard)]
        months.close(sites)
    return months.months


def _complete_until_ms(context: JobContext, now_ms: int) -> int:
    """Everything older is stored."""
    watermark_ms = minimum_watermark(context.services.engine)
    if watermark_ms is None:
        return now_ms
    if watermark_ms < now_ms - STALE_WATERMARK_MS:
        # Some machine has hits of that time which it cannot store, or is gone for good without having been retired.
        log.warning("days wait for a watermark", extra={"behind_s": (now_ms - watermark_ms) // 1000})
    return min(now_ms, watermark_ms)


def _mark_changed(context: JobContext, connection: ClosingConnection, until_ms: int) -> None:
    engine, now_ms = context.services.engine, context.now_ms()
    since_ms = min(context.settled_until_ms, until_ms) - LOOK_BACK_MS
    hours = late_hours(connection, since_ms)
    sweep_ms = sweep_since_ms(context.settled_until_ms, context.due_at_ms, now_ms)
    with reading(engine) as session:
        found = changed_days(session, connection, hours=hours, since_ms=sweep_ms)
    if not found:
        return
    with writing(engine) as session:
        context.fence(session)
        for site_id, days in found.items():
            mark_dirty(session, site_id, days, now_ms)
    log.info("rows came to closed days", extra={"days": sum(map(len, found.values()))})


def delete_leftovers(context: JobContext, store: ClosingStore) -> int:
    """Delete the versions that nobody names, unless they are young or a backup is being made; returns how many."""
    before_ms = context.now_ms() - LEFTOVER_AGE_MS
    found: dict[tuple[int, date], list[int]] = defaultdict(list)
    rows = run_query(store.connection, "closing_leftovers", most=LEFTOVERS_AT_ONCE, month_bit=MONTH_BIT)
    if not rows:
        return 0
    with reading(context.services.engine) as session:
        named = _named(session, {int(site_id) for site_id, _, _ in rows})
        of_open = _of_open_days(session)
        # The copy of the app database names versions that may no longer be named here. Asked last: what a backup that
        # begins from now on copies names none that is not current any more.
        if is_backup_running(session, context.now_ms()):
            return 0
        has_open = session.execute(select(OpenDay.site_id).limit(1)).first() is not None
    for site_id, number, versions in rows:
        key = (int(site_id), EPOCH + timedelta(days=int(number)))
        for version in sorted(map(int, versions)):
            is_named = (key[0], version) in named or version == of_open.get(key)
            if is_named or _made_at_ms(version) >= before_ms:
                continue
            # What an open day's readers used until the next version is as old as that one.
            if key not in of_open or any(version < each and _made_at_ms(each) < before_ms for each in versions):
                found[key].append(version)
    if found:
        context.progress(context.rows, "leftovers")
        delete_versions(store.connection, store.form, found)
    if has_open:
        with writing(context.services.engine) as session:
            context.fence(session)
            forget_closed(session)
    return sum(map(len, found.values()))


def _made_at_ms(version: int) -> int:
    return closing_ms_of(version % MONTH_BIT)


def _of_open_days(session: Session) -> dict[tuple[int, date], int]:
    begun = OpenDay.version != NOTHING_YET
    rows = session.execute(select(OpenDay.site_id, OpenDay.day, OpenDay.version).where(begun))
    return {(site_id, date.fromisoformat(day)): version for site_id, day, version in rows}


def _named(session: Session, site_ids: set[int]) -> set[tuple[int, int]]:
    """The versions, by site, that days and months have."""
    of_days = select(ClosedDay.site_id, ClosedDay.version).where(ClosedDay.site_id.in_(site_ids))
    of_months = select(ClosedMonth.site_id, ClosedMonth.version).where(ClosedMonth.site_id.in_(site_ids))
    return {(site_id, version) for each in (of_days, of_months) for site_id, version in session.execute(each)}
