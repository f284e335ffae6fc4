"""What an account has used of its plan in the billing period that is running.

Counted are page views and custom events that became rows, by the account that had the site at the time of the hit.
Never engagement, web vitals and timings, bots (also those that a site keeps), dropped hits, and imports. A site that
keeps one visitor in ten uses a tenth: the others are dropped as `sampled`.

The job `usage` counts (`jobs/usage.py`); who asks here gets what it found last.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Select, case, func, select
from sqlalchemy.orm import Session

from server.billing.period_rows import last_periods, period_of, terms_of
from server.billing.periods import follow
from server.billing.plans import FREE, PLANS, Plan, plan_held
from server.clock import DAY_MS, utc_date
from server.models import BillingProfile, Site, UsageDay, UsagePeriod


@dataclass(frozen=True)
class AccountUsage:
    """An account's usage in the period with the moment in it that was asked about.

    `depleted_at_ms`: when its owner was told that the plan's events are used up, `grace_ends_at_ms`: until when hits
    are taken all the same; both None while fewer events were counted than the plan has.
    """

    account_id: int
    plan: Plan
    counted_events: int
    period_starts_at_ms: int
    period_ends_at_ms: int
    depleted_at_ms: int | None
    grace_ends_at_ms: int | None
    is_rejecting: bool

    @property
    def share(self) -> float:
        """How much of the plan's events is used: 1.0 is all of them, and more may come in the grace."""
        return self.counted_events / self.plan.monthly_events

    @property
    def is_over(self) -> bool:
        """Whether all of the plan's events are used."""
        return self.counted_events >= self.plan.monthly_events


def usage_of(session: Session, account_id: int, now_ms: int, *, is_enforced: bool = True) -> AccountUsage:
    """One account's usage. `is_enforced`: `Settings.are_plans_enforced`. Raises KeyError without the account."""
    return usages_of(session, (account_id,), now_ms, is_enforced=is_enforced)[account_id]


def usages_of(
    session: Session, account_ids: Collection[int], now_ms: int, *, is_enforced: bool = True
) -> dict[int, AccountUsage]:
    """The usage of these accounts, as far as they are there."""
    terms = terms_of(session, account_ids)
    theirs = select(BillingProfile).where(BillingProfile.account_id.in_(account_ids))
    codes = {profile.account_id: profile.plan_code for profile in session.execute(theirs).scalars()}
    running = _running(session, account_ids, now_ms)
    behind = last_periods(session, [each for each in terms if each not in running])
    found = {}
    for account_id, each in terms.items():
        plan = plan_held(codes.get(account_id))
        row = running.get(account_id)
        if row is not None:
            found[account_id] = usage_in(row, plan, now_ms, is_enforced=is_enforced)
            continue
        # Nothing of it has been counted yet.
        last = behind.get(account_id)
        period = follow(None if last is None else period_of(last), each, now_ms)[-1]
        found[account_id] = AccountUsage(
            account_id, plan, 0, period.starts_at_ms, period.ends_at_ms, None, None, is_rejecting=False
        )
    return found


def usage_in(row: UsagePeriod, plan: Plan, now_ms: int, *, is_enforced: bool = True) -> AccountUsage:
    """What a period's row says under a plan."""
    is_over = row.counted_events >= plan.monthly_events
    grace_ends_at_ms = row.grace_ends_at_ms if is_over else None
    is_past_grace = grace_ends_at_ms is not None and grace_ends_at_ms <= now_ms < row.ends_at_ms
    return AccountUsage(
        account_id=row.account_id,
        plan=plan,
        counted_events=row.counted_events,
        period_starts_at_ms=row.starts_at_ms,
        period_ends_at_ms=row.ends_at_ms,
        depleted_at_ms=row.depleted_at_ms if is_over else None,
        grace_ends_at_ms=grace_ends_at_ms,
        is_rejecting=is_enforced and is_past_grace,
    )


def used_up(now_ms: int) -> Select[int]:
    """The accounts that have used up their plan in the period that is running, as `AccountUsage.is_over` says it."""
    limit = case(
        {plan.code: plan.monthly_events for plan in PLANS}, value=BillingProfile.plan_code, else_=FREE.monthly_events
    )
    return (
        select(UsagePeriod.account_id)
        .join(BillingProfile, BillingProfile.account_id == UsagePeriod.account_id)
        .where(UsagePeriod.starts_at_ms <= now_ms, UsagePeriod.ends_at_ms > now_ms)
        .where(UsagePeriod.counted_events >= limit)
    )


def _running(session: Session, account_ids: Collection[int], now_ms: int) -> dict[int, UsagePeriod]:
    has_now = (UsagePeriod.starts_at_ms <= now_ms) & (UsagePeriod.ends_at_ms > now_ms)
    rows = session.execute(select(UsagePeriod).where(UsagePeriod.account_id.in_(account_ids), has_now)).scalars()
    return {row.account_id: row for row in rows}


@dataclass(frozen=True)
class UsageDetail:
    """A running period by day (UTC) and by site, and the periods before it, the newest first: from, until, events."""

    usage: AccountUsage
    timezone: str
    is_subscribed: bool
    counted_at_ms: int | None
    days: list[tuple[date, int]]
    sites: list[tuple[str, int]]
    earlier: list[tuple[int, int, int]]


EARLIER_PERIODS = 12
MOST_SITES = 200


def usage_detail(session: Session, account_id: int, now_ms: int, *, is_enforced: bool = True) -> UsageDetail:
    """Everything that a page tells about an account's usage."""
    usage = usage_of(session, account_id, now_ms, is_enforced=is_enforced)
    terms = terms_of(session, (account_id,))[account_id]
    row = _running(session, (account_id,), now_ms).get(account_id)
    by_day: dict[str, int] = {}
    sites: list[tuple[str, int]] = []
    if row is not None:
        sum_ = func.sum(UsageDay.events)
        theirs = UsageDay.period_id == row.period_id
        days = session.execute(select(UsageDay.day, sum_).where(theirs).group_by(UsageDay.day))
        by_day = {day: int(events) for day, events in days}
        named = select(Site.domain, sum_).join(Site, Site.site_id == UsageDay.site_id).where(theirs)
        counted = session.execute(named.group_by(Site.domain).order_by(sum_.desc(), Site.domain).limit(MOST_SITES))
        sites = [(domain, int(events)) for domain, events in counted]
    first, last = (utc_date(each) for each in (usage.period_starts_at_ms, now_ms))
    earlier = select(UsagePeriod).where(
        UsagePeriod.account_id == account_id, UsagePeriod.ends_at_ms <= usage.period_starts_at_ms
    )
    before = session.execute(earlier.order_by(UsagePeriod.starts_at_ms.desc()).limit(EARLIER_PERIODS)).scalars()
    return UsageDetail(
        usage=usage,
        timezone=terms.timezone,
        is_subscribed=terms.subscribed is not None,
        counted_at_ms=None if row is None else row.counted_at_ms,
        days=[
            (day, by_day.get(str(day), 0))
            for day in (first + timedelta(days=number) for number in range((last - first).days + 1))
        ],
        sites=sites,
        earlier=[(each.starts_at_ms, each.ends_at_ms, each.counted_events) for each in before],
    )


def forecast(usage: AccountUsage, now_ms: int) -> int | None:
    """The period's events at its end if they go on coming as they did; None before a day of it has passed."""
    passed_ms = now_ms - usage.period_starts_at_ms
    if passed_ms < DAY_MS:
        return None
    return usage.counted_events * (usage.period_ends_at_ms - usage.period_starts_at_ms) // passed_ms
