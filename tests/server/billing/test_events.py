"""Stripe's events: which are taken, and that neither their order nor their number changes what comes of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update

from server.app_database import reading, writing
from server.billing.errors import BillingOff, EventRefused, RefreshRaced
from server.billing.events import Received, receive_event
from server.billing.plans import BASIC, FREE, PREMIUM
from server.billing.subscriptions import MOST_ROUNDS, refresh
from server.metrics import REGISTRY
from server.models import Alert, AuditEntry, BillingProfile, Mail, PlanChange, StripeEvent, Subscription, Task
from tests.server.billing.shop import NOON_S, Shop, open_shop
from tests.services.app_databases import copied_database
from tests.services.stripe_course import DAY_S


def count_events(shop: Shop) -> int:
    with reading(shop.services.engine) as session:
        return session.execute(select(func.count()).select_from(StripeEvent)).scalar_one()


def made_event(shop: Shop) -> dict[str, Any]:
    """An event that waits to be delivered."""
    shop.double.complete_checkout(shop.checkout())
    return shop.double.events[0]


def test_an_event_is_taken_once(shop: Shop) -> None:
    event = made_event(shop)
    assert shop.receive(event) is Received.QUEUED
    assert shop.receive(event) is Received.DUPLICATE
    assert shop.receive(event) is Received.DUPLICATE
    assert count_events(shop) == 1
    assert shop.run_due() == 1
    assert shop.plan() is BASIC
    assert shop.receive(event) is Received.DUPLICATE
    assert shop.run_due() == 0


def test_two_deliveries_at_once_are_one(shop: Shop) -> None:
    event = made_event(shop)
    outcomes: list[Received] = []
    threads = [threading.Thread(target=lambda: outcomes.append(shop.receive(event))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(outcomes) == ["duplicate", "duplicate", "duplicate", "queued"]
    assert count_events(shop) == 1


def test_what_stripe_did_not_sign_now_is_refused(shop: Shop) -> None:
    event = made_event(shop)
    body, signature = shop.double.signed(event)
    time, _, mac = signature.partition(",")
    old, young = NOON_S - 301, NOON_S + 301
    refused = [
        (body, ""),
        (body, "nonsense"),
        (body, "t=,v1="),
        (body, time),
        (body, f"{time},v0={mac.removeprefix('v1=')}"),
        (body, signature[:-1] + ("0" if signature[-1] != "0" else "1")),
        (body, f"t={NOON_S + 1},{mac}"),
        (body, f"{time},v1=é"),
        (body.replace(b"active", b"Active") + b" ", signature),
        (b"\xff" + body, signature),
        (b"", signature),
        shop.double.signed(event, secret="whsec_anotherEndpoint"),
        shop.double.signed(event, at_s=old),
        shop.double.signed(event, at_s=young),
    ]
    for content, header in refused:
        with pytest.raises(EventRefused):
            receive_event(shop.services, content, header, shop.now_ms())
    assert count_events(shop) == 0
    for at_s in (NOON_S - 300, NOON_S + 300):
        receive_event(shop.services, *shop.double.signed(event, at_s=at_s), shop.now_ms())
    rolled = f"{time},v1={'0' * 64},{mac}"
    assert receive_event(shop.services, body, rolled, shop.now_ms()) is Received.DUPLICATE, "while a secret is rolled"
    counted = REGISTRY.get_sample_value("footfall_stripe_events_total", {"outcome": "refused"})
    assert counted is not None
    assert counted >= len(refused)


@pytest.mark.parametrize(
    "event",
    [
        [],
        None,
        {},
        {"id": "evt_1", "type": "invoice.paid", "created": 1},
        {"id": "evt_1", "type": "invoice.paid", "created": 1, "data": {"object": None}},
        {"id": "evt_1", "type": 1, "created": 1, "data": {"object": {}}},
        {"id": "1; DROP", "type": "invoice.paid", "created": 1, "data": {"object": {}}},
        {"id": "evt_1", "type": "invoice.paid", "created": "soon", "data": {"object": {}}},
    ],
)
def test_what_is_signed_but_no_event_is_refused(shop: Shop, event: Any) -> None:
    with pytest.raises(EventRefused, match="no event"):
        shop.receive(event)


def test_events_about_others_are_kept_and_ignored(shop: Shop) -> None:
    shop.subscribe()
    for number, about in enumerate(
        (
            {"object": "invoice", "customer": "cus_of_another_shop"},
            {"object": "invoice", "customer": {"id": "cus_of_another_shop"}},
            {"object": "invoice", "customer": None},
            {"object": "charge", "customer": ["?"]},
        )
    ):
        event = {"id": f"evt_other{number}", "type": "invoice.paid", "created": NOON_S, "data": {"object": about}}
        assert shop.receive(event) is Received.IGNORED
    strange = {"object": "charge", "customer": shop.customer_id}
    event = {"id": "evt_strange", "type": "charge.succeeded", "created": NOON_S, "data": {"object": strange}}
    assert shop.receive(event) is Received.IGNORED
    assert shop.run_due() == 0


def test_without_keys_nothing_is_taken(shop: Shop) -> None:
    body, signature = shop.double.signed(made_event(shop))
    settings = shop.services.settings.model_copy(update={"stripe_secret_key": ""})
    object.__setattr__(shop.services, "settings", settings)
    with pytest.raises(BillingOff):
        receive_event(shop.services, body, signature, shop.now_ms())


def test_a_burst_of_events_is_one_look_at_stripe(shop: Shop) -> None:
    shop.double.complete_checkout(shop.checkout())
    before = shop.double.requests.count(("GET", "/v1/subscriptions"))
    shop.deliver_all()
    assert shop.double.requests.count(("GET", "/v1/subscriptions")) == before + 1


def test_an_old_answer_never_follows_a_newer_one(shop: Shop) -> None:
    """While the first worker's answer is on its way the subscription ends, and another worker has applied that."""
    subscription_id = shop.subscribe("PREMIUM")
    ended: list[str] = []

    def meanwhile(method: str, path: str) -> None:
        if path == "/v1/subscriptions" and not ended:
            ended.append(subscription_id)
            shop.double.end(shop.double.subscriptions[subscription_id])
            refresh(shop.services, shop.customer_id, shop.now_ms())
            assert shop.plan() is FREE

    shop.double.before_answer = meanwhile
    refresh(shop.services, shop.customer_id, shop.now_ms())
    assert (shop.plan(), shop.row().status) == (FREE, "canceled")
    assert [change[1] for change in shop.changes()] == ["PREMIUM", "FREE"]


