"""The notice that a plan is used up: what it says in each state, who sees it where, and what it costs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import OperationalError

from server.accounts.share_links import add_share_link
from server.app_database import writing
from server.billing.capacity import note_change
from server.billing.plan_changes import Reason, change_plan
from server.billing.plans import BASIC, FREE
from server.clock import DAY_MS, now_ms, time_text
from server.config import PlanLimits, Settings
from server.models import GuestRole, MemberRole, Membership, Site, UsagePeriod
from server.services import Services, open_services
from server.sites import add_site
from tests.server.accounts.people import PASSWORD, add_guest, add_member, make_owner, make_person
from tests.server.billing.shop import billing_settings
from tests.server.pages.site_host import Browser, Host, hosted
from tests.server.pages.test_authorization import sign_in
from tests.server.pages.test_login import turn_on_two_factor

SITE = "/sites/shop.example"
NOTICE = "is used up"

# No page here asks Stripe.
NOWHERE = "http://127.0.0.1:9"


@contextlib.contextmanager
def selling(settings: Settings) -> Iterator[Host]:
    """The application where plans are sold and hold, with Olga's site."""
    services = open_services(billing_settings(settings, NOWHERE))
    make_owner(services)
    add_site(services.engine, "shop.example")
    with hosted(services) as running:
        yield running
    services.close()


@pytest.fixture
def shop_host(sqlite_settings: Settings) -> Iterator[Host]:
    with selling(sqlite_settings) as running:
        yield running


def use_up(
    services: Services, grace_days: float, account_id: int = 1, events: int = FREE.monthly_events
) -> UsagePeriod:
    """All of the plan's events are counted; the grace ends in so many days, the period in twenty."""
    now = now_ms()
    grace_ends_at_ms = now + int(grace_days * DAY_MS)
    times = {"starts_at_ms": now - 10 * DAY_MS, "ends_at_ms": now + 20 * DAY_MS, "depleted_at_ms": now - DAY_MS}
    counted = {"anchor": "calendar", "counted_events": FREE.monthly_events}
    row = UsagePeriod(account_id=account_id, grace_ends_at_ms=grace_ends_at_ms, **counted, **times)
    with writing(services.engine) as session:
        session.add(row)
        note_change(session, services, account_id)
    return row


def signed_in(host: Host, email: str = "owner@example.com") -> Browser:
    browser = host.browser()
    assert browser.log_in(email, PASSWORD).status == 303
    return browser


def notice(browser: Browser, path: str = SITE) -> str:
    """What the page says of it; empty when it says nothing."""
    answer = browser.get(path)
    assert answer.status == 200
    return next((line for line in answer.text.splitlines() if NOTICE in line), "")


def test_an_owner_reads_what_happened_until_when_and_what_to_do(shop_host: Host) -> None:
    olga = signed_in(shop_host)
    assert notice(olga) == ""
    row = use_up(shop_host.services, grace_days=3)
    assert row.grace_ends_at_ms is not None
    said = notice(olga)
    assert "The plan of Olga Owner is used up. Hits of its sites are counted until" in said
    assert time_text(row.grace_ends_at_ms) in said
    assert time_text(row.ends_at_ms) in said
    assert '<a href="/accounts/1/billing">A greater plan</a> ends that within seconds.' in said
    assert '<a href="/accounts/1/usage">' in said
    with writing(shop_host.services.engine) as session:
        session.execute(update(UsagePeriod).values(grace_ends_at_ms=now_ms() - 1))
        note_change(session, shop_host.services, 1)
    said = notice(olga)
    assert "hits of its sites are being dropped" in said
    assert time_text(row.ends_at_ms) in said


