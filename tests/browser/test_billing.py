"""Usage, plans and the end of an account in a real browser, against a real `footfall serve` without Redis and a Stripe
that remembers: from an empty page to warned, grace and dropped hits, through Stripe's pages and back by keyboard alone,
with the seconds that fronts took.

What was counted is set in the app database: counting is tested elsewhere, and so many hits would take minutes.
"""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect
from sqlalchemy import delete

from server.accounts.devices import Device
from server.accounts.sessions import start_login
from server.app_database import writing
from server.billing.capacity import note_change
from server.clickhouse_url import ClickHouseAddress
from server.clock import DAY_MS, now_ms
from server.config import load_settings
from server.models import JobState, MemberRole, UsageDay, UsagePeriod
from server.services import Services, open_services
from server.sites import add_site
from tests.browser.chromium import LOOPBACK, PERSON, chromium, visitor
from tests.browser.test_accounts import check_page, mail_to
from tests.server.accounts.people import PASSWORD, add_member, make_owner, make_person
from tests.server.billing.shop import billing_settings
from tests.services.footfall import FootfallServer, running_footfall
from tests.services.stripe_double import StripeDouble, running_stripe_double
from tests.services.stripe_pages import CHECKOUT_HOST, PORTAL_HOST, resolver_rules, running_stripe_pages

OWNER, VIC, ANN = "owner@example.com", "vic@example.com", "ann@example.com"
SITE = "shop.example"
USAGE, PLAN = "/accounts/1/usage", "/accounts/1/billing"

STRIPE_NAMES = (
    "stripe_secret_key",
    "stripe_webhook_secret",
    "stripe_api_url",
    "stripe_basic_monthly_price",
    "stripe_basic_annual_price",
    "stripe_premium_monthly_price",
    "stripe_premium_annual_price",
)

# What issue 5 promises where fronts poll the app database. They do so every second.
REACHED_WITHIN_S = 15.0

PROCESSES = 2
# Each hit has a connection of its own, which the kernel gives to one of the processes.
HITS_AT_ONCE = 12

# From the top of a page to whatever is last on it.
MOST_TABS = 60


@pytest.fixture(scope="module")
def double() -> Iterator[StripeDouble]:
    with running_stripe_double(int(time.time())) as running:
        yield running


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, store: ClickHouseAddress, double: StripeDouble
) -> Iterator[FootfallServer]:
    """An installation that sells plans, without Redis."""
    data_dir = tmp_path_factory.mktemp("footfall") / "data"
    stripe = billing_settings(load_settings(data_dir=data_dir), double.url)
    names = {name: str(getattr(stripe, name)) for name in STRIPE_NAMES}
    with running_footfall(data_dir, clickhouse_url=str(store), processes=str(PROCESSES), **names) as running:
        yield running