def test_who_is_overtaken_again_and_again_gives_up_for_now(shop: Shop) -> None:
    shop.subscribe()
    rounds: list[int] = []

    def meanwhile(method: str, path: str) -> None:
        rounds.append(1)
        with writing(shop.services.engine) as session:
            session.execute(update(Subscription).values(revision=Subscription.revision + 1))

    shop.double.before_answer = meanwhile
    with pytest.raises(RefreshRaced):
        refresh(shop.services, shop.customer_id, shop.now_ms())
    assert len(rounds) == MOST_ROUNDS


def test_what_comes_while_stripe_answers_is_not_forgotten(shop: Shop) -> None:
    """An event that comes after the fetch began is settled by a later one, not by that."""
    subscription_id = shop.subscribe()
    shop.double.cancel_in_portal(subscription_id)
    changed = shop.double.events[-1]
    late: list[Any] = []

    def meanwhile(method: str, path: str) -> None:
        if path == "/v1/subscriptions" and not late:
            shop.double.end(shop.double.subscriptions[subscription_id])
            late.append(shop.double.events[-1])
            shop.receive(late[0])

    shop.receive(changed)
    shop.double.before_answer = meanwhile
    assert shop.run_due() == 2
    assert (shop.plan(), shop.event_states() - {"ignored"}) == (FREE, {"applied"})


# -- any order, any number, any loss -----------------------------------------------------------------------------------