def test_it_ends_with_a_greater_plan_fewer_events_and_the_period(shop_host: Host) -> None:
    olga, services = signed_in(shop_host), shop_host.services
    use_up(services, grace_days=-1)
    for changed in ({"counted_events": 99_999}, {"counted_events": 100_000, "ends_at_ms": now_ms()}):
        assert "being dropped" in notice(olga)
        with writing(services.engine) as session:
            session.execute(update(UsagePeriod).values(changed))
            note_change(session, services, 1)
        assert notice(olga) == ""
        with writing(services.engine) as session:
            ends = {"counted_events": 100_000, "ends_at_ms": now_ms() + DAY_MS}
            session.execute(update(UsagePeriod).values(ends))
            note_change(session, services, 1)
    assert "being dropped" in notice(olga)
    with writing(services.engine) as session:
        change_plan(session, services, 1, BASIC, Reason.STAFF, now_ms())
    assert notice(olga) == ""


def test_guests_of_a_site_are_told_nothing_of_the_plan(shop_host: Host) -> None:
    for role in GuestRole:
        add_guest(shop_host.services, "shop.example", f"{role}@example.org", role)
    use_up(shop_host.services, grace_days=-1)
    for role in GuestRole:
        guest = signed_in(shop_host, f"{role}@example.org")
        assert [notice(guest), notice(guest, "/sites")] == ["", ""]
    assert notice(guest, f"{SITE}/settings") == ""


def test_a_grace_that_outlasts_the_period_drops_nothing_and_says_nothing(shop_host: Host) -> None:
    use_up(shop_host.services, grace_days=21)
    assert notice(signed_in(shop_host)) == ""


def test_it_is_on_the_pages_of_the_account_and_its_sites_alone(shop_host: Host) -> None:
    olga, services = signed_in(shop_host), shop_host.services
    use_up(services, grace_days=-1)
    with writing(services.engine) as session:
        kept = session.get_one(Site, 1)
        kept.embed_origins = ["https://intranet.example"]
        link = f"/share/{add_share_link(session, kept, 'a link', '', 1).slug}"
    for path in (f"{SITE}/install", f"{SITE}/settings", f"{SITE}/imports", "/accounts/1/team", "/sites"):
        assert "being dropped" in notice(olga, path), path
    # A form that is shown again with its error keeps it.
    assert NOTICE in olga.post("/accounts/1/sites/new", {"domain": "not a domain"}).text
    for path in ("/me", "/accounts/1/usage"):
        assert notice(olga, path) == "", path
    for browser in (olga, shop_host.browser()):
        for path in (link, f"{link}?embed=true"):
            assert notice(browser, path) == "", path
    assert notice(shop_host.browser(), "/") == ""


def test_a_guest_of_a_site_hears_nothing_of_its_account(shop_host: Host) -> None:
    add_guest(shop_host.services, "shop.example", "gina@example.com", GuestRole.VIEWER)
    gina = signed_in(shop_host, "gina@example.com")
    use_up(shop_host.services, grace_days=-1)
    for path in (SITE, "/sites"):
        assert notice(gina, path) == "", path


def test_others_than_owners_are_told_whom_to_ask(shop_host: Host) -> None:
    services = shop_host.services
    use_up(services, grace_days=-1)
    for role in (MemberRole.VIEWER, MemberRole.ADMIN):
        add_member(services, 1, f"{role}@example.com", role)
        said = notice(signed_in(shop_host, f"{role}@example.com"))
        assert "A greater plan ends that within seconds: ask Olga Owner." in said
        assert "/billing" not in said
        assert '<a href="/accounts/1/usage">' in said
    with writing(services.engine) as session:
        others = Membership.role != MemberRole.OWNER
        session.execute(update(Membership).where(others, Membership.account_id == 1).values(role=MemberRole.OWNER))
        session.execute(update(Membership).where(Membership.user_id == 1).values(role=MemberRole.VIEWER))
    said = notice(signed_in(shop_host))
    assert "ask viewer@example.com or admin@example.com." in said, "an address stands for a missing name"


def test_of_several_accounts_each_says_its_own(database_settings: Settings) -> None:
    with selling(database_settings) as host:
        see_several_accounts(host)


