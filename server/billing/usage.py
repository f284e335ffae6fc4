"""What an account has used of its plan in the billing period that is running.

Counted are page views and custom events that became rows, by the account that had the site at the time of the hit.
Never engagement, web vitals and timings, bots (also those that a site keeps), dropped hits, and imports. A site that
keeps one visitor in ten uses a tenth: the others are dropped as `sampled`.

The job `usage` counts (`jobs/usage.py`); who asks here gets what it found last.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.billing.period_rows import last_periods, period_of, terms_of
from server.billing.periods import follow
from server.billing.plans import FREE, PLANS_BY_CODE, Plan
from server.models import BillingProfile, UsagePeriod


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
        plan = PLANS_BY_CODE.get(codes.get(account_id, ""), FREE)
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


def _running(session: Session, account_ids: Collection[int], now_ms: int) -> dict[int, UsagePeriod]:
    has_now = (UsagePeriod.starts_at_ms <= now_ms) & (UsagePeriod.ends_at_ms > now_ms)
    rows = session.execute(select(UsagePeriod).where(UsagePeriod.account_id.in_(account_ids), has_now)).scalars()
    return {row.account_id: row for row in rows}
