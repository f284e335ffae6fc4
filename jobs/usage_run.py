"""One run of the job `usage`: periods go on, days are counted, owners are told, old periods are frozen.

| step | a crash after it leaves |
|---|---|
| periods begin and are cut, with a mark since when to count | marks, which the next run finds |
| days are counted, some sites of one day in one transaction | counts of whole days; the marks are still there |
| marks are taken away | nothing |
| who passed 80 % or 100 % is noted and told, each in one transaction | the others, whom the next run finds |
| periods that nothing can reach any more are frozen | nothing |

A day of a site is counted again when the ledger says that something was stored in it lately, once a day as far back as
a late flush or a replay can reach (`SWEEP_DAYS`), and where a mark says so. Counting is exact, so counting again puts
right whatever came late. A count only falls where the stretch of time changed that it belongs to: rows that are deleted
later were used all the same.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Protocol

from sqlalchemy import select, update

from jobs.context import JobContext
from jobs.usage_days import DayCount, count_day
from server.app_database import minimum_watermark, reading, writing
from server.billing.capacity import WARNED_PERCENT, CapacityState, judge
from server.billing.period_rows import follow_periods, last_periods, period_of, terms_of
from server.billing.periods import follow
from server.billing.plan_changes import plan_of
from server.billing.plans import PLANS
from server.billing.site_owners import Ownership, ownerships
from server.clock import DAY_MS, HOUR_MS, utc_date
from server.demo.rows import DEMO_DOMAIN
from server.models import Account, Site, UsagePeriod
from server.models.accounts import GONE_ACCOUNT_STATES
from server.sites import GONE_STATES
from server.snapshot import announce

log = logging.getLogger(__name__)

LOOK_BACK_MS = 6 * HOUR_MS
"""Segments are open for seconds, and stored within hours after an outage; the daily look finds what took longer."""

SWEEP_DAYS = 11
"""How far the daily look goes back before the last run. Times that clients supply are up to 7 days old, and so are
replays: whatever is stored up to 9 days after its time is found before its period is frozen, even if a look fails."""

ACCOUNTS_AT_ONCE = 200
SITES_AT_ONCE = 500
"""Counted by one statement and written by one transaction."""


class UsageStore(Protocol):
    """`server.queries.usage.EventUsage`."""

    def hours_since(self, since_ms: int) -> set[tuple[int, int]]:
        """The hours of which something was stored lately."""

    def count(
        self, site_ids: Sequence[int], day_ms: int, until_ms: int, cuts: Sequence[int]
    ) -> list[tuple[int, int, int]]:
        """The billable events of a day by site and piece."""


def meter(context: JobContext, store: UsageStore) -> int:
    """Do all of it; returns how many counts of a site and day were looked at."""
    now_ms = context.now_ms()
    settled_ms = min(context.settled_until_ms, now_ms)
    # The first run of a day (UTC) looks at everything that may still have changed.
    is_sweeping = settled_ms // DAY_MS != now_ms // DAY_MS
    swept_since_ms = (settled_ms - SWEEP_DAYS * DAY_MS) // DAY_MS * DAY_MS
    _follow_all(context, now_ms)
    with reading(context.services.engine) as session:
        kept = Site.state.not_in(GONE_STATES) & (Site.domain != DEMO_DOMAIN)
        sites = [(row.site_id, row.account_id) for row in session.execute(select(Site).where(kept)).scalars()]
        owners = ownerships(session, sites)
        marks = list(session.execute(select(UsagePeriod).where(UsagePeriod.recount_from_ms.is_not(None))).scalars())
    due: dict[date, set[int]] = defaultdict(set)
    for site_id, hour_s in store.hours_since(settled_ms - LOOK_BACK_MS):
        if site_id in owners:
            due[utc_date(hour_s * 1000)].add(site_id)
    if is_sweeping:
        for day in _days(swept_since_ms, now_ms):
            due[day] |= owners.keys()
    _add_marked(due, marks, owners, now_ms)
    rows = 0
    for day in sorted(due):
        for site_ids in _chunks(sorted(due[day]), SITES_AT_ONCE):
            count_day(context, store, DayCount(day, tuple(site_ids), {each: owners[each] for each in site_ids}))
            rows += len(site_ids)
            context.progress(rows, str(day))
    _unmark(context, marks)
    if context.services.settings.are_plans_enforced:
        _judge_all(context, now_ms)
    if is_sweeping:
        _freeze(context, swept_since_ms, now_ms)
    return rows


def _follow_all(context: JobContext, now_ms: int) -> None:
    """Begin and cut periods where time or terms say so."""
    engine = context.services.engine
    is_there = Account.state.not_in(GONE_ACCOUNT_STATES)
    with reading(engine) as session:
        account_ids = list(session.execute(select(Account.account_id).where(is_there)).scalars())
    for some in _chunks(sorted(account_ids), ACCOUNTS_AT_ONCE):
        with reading(engine) as session:
            terms, lasts = terms_of(session, some), last_periods(session, some)
        moving = []
        for account_id, each in sorted(terms.items()):
            last = period_of(lasts[account_id]) if account_id in lasts else None
            if last is None or follow(last, each, now_ms) != [last]:
                moving.append(account_id)
        if not moving:
            continue
        with writing(engine) as session:
            context.fence(session)
            for account_id in moving:
                follow_periods(session, account_id, now_ms)
        context.progress(context.rows, "periods")


def _add_marked(
    due: dict[date, set[int]], marks: Iterable[UsagePeriod], owners: dict[int, list[Ownership]], now_ms: int
) -> None:
    sites_of: dict[int, set[int]] = defaultdict(set)
    for site_id, theirs in owners.items():
        for each in theirs:
            sites_of[each.account_id].add(site_id)
    for row in marks:
        if row.recount_from_ms is not None and sites_of[row.account_id]:
            for day in _days(row.recount_from_ms, min(now_ms, row.ends_at_ms)):
                due[day] |= sites_of[row.account_id]


def _unmark(context: JobContext, marks: Sequence[UsagePeriod]) -> None:
    if not marks:
        return
    with writing(context.services.engine) as session:
        context.fence(session)
        for row in marks:
            # A mark that came meanwhile stays.
            same = (UsagePeriod.period_id == row.period_id) & (UsagePeriod.recount_from_ms == row.recount_from_ms)
            session.execute(update(UsagePeriod).where(same).values(recount_from_ms=None))


def _judge_all(context: JobContext, now_ms: int) -> None:
    """Note and tell who has passed 80 % or 100 %."""
    services = context.services
    least = min(plan.monthly_events for plan in PLANS) * WARNED_PERCENT // 100
    is_running = (UsagePeriod.starts_at_ms <= now_ms) & (UsagePeriod.ends_at_ms > now_ms)
    near = (
        select(UsagePeriod.period_id)
        .join(Account, Account.account_id == UsagePeriod.account_id)
        .where(is_running, UsagePeriod.counted_events >= least, UsagePeriod.depleted_at_ms.is_(None))
        .where(Account.state.not_in(GONE_ACCOUNT_STATES))
    )
    with reading(services.engine) as session:
        period_ids = list(session.execute(near.order_by(UsagePeriod.period_id)).scalars())
    for period_id in period_ids:
        with writing(services.engine) as session:
            context.fence(session)
            row = session.get_one(UsagePeriod, period_id, with_for_update=True)
            is_over = row.ends_at_ms <= now_ms
            plan = plan_of(session, row.account_id)
            found = None if is_over else judge(session, services, row, plan, now_ms)
        if found is CapacityState.DEPLETED:
            announce(services.settings)
            log.info("an account has used up its plan", extra={"account_id": row.account_id, "plan": plan.code})
        context.progress(context.rows, "capacity")


def _freeze(context: JobContext, swept_since_ms: int, now_ms: int) -> None:
    """Count no more what nothing can reach any more: it ended before what was looked at, and all hits are stored."""
    engine = context.services.engine
    watermark_ms = minimum_watermark(engine)
    until_ms = swept_since_ms if watermark_ms is None else min(swept_since_ms, watermark_ms)
    is_old = (UsagePeriod.ends_at_ms <= until_ms) & UsagePeriod.recount_from_ms.is_(None)
    with writing(engine) as session:
        context.fence(session)
        frozen = update(UsagePeriod).where(is_old, UsagePeriod.frozen_at_ms.is_(None))
        session.execute(frozen.values(frozen_at_ms=now_ms).execution_options(synchronize_session=False))


def _days(from_ms: int, until_ms: int) -> Iterator[date]:
    """The days (UTC) that this stretch of time touches, its end among it."""
    day, last = utc_date(from_ms), utc_date(until_ms)
    while day <= last:
        yield day
        day += timedelta(days=1)


def _chunks(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