def see_several_accounts(host: Host) -> None:
    olga, services = signed_in(host), host.services
    _, anns = make_person(services, "ann@example.com", "Ann <b>")
    _, bobs = make_person(services, "bob@example.com", "Bob")
    with writing(services.engine) as session:
        for account_id in (anns, bobs):
            member = {"role": MemberRole.VIEWER, "created_at_ms": now_ms()}
            session.add(Membership(account_id=account_id, user_id=1, **member))
    add_site(services.engine, "ann.example", account_id=anns)
    use_up(services, grace_days=3, account_id=1)
    use_up(services, grace_days=-1, account_id=anns)
    text = olga.get("/sites").text
    assert text.count(NOTICE) == 2
    assert "The plan of Olga Owner is used up. Hits of its sites are counted until" in text
    assert "The plan of Ann &lt;b&gt; is used up, and hits of its sites are being dropped" in text
    assert "ask Ann &lt;b&gt;." in text
    assert "Ann &lt;b&gt;" in notice(olga, "/sites/ann.example")
    assert "Olga" not in notice(olga, "/sites/ann.example")


def test_staff_see_it_where_they_act_as_a_customer_and_nowhere_else(shop_host: Host) -> None:
    services = shop_host.services
    totp, _ = turn_on_two_factor(services, 1)
    ann, anns = make_person(services, "ann@example.com", "Ann")
    use_up(services, grace_days=-1, account_id=anns)
    staff = sign_in(services, shop_host, 1, second_factor=True)
    assert notice(staff, f"/admin/accounts/{anns}") == ""
    assert staff.post(f"/admin/people/{ann}", {"reason": "asked for help", "code": totp.now()}).status == 303
    assert "being dropped" in notice(staff, f"/accounts/{anns}/team")


def test_where_nothing_can_be_bought_the_operator_is_to_ask(sqlite_settings: Settings) -> None:
    for limits, expected in ((PlanLimits.ON, "ask the people who run this server"), (PlanLimits.OFF, "")):
        services = open_services(sqlite_settings.model_copy(update={"plan_limits": limits}))
        if limits is PlanLimits.ON:
            make_owner(services)
            add_site(services.engine, "shop.example")
            use_up(services, grace_days=-1)
        with hosted(services) as host:
            said = notice(signed_in(host))
            assert expected in said
            assert bool(said) == bool(expected)
        services.close()


def test_a_page_costs_one_statement_more_and_none_while_the_answer_is_remembered(shop_host: Host) -> None:
    olga, services = signed_in(shop_host), shop_host.services
    use_up(services, grace_days=3)
    asked: list[str] = []
    event.listen(services.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))

    def cost(browser: Browser, path: str) -> tuple[int, int]:
        """All statements of a page, and those about usage."""
        asked.clear()
        assert browser.get(path).status == 200
        asked[:] = [statement for statement in asked if statement.startswith("SELECT")]
        return len(asked), sum("usage_periods" in statement for statement in asked)

    path = f"{SITE}/settings"
    first, about_usage = cost(olga, path)
    assert about_usage == 1, "nobody reads the invalidations here, so nothing is remembered"
    services.cache.poll()
    assert cost(olga, path)[1] == 1
    assert cost(olga, path) == (first - 1, 0)
    add_member(services, 1, "viewer@example.com", MemberRole.VIEWER)
    viewer = signed_in(shop_host, "viewer@example.com")
    with writing(services.engine) as session:
        note_change(session, services, 1)
    services.cache.poll()
    assert cost(viewer, f"{SITE}/install")[1] == 1
    assert cost(viewer, f"{SITE}/install")[1] == 0
    assert sum("memberships.role =" in statement for statement in asked) == 1, "whom to ask"
    # Viewer belongs to two accounts: the list asks for both at once.
    assert cost(viewer, "/sites")[1] == 1


def test_a_page_is_shown_without_it_while_it_cannot_be_looked_up(
    shop_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*given: object) -> None:
        raise OperationalError("SELECT", {}, Exception("away"))

    olga = signed_in(shop_host)
    use_up(shop_host.services, grace_days=3)
    monkeypatch.setattr("server.pages.page.capacity_notices", away)
    assert notice(olga) == ""
