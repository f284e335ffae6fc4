"""An account's billing periods in the app database follow its terms (`server.billing.periods`).

Whoever changes the terms calls `follow_periods` in the same transaction, so that a period is cut at the moment at which
its subscription began or ended; the job `usage` calls it for everybody, so that new months begin.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from server.billing.periods import Anchor, Period, Terms, Window, follow
from server.billing.plans import FREE
from server.clock import utc_date
from server.models import Account, BillingProfile, Subscription, UsageDay, UsagePeriod


def terms_of(session: Session, account_ids: Collection[int]) -> dict[int, Terms]:
    """What the periods of these accounts depend on."""
    columns = (
        Account.account_id,
        Account.timezone,
        Subscription.entitled_plan_code,
        Subscription.period_starts_at_ms,
        Subscription.period_ends_at_ms,
    )
    wanted = select(*columns).outerjoin(Subscription, Subscription.account_id == Account.account_id)
    rows = session.execute(wanted.where(Account.account_id.in_(account_ids))).all()
    found = {}
    for account_id, timezone, plan_code, starts_at_ms, ends_at_ms in rows:
        subscribed = None
        if plan_code not in (None, FREE.code) and starts_at_ms is not None and ends_at_ms is not None:
            subscribed = Window(starts_at_ms, ends_at_ms) if starts_at_ms < ends_at_ms else None
        found[account_id] = Terms(timezone, subscribed)
    return found


def last_periods(session: Session, account_ids: Collection[int]) -> dict[int, UsagePeriod]:
    """The newest period of each of these accounts that has one."""
    newest = (
        select(UsagePeriod.account_id, func.max(UsagePeriod.starts_at_ms).label("starts_at_ms"))
        .where(UsagePeriod.account_id.in_(account_ids))
        .group_by(UsagePeriod.account_id)
        .subquery()
    )
    is_newest = (UsagePeriod.account_id == newest.c.account_id) & (UsagePeriod.starts_at_ms == newest.c.starts_at_ms)
    rows = session.execute(select(UsagePeriod).join(newest, is_newest)).scalars()
    return {row.account_id: row for row in rows}


def period_of(row: UsagePeriod) -> Period:
    """The pure form of a row."""
    return Period(row.starts_at_ms, row.ends_at_ms, Anchor(row.anchor))


def follow_periods(session: Session, account_id: int, now_ms: int) -> UsagePeriod:
    """The account's period with this moment in it, made or cut as its terms demand, in the caller's transaction."""
    # Of two who follow at once, one waits: the periods of an account are a chain.
    session.execute(select(BillingProfile.account_id).where(BillingProfile.account_id == account_id).with_for_update())
    last = last_periods(session, (account_id,)).get(account_id)
    periods = follow(None if last is None else period_of(last), terms_of(session, (account_id,))[account_id], now_ms)
    if last is None:
        row = _begin(session, account_id, periods[0])
        later = periods[1:]
    else:
        row, later = last, periods[1:]
        row.ends_at_ms = periods[0].ends_at_ms
    for period in later:
        earlier, row = row, _begin(session, account_id, period)
        session.flush()
        # Days that lie behind the cut as a whole were counted for the period before.
        cut_day = str(utc_date(period.starts_at_ms))
        behind = (UsageDay.period_id == earlier.period_id) & (UsageDay.day > cut_day)
        session.execute(update(UsageDay).where(behind).values(period_id=row.period_id))
    session.flush()
    return row


def _begin(session: Session, account_id: int, period: Period) -> UsagePeriod:
    row = UsagePeriod(
        account_id=account_id,
        starts_at_ms=period.starts_at_ms,
        ends_at_ms=period.ends_at_ms,
        anchor=str(period.anchor),
        counted_events=0,
        recount_from_ms=period.starts_at_ms,
    )
    session.add(row)
    return row
