"""The page about an account's usage."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import select

from server.app_database import reading, writing
from server.billing.period_rows import follow_periods
from server.billing.plans import FREE
from server.billing.usage import AccountUsage, forecast
from server.clock import DAY_MS, now_ms
from server.models import Account, AuditEntry, MemberRole, UsageDay
from server.pages.usage import outlook
from server.sites import add_site
from tests.server.accounts.people import PASSWORD, add_member, make_owner
from tests.server.pages.site_host import Browser, Host

PAGE = "/accounts/1/usage"


def signed_in(host: Host, email: str = "owner@example.com") -> Browser:
    browser = host.browser()
    assert browser.log_in(email, PASSWORD).status == 303
    return browser


def count(host: Host, events: int) -> None:
    site = add_site(host.services.engine, "busy.example")
    with writing(host.services.engine) as session:
        row = follow_periods(session, 1, now_ms())
        day = {"from_ms": row.starts_at_ms, "until_ms": row.ends_at_ms, "events": events}

        today = str(datetime.fromtimestamp(now_ms() / 1000, UTC).date())
        session.add(UsageDay(period_id=row.period_id, site_id=site.site_id, day=today, **day))
        row.counted_events, row.counted_at_ms = events, now_ms()


def test_without_events_it_says_what_to_do(host: Host) -> None:
    make_owner(host.services)
    page = signed_in(host).get(PAGE)
    assert page.status == 200
    assert "Nothing counted yet" in page.text
    assert "0</strong> of 100,000 events of the plan Free (0 %)" in page.text
    assert "Plans limit nobody on this server" in page.text
    assert "Usage is counted all the same" in signed_in(host).get("/accounts/1/billing").text


def test_figures_are_by_day_and_by_site(host: Host) -> None:
    make_owner(host.services)
    count(host, 41_234)
    add_member(host.services, 1, "viewer@example.com", MemberRole.VIEWER)
    text = signed_in(host, "viewer@example.com").get(PAGE).text
    assert "41,234</strong> of 100,000" in text
    assert '<td>busy.example</td><td class="number">41,234</td>' in text
    assert 'role="img"' in text
    assert "<form" not in text.split("<main")[1], "a viewer changes nothing"


def test_the_zone_of_months_is_an_owners_choice(host: Host) -> None:
    make_owner(host.services)
    browser = signed_in(host)
    assert browser.post(PAGE, {"timezone": "Mars/Olympus"}).status == 400
    assert browser.post(PAGE, {"timezone": "Asia/Tokyo"}).status == 303
    assert "calendar month in the time zone Asia/Tokyo" in browser.get(PAGE).text
    with reading(host.services.engine) as session:
        assert session.execute(select(Account.timezone)).scalar() == "Asia/Tokyo"
        assert session.execute(select(AuditEntry).where(AuditEntry.action == "account.timezone")).scalar() is not None


def usage(events: int, grace_days: int | None = None, *, is_rejecting: bool = False) -> AccountUsage:
    grace_ends_at_ms = None if grace_days is None else grace_days * DAY_MS
    return AccountUsage(1, FREE, events, 0, 30 * DAY_MS, grace_ends_at_ms, grace_ends_at_ms, is_rejecting)


def test_what_happens_next_is_said_in_plain_words() -> None:
    def said(each: AccountUsage, expected: int | None = None) -> str:
        return outlook(each, expected, is_enforced=True)

    assert "There is room until 1970-01-31" in said(usage(5), 10)
    assert "used up before 1970-01-31" in said(usage(5), 100_001)
    assert "Hits are taken until 1970-01-08 00:00 UTC, and dropped from then on" in said(usage(100_000, 7))
    assert "taken all the same until 1970-01-31" in said(usage(100_000, 40))
    assert "being dropped" in said(usage(100_000, 7, is_rejecting=True))
    assert "limit nobody" in outlook(usage(100_000), None, is_enforced=False)


def test_the_forecast_goes_on_as_it_went() -> None:
    assert forecast(usage(500), DAY_MS - 1) is None
    assert forecast(usage(500), 10 * DAY_MS) == 1500
