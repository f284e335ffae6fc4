"""Mails at 80 % and 100 %, the grace, and who is rejected from when to when; what the fronts are told of it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import orjson
import pytest
from sqlalchemy import event, select, update

from server.app_database import read_version, reading, writing
from server.billing.capacity import (
    CACHED_S,
    GRACE_DAYS,
    CapacityState,
    Rejection,
    has_enough_capacity,
    judge,
    rejections,
    state_of,
)
from server.billing.checkout import switch_plan
from server.billing.period_rows import follow_periods
from server.billing.plan_changes import Reason, change_plan, plan_of
from server.billing.plans import BASIC
from server.billing.usage import usage_of
from server.cache import Cache
from server.clock import DAY_MS, now_ms
from server.config import Interval, PlanLimits, Settings
from server.models import BillingProfile, Mail, Site, UsagePeriod
from server.services import Services, open_services
from server.sites import add_site
from server.snapshot import SnapshotPoller, next_turn_ms, read_source, render
from tests.server.billing.shop import ACCOUNT_ID, Shop
from tests.server.cache.processes import Clock


def count(shop: Shop, events: int) -> CapacityState | None:
    """So many events were counted, and the job comes to its judgement."""
    with writing(shop.services.engine) as session:
        row = follow_periods(session, ACCOUNT_ID, shop.now_ms())
        row.counted_events = events
        return judge(session, shop.services, row, plan_of(session, ACCOUNT_ID), shop.now_ms())


def state(shop: Shop) -> CapacityState:
    with reading(shop.services.engine) as session:
        return state_of(usage_of(session, ACCOUNT_ID, shop.now_ms()))


def rejected(shop: Shop) -> list[Rejection]:
    with reading(shop.services.engine) as session:
        return rejections(session, shop.now_ms())


def mails(shop: Shop) -> list[str]:
    return [template for template, _ in shop.mails() if template.startswith("capacity")]


def site_of(services: Services) -> Site:
    return add_site(services.engine, "spike.example")


def test_each_mail_goes_out_once_in_a_period(shop: Shop) -> None:
    assert count(shop, 79_999) is None
    assert count(shop, 80_000) is CapacityState.WARNED
    assert (count(shop, 99_999), state(shop)) == (None, CapacityState.WARNED)
    assert count(shop, 100_000) is CapacityState.DEPLETED
    assert (count(shop, 250_000), state(shop)) == (None, CapacityState.DEPLETED)
    assert mails(shop) == ["capacity_warning", "capacity_depleted"]
    # The next month begins from zero, and both come again.
    shop.double.advance_to(shop.double.now_s + 10 * 86_400)
    assert state(shop) is CapacityState.ENOUGH
    assert count(shop, 90_000) is CapacityState.WARNED
    assert mails(shop) == ["capacity_warning", "capacity_depleted", "capacity_warning"]


def test_who_passes_both_at_once_gets_the_second_mail(shop: Shop) -> None:
    assert count(shop, 100_000) is CapacityState.DEPLETED
    assert mails(shop) == ["capacity_depleted"]
    with reading(shop.services.engine) as session:
        (subject,) = session.execute(select(Mail.subject)).scalars()
    assert subject.startswith("Capacity depleted: ")


def test_without_anybody_who_answers_for_the_plan_it_is_noted_all_the_same(shop: Shop) -> None:
    with writing(shop.services.engine) as session:
        session.execute(update(BillingProfile).values(owner_user_id=None))
    assert count(shop, 100_000) is CapacityState.DEPLETED
    assert mails(shop) == []
    assert count(shop, 100_001) is None


def test_a_grace_that_outlasts_the_period_rejects_nobody(shop: Shop) -> None:
    count(shop, 100_000)  # on the 25th: the month is over before the grace is
    assert rejected(shop) == []
    with reading(shop.services.engine) as session:
        row = session.execute(select(UsagePeriod)).scalar_one()
    assert row.grace_ends_at_ms == shop.now_ms() + GRACE_DAYS * DAY_MS > row.ends_at_ms


def deplete(shop: Shop) -> Rejection:
    """On the 2nd of December; what follows from it."""
    shop.double.advance_to(shop.double.now_s + 7 * 86_400)
    count(shop, 100_000)
    (found,) = rejected(shop)
    return found


def test_hits_are_dropped_from_the_end_of_the_grace_to_that_of_the_period(shop: Shop) -> None:
    found = deplete(shop)
    assert found.from_ms == shop.now_ms() + GRACE_DAYS * DAY_MS
    assert state(shop) is CapacityState.DEPLETED
    shop.double.advance_to(found.from_ms // 1000)
    assert state(shop) is CapacityState.REJECTING
    shop.double.advance_to(found.until_ms // 1000)
    assert (state(shop), rejected(shop)) == (CapacityState.ENOUGH, [])


def test_a_greater_plan_ends_it_and_the_grace_is_not_given_twice(shop: Shop) -> None:
    found = deplete(shop)
    shop.double.advance_to(found.from_ms // 1000)
    with writing(shop.services.engine) as session:
        change_plan(session, shop.services, ACCOUNT_ID, BASIC, Reason.STAFF, shop.now_ms())
    assert (state(shop), rejected(shop)) == (CapacityState.ENOUGH, [])
    # The same period: the mail was sent, and the grace is used up.
    assert count(shop, BASIC.monthly_events) is None
    assert state(shop) is CapacityState.REJECTING
    assert mails(shop) == ["capacity_depleted"]


def test_a_period_that_is_cut_ends_it_for_fronts_too(shop: Shop) -> None:
    """Monthly bills become annual ones: the plan stays, and what is billed begins anew."""
    shop.subscribe("BASIC")
    subscription = shop.double.subscriptions[shop.row().subscription_id]
    shop.double.change(subscription, status="active")
    shop.deliver_all()
    count(shop, BASIC.monthly_events)
    (found,) = rejected(shop)
    shop.double.advance_to(found.from_ms // 1000)
    assert state(shop) is CapacityState.REJECTING
    with reading(shop.services.engine) as session:
        before = read_version(session)
    assert switch_plan(shop.services, ACCOUNT_ID, BASIC, Interval.YEAR, shop.owner_id, shop.now_ms())
    assert (state(shop), rejected(shop)) == (CapacityState.ENOUGH, [])
    with reading(shop.services.engine) as session:
        assert read_version(session) > before, "fronts look again"


def test_fewer_events_than_the_plan_has_end_it(shop: Shop) -> None:
    found = deplete(shop)
    shop.double.advance_to(found.from_ms // 1000)
    count(shop, 99_999)
    assert (state(shop), rejected(shop)) == (CapacityState.WARNED, [])


def begin_grace(shop: Shop) -> int:
    """All events are counted in the real present; when the grace ends."""
    with writing(shop.services.engine) as session:
        row = follow_periods(session, ACCOUNT_ID, now_ms())
        row.counted_events = 100_000
        judge(session, shop.services, row, plan_of(session, ACCOUNT_ID), now_ms())
        row.ends_at_ms = now_ms() + 30 * DAY_MS
        assert row.grace_ends_at_ms is not None
        return row.grace_ends_at_ms


def test_whether_there_is_capacity_turns_with_the_time_alone(shop: Shop) -> None:
    site = site_of(shop.services)
    shop.services.cache.poll()
    assert has_enough_capacity(shop.services, site, shop.now_ms())
    ends_at_ms = begin_grace(shop)
    assert has_enough_capacity(shop.services, site, ends_at_ms - 1)
    assert not has_enough_capacity(shop.services, site, ends_at_ms)
    assert has_enough_capacity(shop.services, site, now_ms() + 30 * DAY_MS)


@contextlib.contextmanager
def other_process(settings: Settings, clock: Clock) -> Iterator[Services]:
    """Services of a process of its own, which has read the invalidations and reads again when the test says so."""
    opened = open_services(settings)
    opened.cache.close()
    own = dataclasses.replace(opened, cache=Cache(settings, opened.engine, clock=clock))
    own.cache.poll()
    yield own
    own.close()


@pytest.mark.parametrize("has_redis", [False, True])
def test_answers_are_remembered_for_15_minutes_and_other_processes_hear_of_a_plan(
    shop: Shop, has_redis: bool, request: pytest.FixtureRequest
) -> None:
    redis_url = request.getfixturevalue("redis_url") if has_redis else ""
    settings = shop.services.settings.model_copy(update={"redis_url": redis_url})
    site, clock = site_of(shop.services), Clock()
    ends_at_ms = begin_grace(shop)
    with other_process(settings, clock) as one, other_process(settings, clock) as other:
        asked: list[str] = []
        for each in (one, other):
            event.listen(each.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))

        def capacity(services: Services) -> bool:
            services.cache.poll()
            asked.clear()
            return has_enough_capacity(services, site, ends_at_ms)

        assert not capacity(one)
        assert asked
        assert (capacity(one), asked) == (False, [])
        clock.tick(CACHED_S - 1)
        assert (capacity(one), asked) == (False, [])
        clock.tick(1)
        assert not capacity(one)
        # Redis has a clock of its own.
        assert bool(asked) != has_redis, "15 minutes are over"
        assert not capacity(other)
        assert bool(asked) != has_redis, "another process has it from Redis"
        with writing(one.engine) as session:
            change_plan(session, one, ACCOUNT_ID, BASIC, Reason.STAFF, now_ms())
        asked.clear()
        assert has_enough_capacity(one, site, ends_at_ms), "at once where it was changed"
        assert capacity(other)


# -- the snapshot ----------------------------------------------------------------------------------------------------


def states(document: bytes) -> list[str]:
    return [site["state"] for site in orjson.loads(document)["sites"]]


def test_fronts_turn_to_dropping_and_back_by_the_time_alone(shop: Shop) -> None:
    site_of(shop.services)
    with writing(shop.services.engine) as session:
        before = read_version(session)
        row = follow_periods(session, ACCOUNT_ID, now_ms())
        row.counted_events = 100_000
        judge(session, shop.services, row, plan_of(session, ACCOUNT_ID), now_ms())
        row.ends_at_ms = now_ms() + 30 * DAY_MS
        from_ms, until_ms = row.grace_ends_at_ms, row.ends_at_ms
        assert read_version(session) > before
    assert from_ms is not None
    settings, source = shop.services.settings, read_source(shop.services.engine)
    assert states(render(source, settings, from_ms - 1)) == ["active"]
    assert states(render(source, settings, from_ms)) == ["depleted"]
    assert states(render(source, settings, until_ms - 1)) == ["depleted"]
    assert states(render(source, settings, until_ms)) == ["active"]
    assert [next_turn_ms(source, at_ms) for at_ms in (0, from_ms, until_ms)] == [from_ms, until_ms, None]
    off = settings.model_copy(update={"plan_limits": PlanLimits.OFF})
    assert states(render(source, off, from_ms)) == ["active"]


@pytest.mark.parametrize("kept", ["blocked", "deleting"])
def test_what_people_did_to_a_site_goes_before_its_plan(shop: Shop, kept: str) -> None:
    site_of(shop.services)
    count(shop, 100_000)
    with writing(shop.services.engine) as session:
        session.execute(update(Site).values(state=kept))
        session.execute(update(UsagePeriod).values(grace_ends_at_ms=1, ends_at_ms=2**50))
    assert states(render(read_source(shop.services.engine), shop.services.settings, now_ms())) == [kept]


def test_the_poller_renders_again_when_a_grace_ends(
    sqlite_settings: Settings, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any change in the app database, and without waiting for the next rendering."""
    site_of(shop.services)
    now = now_ms()
    count(shop, 100_000)
    with writing(shop.services.engine) as session:
        session.execute(update(UsagePeriod).values(grace_ends_at_ms=now + DAY_MS, ends_at_ms=now + 2 * DAY_MS))
    applied: list[bytes] = []
    settings = shop.services.settings
    poller = SnapshotPoller(shop.services.engine, settings, "key", lambda document, version: applied.append(document))
    for at_ms in (now, now + 1000, now + DAY_MS, now + DAY_MS + 1000, now + 2 * DAY_MS):
        monkeypatch.setattr("server.snapshot.now_ms", lambda at_ms=at_ms: at_ms)
        poller.poll()
    assert [states(each) for each in applied] == [["active"], ["depleted"], ["active"]]