STEPS = st.lists(
    st.sampled_from(
        ["subscribe", "premium", "year", "basic", "cancel", "keep", "card fails", "card pays", "pay", "wait"]
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def kept_shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One shop for all examples; `forget` brings its app database back to where it was."""
    data_dir = tmp_path_factory.mktemp("shop") / "data"
    data_dir.mkdir(mode=0o700)
    with copied_database(request.param, request, data_dir) as settings_, open_shop(settings_) as opened:
        yield opened


def forget(shop: Shop) -> None:
    double = shop.double
    for table in (double.customers, double.sessions, double.subscriptions, double.invoices, double.cards):
        table.clear()
    double.events.clear()
    double._answers.clear()
    double.now_s, shop.delivered = NOON_S, 0
    with writing(shop.services.engine) as session:
        for model in (Subscription, StripeEvent, PlanChange, Task, Mail, Alert, AuditEntry):
            session.execute(delete(model))
        session.execute(update(BillingProfile).values(plan_code="FREE"))


def live(shop: Shop, step: str) -> None:
    """One step of somebody's life at Stripe, with nobody telling us."""
    double = shop.double
    unended = [each for each in double.subscriptions.values() if each["status"] in ("active", "trialing", "past_due")]
    if step == "subscribe" and not unended:
        double.complete_checkout(shop.checkout())
    elif step == "wait":
        double.advance_to(double.now_s + 9 * DAY_S)
    elif step == "pay" and double.customers:
        double.pay_open_bills(next(iter(double.customers)))
    elif step.startswith("card") and double.customers:
        double.cards[next(iter(double.customers))] = step == "card pays"
    elif unended and step in ("premium", "basic", "year"):
        prices = {"premium": "price_premiumMonth", "basic": "price_basicMonth", "year": "price_premiumYear"}
        double.set_price(unended[0], prices[step])
    elif unended and step in ("cancel", "keep"):
        double.change(unended[0], cancel_at_period_end=step == "cancel")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, data=st.data())
def test_any_order_repetition_and_loss_ends_in_the_same_state(kept_shop: Shop, steps: list[str], data: Any) -> None:
    shop = kept_shop
    forget(shop)
    for step in ["subscribe", *steps]:
        live(shop, step)
    ids = [event["id"] for event in shop.double.events]
    # Some are lost, some come twice, all in any order, and the workers look now and then.
    coming = data.draw(st.lists(st.sampled_from(range(len(ids))), max_size=2 * len(ids)))
    looks = data.draw(st.sets(st.sampled_from(range(2 * len(ids) + 1)), max_size=4))
    for place, number in enumerate(coming):
        shop.receive(shop.double.events[number])
        if place in looks:
            shop.run_due()
    shop.run_due()
    # Whatever did not come is found by the reconciliation, and a second one finds nothing.
    shop.reconcile()
    assert shop.reconcile().corrected == 0
    got = shop.state()
    failed = {
        event["data"]["object"]["id"] for event in shop.double.events if event["type"] == "invoice.payment_failed"
    }
    assert [template for template, _ in shop.mails()].count("payment_failed") <= len(failed), "one mail for each bill"
    # What a fetch with nothing before it comes to.
    with writing(shop.services.engine) as session:
        blank = {"subscription_id": "", "status": "", "price_id": "", "entitled_plan_code": "FREE"}
        session.execute(update(Subscription).values(**blank, has_had_trial=False, told_unpaid_since_ms=None))
        session.execute(update(BillingProfile).values(plan_code="FREE"))
    refresh(shop.services, shop.customer_id, shop.now_ms())
    wanted = shop.state()
    if coming or got["status"] not in ("", "canceled"):
        assert got == wanted
    assert got["plan"] == wanted["plan"]


def test_in_order_reversed_and_doubled_events_end_alike(shop: Shop) -> None:
    shop.subscribe("BASIC")
    shop.double.cards[shop.customer_id] = False
    shop.double.advance_to(shop.double.now_s + 15 * DAY_S)
    shop.double.pay_open_bills(shop.customer_id)
    shop.double.set_price(shop.double.subscriptions[shop.row().subscription_id], "price_premiumMonth")
    for event in reversed(shop.double.events):
        shop.receive(event)
        shop.receive(event)
        shop.run_due()
    assert (shop.plan(), shop.row().status, shop.row().unpaid_since_ms) == (PREMIUM, "active", None)
    assert [template for template, _ in shop.mails()] == ["plan_changed", "plan_changed"]
