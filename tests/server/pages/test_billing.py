"""The page about an account's plan, and the address that takes Stripe's events."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from server.accounts.audit_log import Action
from server.app_database import reading, writing
from server.billing.plan_changes import Reason, change_plan
from server.billing.plans import PREMIUM
from server.clock import now_ms
from server.config import Settings
from server.models import AuditEntry, MemberRole
from tests.server.accounts.people import PASSWORD, add_member, make_owner
from tests.server.billing.shop import Shop, billing_settings, services_with_clock
from tests.server.pages.site_host import Answer, Browser, Host, hosted
from tests.server.pages.test_capacity_notice import use_up
from tests.services.stripe_double import running_stripe_double

PAGE = "/accounts/1/billing"

ASKED_AT_STRIPE = (
    Action.CHECKOUT_STARTED,
    Action.PORTAL_OPENED,
    Action.SUBSCRIPTION_SWITCHED,
    Action.SUBSCRIPTION_CANCELLED,
    Action.SUBSCRIPTION_KEPT,
)


@pytest.fixture
def shop(database_settings: Settings) -> Iterator[Shop]:
    """A shop whose time is the present: the pages go by it."""
    with running_stripe_double(now_ms() // 1000) as double:
        services = services_with_clock(billing_settings(database_settings, double.url), double)
        try:
            yield Shop(services, double, owner_id=make_owner(services))
        finally:
            services.close()


@pytest.fixture
def shop_host(shop: Shop) -> Iterator[Host]:
    with hosted(shop.services) as running:
        yield running


def owner_of(host: Host) -> Browser:
    browser = host.browser()
    assert browser.log_in("owner@example.com", PASSWORD).status == 303
    return browser


def choose(browser: Browser, change: str, choice: str = "") -> Answer:
    return browser.post(PAGE, {"change": change, "choice": choice})


def deliver(shop: Shop, browser: Browser) -> list[int]:
    """What Stripe hears to the events that it sends to the address."""
    statuses = []
    for event in shop.double.events[shop.delivered :]:
        body, signature = shop.double.signed(event)
        answer = browser.ask("POST", "/api/stripe/webhook", body, Stripe_Signature=signature)
        statuses.append(answer.status)
    shop.lose_all()
    return statuses


def test_without_keys_the_page_says_that_billing_is_off(host: Host) -> None:
    make_owner(host.services)
    browser = owner_of(host)
    page = browser.get(PAGE)
    assert page.status == 200
    assert "Billing is off on this server" in page.text
    assert "FOOTFALL_STRIPE_SECRET_KEY" in page.text, "the owner is staff here"
    assert "100,000 page views" in page.text
    assert "<form" not in page.text.split("<main")[1]
    refused = choose(browser, "subscribe", "BASIC/month")
    assert refused.status == 400
    assert "Nothing can be bought on this server" in refused.text
    assert browser.ask("POST", "/api/stripe/webhook", b"{}").status == 404


def test_an_owner_subscribes_and_comes_back(shop: Shop, shop_host: Host) -> None:
    browser, stripe = owner_of(shop_host), shop_host.browser()
    page = browser.get(PAGE)
    assert "€9.00 a month" in page.text
    assert "€490.00 a year" in page.text
    assert "The first 14 days are free." in page.text
    assert "https://checkout.stripe.com" in page.headers["content-security-policy"]
    answer = choose(browser, "subscribe", "BASIC/month")
    assert (answer.status, answer.location.startswith("https://stripe.example/checkout/cs_")) == (303, True)
    use_up(shop.services, grace_days=-1)
    assert "is used up" in browser.get(PAGE).text
    shop.double.complete_checkout(answer.location.rpartition("/")[2])
    page = browser.get(f"{PAGE}?done=subscribed")
    assert "Thank you." in page.text
    assert "is used up" not in page.text
    assert "On trial until" in page.text
    assert re.search(r'id="current">Basic<', page.text), "before any event came"
    assert set(deliver(shop, stripe)) == {200}
    assert "You" not in choose(browser, "subscribe", "PREMIUM/month").location
    assert "switch its plan instead" in choose(browser, "subscribe", "PREMIUM/month").text


def test_an_owner_switches_cancels_keeps_and_looks_at_the_bills(shop: Shop, shop_host: Host) -> None:
    browser = owner_of(shop_host)
    shop.subscribe("BASIC")
    assert choose(browser, "switch", "PREMIUM/year").location == f"{PAGE}?done=plan"
    page = browser.get(f"{PAGE}?done=plan")
    assert "The plan is switched." in page.text
    assert re.search(r'id="current">Premium<', page.text)
    assert "already" in choose(browser, "switch", "PREMIUM/year").text
    assert choose(browser, "cancel").location == f"{PAGE}?done=subscription-cancelled"
    assert "Cancelled: the plan lasts until" in browser.get(PAGE).text
    assert choose(browser, "keep").location == f"{PAGE}?done=subscription-kept"
    assert "Cancelled" not in browser.get(PAGE).text
    assert choose(browser, "portal").location == "https://stripe.example/portal"
    assert "https://invoice.stripe.com/i/in_" in browser.get(PAGE).text
    log = browser.get("/accounts/1/log").text
    with reading(shop.services.engine) as session:
        entries = session.execute(select(AuditEntry).order_by(AuditEntry.entry_id)).scalars().all()
    asked = [(entry.action, entry.actor_user_id, entry.target) for entry in entries if entry.action in ASKED_AT_STRIPE]
    assert asked == [
        (Action.CHECKOUT_STARTED, shop.owner_id, "BASIC"),
        (Action.SUBSCRIPTION_SWITCHED, shop.owner_id, "PREMIUM"),
        (Action.SUBSCRIPTION_CANCELLED, shop.owner_id, ""),
        (Action.SUBSCRIPTION_KEPT, shop.owner_id, ""),
        (Action.PORTAL_OPENED, shop.owner_id, ""),
    ], "what was refused is not there"
    assert all(str(action) in log for action in ASKED_AT_STRIPE), "its owners read it"
    for change, choice in (("subscribe", ""), ("switch", "GOLD/month"), ("switch", "BASIC/day")):
        assert "Choose one of the plans." in choose(browser, change, choice).text
    assert choose(browser, "everything").status == 400


def test_an_open_bill_is_said(shop: Shop, shop_host: Host) -> None:
    browser = owner_of(shop_host)
    shop.subscribe("BASIC")
    subscription = shop.double.subscriptions[shop.row().subscription_id]
    shop.double.cards[shop.customer_id] = False
    shop.double.change(subscription, status="active")
    shop.double.bill(subscription, 900)
    shop.deliver_all()
    page = browser.get(PAGE)
    assert "A bill is open." in page.text
    assert "goes on once the bill is paid" in page.text
    assert "pay it first" in choose(browser, "switch", "PREMIUM/month").text


def test_a_greater_plan_waits_for_its_payment(shop: Shop, shop_host: Host) -> None:
    browser = owner_of(shop_host)
    shop.subscribe("BASIC")
    shop.double.change(shop.double.subscriptions[shop.row().subscription_id], status="active")
    shop.double.cards[shop.customer_id] = False
    assert choose(browser, "switch", "PREMIUM/month").location == f"{PAGE}?done=plan-waits"
    assert "Stripe waits for the payment" in browser.get(f"{PAGE}?done=plan-waits").text


def test_stripe_away_is_said_and_the_plan_is_shown(
    shop: Shop, shop_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stripe._http_client.time.sleep", lambda seconds: None)
    browser = owner_of(shop_host)
    shop.double.failures.extend([500] * 2)
    page = browser.get(PAGE)
    assert "Stripe does not answer at the moment" in page.text
    assert "Price at Stripe" in page.text
    shop.double.failures.extend([None] * 2)
    assert "Stripe does not answer at the moment" in choose(browser, "subscribe", "BASIC/month").text


def test_an_admin_sees_the_plan_and_changes_nothing(shop: Shop, shop_host: Host) -> None:
    add_member(shop.services, 1, "admin@example.com", MemberRole.ADMIN)
    browser = shop_host.browser()
    browser.log_in("admin@example.com", PASSWORD)
    page = browser.get(PAGE)
    assert "An owner of" in page.text
    assert "<form" not in page.text.split("<main")[1]
    assert choose(browser, "subscribe", "BASIC/month").status == 403


def test_a_plan_by_hand_is_shown(host: Host) -> None:
    make_owner(host.services)
    with writing(host.services.engine) as session:
        change_plan(session, host.services, 1, PREMIUM, Reason.STAFF, now_ms())
    assert re.search(r'id="current">Premium<', owner_of(host).get(PAGE).text)


def test_only_stripe_is_believed(shop: Shop, shop_host: Host) -> None:
    shop.double.complete_checkout(shop.checkout())
    body, signature = shop.double.signed(shop.double.events[0])
    browser = shop_host.browser()
    for content, header in ((body, ""), (body, signature[:-2]), (body + b" ", signature), (b"", "t=1,v1=2")):
        answer = browser.ask("POST", "/api/stripe/webhook", content, Stripe_Signature=header)
        assert answer.status == 400, answer.text
    assert browser.ask("GET", "/api/stripe/webhook").status == 405
    first = browser.ask("POST", "/api/stripe/webhook", body, Stripe_Signature=signature)
    again = browser.ask("POST", "/api/stripe/webhook", body, Stripe_Signature=signature)
    assert (first.text, again.text) == ('{"outcome":"queued"}', '{"outcome":"duplicate"}')
    large = browser.ask("POST", "/api/stripe/webhook", b" " * (1024 * 1024 + 1), Stripe_Signature=signature)
    assert large.status == 413