@pytest.fixture(scope="module")
def services(server: FootfallServer, double: StripeDouble) -> Iterator[Services]:
    """Its people: Olga with a site and Vic who only looks, Ann who leaves."""
    opened = open_services(billing_settings(load_settings(data_dir=server.data_dir), double.url))
    make_owner(opened, OWNER)
    add_site(opened.engine, SITE)
    add_member(opened, 1, VIC, MemberRole.VIEWER)
    make_person(opened, ANN, "Ann")
    with writing(opened.engine) as session:
        # The job would count what was not sent.
        session.merge(JobState(job="usage", shard="0/1", settled_until_ms=now_ms() + DAY_MS))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def buyers_browser(
    playwright: Playwright, double: StripeDouble, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """A browser that finds Stripe's pages."""
    with (
        running_stripe_pages(double, tmp_path_factory.mktemp("stripe")) as port,
        chromium(playwright, resolver_rules(port)) as running,
    ):
        yield running


@pytest.fixture
def olga(services: Services, server: FootfallServer, buyers_browser: Browser) -> Iterator[Page]:
    """The owner, who may also go to Stripe."""
    base = f"http://localhost:{server.port}"
    hosts = (*LOOPBACK, CHECKOUT_HOST, PORTAL_HOST)
    with visitor(buyers_browser, base, hosts=hosts, ignore_https_errors=True) as page:
        sign_in(page, services, 1, base)
        page.on("dialog", lambda dialog: dialog.accept())
        yield page


def sign_in(page: Page, services: Services, user_id: int, base: str) -> None:
    with writing(services.engine) as session:
        token = start_login(session, user_id, Device("Chrome on Linux", ""), now_ms(), second_factor=False)
    page.context.add_cookies([{"name": "footfall_session", "value": token, "url": base}])


def use(services: Services, events: int, grace_ends_at_ms: int | None = None) -> None:
    """So many events were counted in a period that began ten days ago, most of them on one day."""
    now = now_ms()
    times = {"starts_at_ms": now - 10 * DAY_MS, "ends_at_ms": now + 20 * DAY_MS, "counted_at_ms": now}
    told = {} if grace_ends_at_ms is None else {"depleted_at_ms": now, "grace_ends_at_ms": grace_ends_at_ms}
    today = datetime.now(UTC).date()
    with writing(services.engine) as session:
        session.execute(delete(UsagePeriod).where(UsagePeriod.account_id == 1))
        row = UsagePeriod(account_id=1, anchor="calendar", counted_events=events, **times, **told)
        session.add(row)
        session.flush()
        for number, share in enumerate((5, 10, 60, 25)):
            counted = {"events": events * share // 100, "from_ms": row.starts_at_ms, "until_ms": row.ends_at_ms}
            day = str(today - timedelta(days=2 * number))
            session.add(UsageDay(period_id=row.period_id, site_id=2, day=day, **counted))
        note_change(session, services, 1)


def outcomes(server: FootfallServer) -> set[str]:
    """Why page views on connections of their own were dropped; empty for one that was not."""
    body = json.dumps({"n": "pageview", "u": f"https://{SITE}/", "d": SITE})
    found = set()
    for _ in range(HITS_AT_ONCE):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("POST", "/api/event", body, {"Content-Type": "text/plain", "User-Agent": PERSON})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == 202
        found.add(answer.headers.get("x-footfall-dropped", ""))
    return found


def seconds_until_all(server: FootfallServer, expected: str, since_s: float) -> float:
    """How long it took since then until every process answers hits like that."""
    while outcomes(server) != {expected}:
        assert time.monotonic() - since_s < REACHED_WITHIN_S, f"hits are not answered {expected!r}"
        time.sleep(0.05)
    return time.monotonic() - since_s


def deliver(server: FootfallServer, double: StripeDouble, delivered: list[int]) -> None:
    """Stripe's events come over HTTP, signed."""
    double.advance_to(int(time.time()))
    events = double.events[sum(delivered) :]
    delivered.append(len(events))
    for event in events:
        body, signature = double.signed(event)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        connection.request("POST", "/api/stripe/webhook", body, {"Stripe-Signature": signature})
        assert connection.getresponse().status == 200
        connection.close()


@pytest.fixture(scope="module")
def delivered() -> list[int]:
    """How many events were, by time."""
    return []


def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has the focus is called this."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        focused: Any = page.evaluate(
            "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent).trim()"
        )
        if focused == name:
            return
    raise AssertionError(f"Tab never comes to {name!r}")


def done(page: Page, text: str) -> None:
    expect(page.get_by_role("status").first).to_contain_text(text)


def test_usage_is_shown_in_each_state_up_to_the_grace(olga: Page, services: Services) -> None:
    olga.goto(USAGE)
    expect(olga.get_by_role("heading", name="Nothing counted yet")).to_be_visible()
    check_page(olga, "usage-empty")
    use(services, 21_500)
    olga.reload()
    expect(olga.get_by_text(re.compile(r"Forecast for the whole period: about 64,4\d\d events"))).to_be_visible()
    expect(olga.get_by_text("There is room until")).to_be_visible()
    expect(olga.get_by_role("link", name="Look at the plans")).to_be_visible()
    olga.locator("summary", has_text="As a table").click()
    expect(olga.get_by_role("cell", name="12,900")).to_be_visible()
    check_page(olga, "usage-some")
    use(services, 86_000)
    olga.reload()
    expect(olga.get_by_text("the plan is used up before")).to_be_visible()
    expect(olga.get_by_role("progressbar")).to_have_attribute("value", "86")
    expect(olga.get_by_role("link", name="Choose a greater plan")).to_be_visible()
    check_page(olga, "usage-warned")
    use(services, 104_000, now_ms() + 3 * DAY_MS)
    olga.reload()
    expect(olga.get_by_role("alert")).to_contain_text("All of the plan is used. Hits are taken until")
    check_page(olga, "usage-grace")
    olga.goto(f"/sites/{SITE}/install")
    expect(olga.get_by_text("The plan of Olga Owner is used up. Hits of its sites are counted until")).to_be_visible()
    check_page(olga, "capacity-notice")


def test_hits_are_dropped_on_every_front_once_the_grace_is_over(
    olga: Page,
    services: Services,
    server: FootfallServer,
    buyers_browser: Browser,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds_until_all(server, "", time.monotonic())
    since_s = time.monotonic()
    use(services, 104_000, now_ms() - 1)
    took_s = seconds_until_all(server, "capacity", since_s)
    with capsys.disabled():
        print(f"\nwithout Redis hits were dropped by {PROCESSES} processes after {took_s:.2f} s")
    olga.goto(USAGE)
    expect(olga.get_by_role("alert")).to_contain_text("Hits are being dropped.")
    check_page(olga, "usage-rejecting")
    olga.goto(f"/sites/{SITE}")
    expect(olga.get_by_text("hits of its sites are being dropped")).to_be_visible()
    base = f"http://localhost:{server.port}"
    with visitor(buyers_browser, base) as vic:
        sign_in(vic, services, 2, base)
        vic.goto("/sites")
        vic.get_by_role("link", name=SITE).click()
        expect(vic.get_by_text("A greater plan ends that within seconds: ask Olga Owner.")).to_be_visible()
        vic.get_by_role("link", name="What was used").click()
        expect(vic.get_by_text("An owner of Olga Owner can choose a greater plan.")).to_be_visible()


def test_an_upgrade_by_keyboard_alone_and_hits_are_taken_again(
    olga: Page,
    server: FootfallServer,
    double: StripeDouble,
    delivered: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    olga.goto(USAGE)
    tab_to(olga, "Choose a greater plan")
    olga.keyboard.press("Enter")
    expect(olga).to_have_url(re.compile(PLAN))
    check_page(olga, "plan-free")
    tab_to(olga, "€9.00 a month: Basic")
    olga.keyboard.press("Enter")
    expect(olga.get_by_role("heading", name="Subscribe")).to_be_visible()
    assert olga.url.startswith(f"https://{CHECKOUT_HOST}/checkout/cs_")
    tab_to(olga, "Pay and subscribe")
    since_s = time.monotonic()
    olga.keyboard.press("Enter")
    expect(olga).to_have_url(re.compile(f"{PLAN}.done=subscribed"))
    done(olga, "Thank you.")
    expect(olga.get_by_role("heading", name="Basic", exact=True)).to_be_visible()
    expect(olga.get_by_text("On trial until")).to_be_visible()
    took_s = seconds_until_all(server, "", since_s)
    with capsys.disabled():
        print(f"\nwithout Redis hits were taken by {PROCESSES} processes {took_s:.2f} s after Stripe's button")
    expect(olga.get_by_text("is used up")).to_have_count(0)
    check_page(olga, "plan-trial")
    deliver(server, double, delivered)
    mail_to(server, OWNER, "Basic")
    olga.goto(USAGE)
    expect(olga.get_by_text("of 10,000,000 events of the plan Basic")).to_be_visible()


def test_plans_are_switched_both_ways_cancelled_and_kept(olga: Page) -> None:
    olga.goto(PLAN)
    olga.get_by_role("button", name="€490.00 a year: Premium").click()
    done(olga, "The plan is switched.")
    expect(olga.get_by_role("heading", name="Premium", exact=True)).to_be_visible()
    olga.get_by_role("button", name="€9.00 a month: Basic").click()
    done(olga, "The plan is switched.")
    expect(olga.get_by_role("heading", name="Basic", exact=True)).to_be_visible()
    olga.get_by_role("button", name="Cancel at the end of the period").click()
    expect(olga.get_by_text("Cancelled: the plan lasts until")).to_be_visible()
    check_page(olga, "plan-cancelled")
    olga.get_by_role("button", name="Keep it").click()
    done(olga, "The subscription goes on.")
    expect(olga.get_by_text("Cancelled: the plan lasts until")).to_have_count(0)
    olga.get_by_role("button", name="Card, address and bills at Stripe").click()
    assert olga.url == f"https://{PORTAL_HOST}/portal"
    olga.get_by_role("link", name="Back to Footfall").click()
    expect(olga).to_have_url(re.compile(PLAN))


def test_a_payment_that_failed_is_said_until_it_is_paid(
    olga: Page, server: FootfallServer, double: StripeDouble, delivered: list[int]
) -> None:
    (subscription,) = double.subscriptions.values()
    customer = subscription["customer"]
    double.cards[customer] = False
    double.change(subscription, status="active")
    double.bill(subscription, 900)
    deliver(server, double, delivered)
    mail_to(server, OWNER, "did not go through")
    olga.goto(PLAN)
    expect(olga.get_by_role("alert")).to_contain_text("A bill is open. The plan lasts until")
    check_page(olga, "plan-unpaid")
    double.pay_open_bills(customer)
    olga.goto(f"{PLAN}?done=subscribed")
    expect(olga.get_by_role("alert")).to_have_count(0)
    expect(olga.get_by_role("row", name="DOUBLE-")).not_to_have_count(0)
    check_page(olga, "plan-paid")


def test_an_account_is_given_up_and_kept(services: Services, server: FootfallServer, buyers_browser: Browser) -> None:
    base = f"http://localhost:{server.port}"
    with visitor(buyers_browser, base) as ann:
        sign_in(ann, services, 3, base)
        ann.goto("/accounts/3/deletion")
        ann.get_by_label("Type Ann to delete it").fill("Bob")
        ann.get_by_label("Your password").fill(PASSWORD)
        ann.get_by_role("button", name="Delete the account").click()
        expect(ann.get_by_label("Type Ann to delete it")).to_have_attribute("aria-invalid", "true")
        check_page(ann, "account-deletion")
        ann.get_by_label("Type Ann to delete it").fill("Ann")
        ann.get_by_label("Your password").fill(PASSWORD)
        ann.get_by_role("button", name="Delete the account").press("Enter")
        done(ann, "We told every owner of the account by mail.")
        expect(ann.get_by_role("heading", name="Ann is to be deleted")).to_be_visible()
        check_page(ann, "account-deletion-asked")
        ann.get_by_role("button", name="Take the deletion back").click()
        done(ann, "The account stays.")
