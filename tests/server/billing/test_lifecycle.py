"""The life of a subscription: what the account has at each step, and which mails say so."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from server.app_database import read_version, reading, writing
from server.billing.checkout import (
    cancel_at_period_end,
    end_subscriptions,
    keep_subscription,
    open_portal,
    switch_plan,
)
from server.billing.errors import (
    AlreadySubscribed,
    ChangeRefused,
    CheckoutRaced,
    NotForSale,
    NotSubscribed,
    StripeAway,
)
from server.billing.plan_changes import Reason, change_plan, has_feature
from server.billing.plans import BASIC, FREE, PREMIUM, Feature, Plan
from server.billing.subscriptions import refresh
from server.config import Interval
from server.models import Alert, AuditEntry, Site
from server.sites import add_site
from tests.server.billing.shop import ACCOUNT_ID, Shop

PLAN_MAIL = "plan_changed"
BILL_MAIL = "payment_failed"


def switch(shop: Shop, plan: Plan, interval: Interval = Interval.MONTH) -> bool:
    done = switch_plan(shop.services, ACCOUNT_ID, plan, interval, shop.owner_id, shop.now_ms())
    shop.deliver_all()
    return done


def templates(shop: Shop) -> list[str]:
    return [template for template, _ in shop.mails()]


def alert_keys(shop: Shop) -> list[str]:
    with reading(shop.services.engine) as session:
        return list(session.execute(select(Alert.key)).scalars())


def test_a_trial_becomes_a_paid_plan_and_goes_on(shop: Shop) -> None:
    add_site(shop.services.engine, "shop.example")
    with reading(shop.services.engine) as session:
        version = read_version(session)
    shop.subscribe("BASIC")
    assert (shop.plan(), shop.row().status, shop.row().has_had_trial) == (BASIC, "trialing", True)
    ((template, subject),) = shop.mails()
    assert (template, subject.endswith("has the plan Basic now")) == (PLAN_MAIL, True)
    with reading(shop.services.engine) as session:
        assert session.execute(select(Site.retention_class).where(Site.domain == "shop.example")).scalar() == 2
        assert read_version(session) > version, "the snapshot is told"
        assert has_feature(session, shop.services.settings, ACCOUNT_ID, Feature.FUNNELS)
        assert not has_feature(session, shop.services.settings, ACCOUNT_ID, Feature.EMBEDDING)
    shop.advance(14)
    assert (shop.plan(), shop.row().status) == (BASIC, "active")
    first_end_ms = shop.row().period_ends_at_ms
    shop.advance(31)
    assert shop.plan() is BASIC
    assert shop.row().period_starts_at_ms == first_end_ms
    assert templates(shop) == [PLAN_MAIL]
    assert shop.event_states() <= {"applied", "ignored"}


def test_what_sites_keep_follows_the_greater_plan_at_once(shop: Shop) -> None:
    engine = shop.services.engine

    def classes() -> list[int]:
        with reading(engine) as session:
            ours = select(Site.retention_class).where(Site.account_id == ACCOUNT_ID, Site.domain.like("%.example"))
            return list(session.execute(ours.order_by(Site.site_id)).scalars())

    add_site(engine, "first.example")
    assert classes() == [1]
    shop.subscribe("BASIC")
    add_site(engine, "second.example")
    assert classes() == [2, 2]
    switch(shop, PREMIUM)
    assert classes() == [3, 3]
    switch(shop, BASIC)
    assert classes() == [3, 3], "a lesser plan shortens nothing by itself"
    add_site(engine, "third.example")
    assert classes() == [3, 3, 2]


def test_plans_change_both_ways(shop: Shop) -> None:
    shop.subscribe("BASIC")
    shop.advance(15)
    assert switch(shop, PREMIUM)
    assert (shop.plan(), shop.row().price_id) == (PREMIUM, "price_premiumMonth")
    assert switch(shop, BASIC, Interval.YEAR)
    assert (shop.plan(), shop.row().price_id) == (BASIC, "price_basicYear")
    assert switch(shop, BASIC, Interval.MONTH)
    assert [change[:2] for change in shop.changes()] == [("FREE", "BASIC"), ("BASIC", "PREMIUM"), ("PREMIUM", "BASIC")]
    assert [change[2] for change in shop.changes()] == [Reason.SUBSCRIBED, Reason.SWITCHED, Reason.SWITCHED]
    with pytest.raises(ChangeRefused, match="already"):
        switch(shop, BASIC)
    with pytest.raises(NotForSale):
        switch(shop, FREE)


def test_a_greater_plan_begins_when_it_is_paid(shop: Shop) -> None:
    shop.subscribe("BASIC")
    shop.advance(15)
    shop.double.cards[shop.customer_id] = False
    assert not switch(shop, PREMIUM)
    assert shop.plan() is BASIC
    shop.double.pay_open_bills(shop.customer_id)
    shop.deliver_all()
    assert shop.plan() is PREMIUM


def test_a_failed_payment_leads_through_grace_to_free_and_back(shop: Shop) -> None:
    shop.double.gives_up_by = "unpaid"
    shop.subscribe("PREMIUM")
    shop.double.cards[shop.customer_id] = False
    shop.advance(14.5)
    assert (shop.plan(), shop.row().status) == (PREMIUM, "past_due")
    assert templates(shop) == [PLAN_MAIL, BILL_MAIL]
    shop.advance(6)
    assert shop.plan() is PREMIUM
    shop.advance(1)
    assert shop.plan() is FREE, "by the task that waited for the end of the grace"
    assert shop.changes()[-1] == ("PREMIUM", "FREE", Reason.UNPAID)
    shop.advance(20)
    assert (shop.plan(), shop.row().status) == (FREE, "unpaid")
    with pytest.raises(ChangeRefused, match="pay it first"):
        switch(shop, BASIC)
    with pytest.raises(AlreadySubscribed):
        shop.checkout()
    shop.double.pay_open_bills(shop.customer_id)
    shop.deliver_all()
    assert (shop.plan(), shop.row().status, shop.row().unpaid_since_ms) == (PREMIUM, "active", None)
    assert templates(shop) == [PLAN_MAIL, BILL_MAIL, PLAN_MAIL, PLAN_MAIL]


def test_who_pays_within_the_grace_notices_nothing_but_the_mail(shop: Shop) -> None:
    shop.subscribe("BASIC")
    shop.double.cards[shop.customer_id] = False
    shop.advance(15)
    shop.double.pay_open_bills(shop.customer_id)
    shop.advance(20)
    assert (shop.plan(), templates(shop)) == (BASIC, [PLAN_MAIL, BILL_MAIL])
    shop.double.cards[shop.customer_id] = False
    shop.advance(12)
    assert templates(shop) == [PLAN_MAIL, BILL_MAIL, BILL_MAIL], "another bill, another mail"


def test_what_stripe_gives_up_ends(shop: Shop) -> None:
    shop.subscribe("BASIC")
    shop.double.cards[shop.customer_id] = False
    shop.advance(14 + 16)
    assert (shop.plan(), shop.row().status) == (FREE, "canceled")
    assert templates(shop) == [PLAN_MAIL, BILL_MAIL, PLAN_MAIL]


def test_a_cancelled_plan_lasts_until_the_end_of_what_is_paid(shop: Shop) -> None:
    shop.subscribe("BASIC")
    shop.advance(15)
    cancel_at_period_end(shop.services, ACCOUNT_ID, shop.owner_id, shop.now_ms())
    row = shop.row()
    assert row.cancels_at_ms == row.period_ends_at_ms
    with pytest.raises(ChangeRefused, match="keep it first"):
        switch(shop, PREMIUM)
    with pytest.raises(ChangeRefused, match="cancelled already"):
        cancel_at_period_end(shop.services, ACCOUNT_ID, shop.owner_id, shop.now_ms())
    keep_subscription(shop.services, ACCOUNT_ID, shop.owner_id, shop.now_ms())
    assert shop.row().cancels_at_ms is None
    with pytest.raises(ChangeRefused, match="goes on already"):
        keep_subscription(shop.services, ACCOUNT_ID, shop.owner_id, shop.now_ms())
    shop.double.cancel_in_portal(shop.row().subscription_id)
    shop.deliver_all()
    assert shop.row().cancels_at_ms == row.period_ends_at_ms
    keep_subscription(shop.services, ACCOUNT_ID, shop.owner_id, shop.now_ms())
    cancel_at_period_end(shop.services, ACCOUNT_ID, shop.owner_id, shop.now_ms())
    shop.advance(28)
    assert shop.plan() is BASIC
    shop.advance(2)
    assert (shop.plan(), shop.row().status) == (FREE, "canceled")
    assert shop.changes()[-1] == ("BASIC", "FREE", Reason.ENDED)
    shop.subscribe("BASIC")
    assert (shop.plan(), shop.row().status) == (BASIC, "active"), "the trial is given once"


def test_an_account_subscribes_once(shop: Shop) -> None:
    first = shop.checkout("BASIC")
    second = shop.checkout("PREMIUM")
    assert (shop.double.sessions[first]["status"], shop.double.sessions[second]["status"]) == ("expired", "open")
    shop.double.complete_checkout(second)
    with pytest.raises(AlreadySubscribed):
        shop.checkout("BASIC")
    assert shop.plan() is PREMIUM, "looking before selling has found it, without any event"
    assert len(shop.double.customers) == 1


def test_two_visits_at_the_same_moment_leave_one(shop: Shop) -> None:
    shop.checkout("BASIC")
    others: list[str] = []

    def meanwhile(method: str, path: str) -> None:
        if method == "POST" and path == "/v1/checkout/sessions" and not others:
            others.append("")
            others[0] = shop.checkout("PREMIUM")

    shop.double.before_answer = meanwhile
    with pytest.raises(CheckoutRaced):
        shop.checkout("BASIC", Interval.YEAR)
    still_open = [session["id"] for session in shop.double.sessions.values() if session["status"] == "open"]
    assert still_open == others


def test_a_customer_who_was_deleted_at_stripe_begins_anew(shop: Shop) -> None:
    shop.subscribe("BASIC")
    former = shop.customer_id
    shop.double.delete_customer(former)
    shop.deliver_all()
    assert shop.plan() is FREE
    shop.subscribe("BASIC")
    assert (shop.plan(), shop.customer_id == former) == (BASIC, False)


def test_an_old_price_keeps_its_plan_and_an_unknown_one_changes_nothing(shop: Shop) -> None:
    subscription_id = shop.subscribe("PREMIUM")
    subscription = shop.double.subscriptions[subscription_id]
    shop.double.set_price(subscription, "price_stray")
    shop.deliver_all()
    assert shop.plan() is PREMIUM
    assert alert_keys(shop) == ["billing price:price_stray"]
    shop.double.set_price(subscription, "price_oldBasic")
    shop.deliver_all()
    assert shop.plan() is BASIC


def test_two_subscriptions_give_the_greater_plan_and_an_alert(shop: Shop) -> None:
    shop.subscribe("BASIC")
    shop.double.subscribe(shop.customer_id, "price_premiumMonth", 14)
    shop.deliver_all()
    assert shop.plan() is PREMIUM
    assert alert_keys(shop) == ["billing twice:1"]
    assert end_subscriptions(shop.services, ACCOUNT_ID) == 2
    shop.deliver_all()
    assert shop.plan() is FREE
    assert end_subscriptions(shop.services, ACCOUNT_ID) == 0


def test_a_plan_that_staff_gave_stays_until_the_subscription_changes(shop: Shop) -> None:
    shop.subscribe("BASIC")
    with writing(shop.services.engine) as session:
        assert change_plan(session, shop.services, ACCOUNT_ID, PREMIUM, Reason.STAFF, shop.now_ms(), actor=1)
        assert not change_plan(session, shop.services, ACCOUNT_ID, PREMIUM, Reason.STAFF, shop.now_ms(), actor=1)
    shop.reconcile()
    refresh(shop.services, shop.customer_id, shop.now_ms())
    assert shop.plan() is PREMIUM
    with reading(shop.services.engine) as session:
        entries = session.execute(select(AuditEntry).where(AuditEntry.action == "plan.changed")).scalars().all()
        assert [entry.detail["reason"] for entry in entries] == ["subscribed", "staff"]


def test_stripe_away_changes_nothing_and_the_task_comes_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stripe._http_client.time.sleep", lambda seconds: None)
    shop.subscribe("BASIC")
    subscription_id = shop.row().subscription_id
    shop.double.end(shop.double.subscriptions[subscription_id])
    shop.double.failures.extend([500] * 4)
    shop.deliver_all()
    assert shop.plan() is BASIC
    assert "queued" in shop.event_states()
    with pytest.raises(StripeAway):
        open_portal(shop.services, ACCOUNT_ID, shop.owner_id, shop.now_ms())
    shop.double.now_s += 60
    assert shop.run_due() == 1
    assert shop.plan() is FREE
    with pytest.raises(NotSubscribed):
        cancel_at_period_end(shop.services, ACCOUNT_ID, shop.owner_id, shop.now_ms())


def test_who_was_never_at_stripe_has_nothing_there(shop: Shop) -> None:
    with pytest.raises(NotSubscribed):
        open_portal(shop.services, ACCOUNT_ID, shop.owner_id, shop.now_ms())
    assert end_subscriptions(shop.services, ACCOUNT_ID) == 0
    assert not refresh(shop.services, "cus_somebody", shop.now_ms())
    assert shop.double.requests == []
