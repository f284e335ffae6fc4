"""What an account has used: its periods follow its subscription, and figures are those of the running period."""

from __future__ import annotations

from itertools import pairwise

import pytest
from sqlalchemy import select, update

from server.app_database import reading, writing
from server.billing.period_rows import follow_periods
from server.billing.plans import BASIC, FREE
from server.billing.usage import AccountUsage, usage_of, usages_of
from server.clock import DAY_MS
from server.config import Interval
from server.models import Account, UsageDay, UsagePeriod
from tests.server.billing.shop import ACCOUNT_ID, NOON_S, Shop

NOON_MS = NOON_S * 1000  # 2026-11-25 12:00 UTC
NOVEMBER = (1_793_491_200_000, 1_796_083_200_000)


def usage(shop: Shop) -> AccountUsage:
    with reading(shop.services.engine) as session:
        return usage_of(session, ACCOUNT_ID, shop.now_ms())


def periods(shop: Shop) -> list[UsagePeriod]:
    with reading(shop.services.engine) as session:
        return list(session.execute(select(UsagePeriod).order_by(UsagePeriod.starts_at_ms)).scalars())


def follow(shop: Shop) -> UsagePeriod:
    with writing(shop.services.engine) as session:
        return follow_periods(session, ACCOUNT_ID, shop.now_ms())


def test_what_was_never_counted_is_nothing_of_this_month(shop: Shop) -> None:
    found = usage(shop)
    assert (found.plan, found.counted_events, found.share, found.is_over) == (FREE, 0, 0.0, False)
    assert (found.period_starts_at_ms, found.period_ends_at_ms) == NOVEMBER
    assert periods(shop) == [], "who asks writes nothing"
    with reading(shop.services.engine) as session:
        assert usages_of(session, [ACCOUNT_ID, 999], shop.now_ms()).keys() == {ACCOUNT_ID}


def test_the_month_is_that_of_the_accounts_zone(shop: Shop) -> None:
    with writing(shop.services.engine) as session:
        session.execute(update(Account).values(timezone="Asia/Tokyo"))
    assert usage(shop).period_starts_at_ms == NOVEMBER[0] - 9 * 3_600_000


def test_a_subscription_begins_a_period_and_its_months_follow_stripe(shop: Shop) -> None:
    follow(shop)
    shop.advance(1)
    shop.subscribe()
    trial_ms = shop.now_ms()
    assert [(each.starts_at_ms, each.ends_at_ms) for each in periods(shop)] == [
        (NOVEMBER[0], trial_ms),
        (trial_ms, trial_ms + 14 * DAY_MS),
    ]
    for _ in range(6):
        shop.advance(15)
        row = shop.row()
        found = usage(shop)
        assert (found.period_starts_at_ms, found.period_ends_at_ms) == (row.period_starts_at_ms, row.period_ends_at_ms)
    chain = periods(shop)
    assert all(before.ends_at_ms == after.starts_at_ms for before, after in pairwise(chain))


def test_a_year_is_counted_by_the_month(shop: Shop) -> None:
    shop.subscribe(interval=Interval.YEAR)
    shop.advance(14)
    for _ in range(6):
        shop.advance(20)
        found = follow(shop)
        assert 27 * DAY_MS < found.ends_at_ms - found.starts_at_ms <= 31 * DAY_MS
    row = shop.row()
    assert row.period_ends_at_ms is not None
    assert row.period_starts_at_ms is not None
    assert row.period_ends_at_ms - row.period_starts_at_ms > 364 * DAY_MS


def test_days_behind_a_cut_go_with_the_period_that_begins_there(shop: Shop) -> None:
    row = follow(shop)
    with writing(shop.services.engine) as session:
        for day in ("2026-11-24", "2026-11-25", "2026-11-26"):
            session.add(UsageDay(period_id=row.period_id, site_id=1, day=day, from_ms=0, until_ms=1, events=5))
    shop.subscribe()
    with reading(shop.services.engine) as session:
        found = session.execute(select(UsageDay.day, UsageDay.period_id).order_by(UsageDay.day)).all()
    before, after = periods(shop)
    assert [(day, period_id) for day, period_id in found] == [
        ("2026-11-24", before.period_id),
        ("2026-11-25", before.period_id),
        ("2026-11-26", after.period_id),
    ]
    assert after.recount_from_ms == after.starts_at_ms


@pytest.mark.parametrize(
    ("events", "grace_days", "is_enforced", "is_over", "is_rejecting"),
    [
        (99_999, -1, True, False, False),
        (100_000, 1, True, True, False),
        (100_000, -1, True, True, True),
        (100_000, -1, False, True, False),
    ],
)
def test_an_account_is_rejected_once_its_grace_is_over(
    shop: Shop, events: int, grace_days: int, is_enforced: bool, is_over: bool, is_rejecting: bool
) -> None:
    follow(shop)
    grace_ends_at_ms = NOON_MS + grace_days * DAY_MS
    with writing(shop.services.engine) as session:
        told = {"depleted_at_ms": NOON_MS - 9 * DAY_MS, "grace_ends_at_ms": grace_ends_at_ms}
        session.execute(update(UsagePeriod).values(counted_events=events, **told))
    with reading(shop.services.engine) as session:
        found = usage_of(session, ACCOUNT_ID, NOON_MS, is_enforced=is_enforced)
    assert (found.is_over, found.is_rejecting) == (is_over, is_rejecting)
    assert found.grace_ends_at_ms == (grace_ends_at_ms if is_over else None)


def test_an_upgrade_ends_it_at_once(shop: Shop) -> None:
    follow(shop)
    with writing(shop.services.engine) as session:
        told = {"depleted_at_ms": NOON_MS - 9 * DAY_MS, "grace_ends_at_ms": NOON_MS - DAY_MS}
        session.execute(update(UsagePeriod).values(counted_events=200_000, **told))
    assert usage(shop).is_rejecting
    shop.subscribe()
    found = usage(shop)
    assert (found.plan, found.is_rejecting, found.depleted_at_ms, found.counted_events) == (BASIC, False, None, 0)
