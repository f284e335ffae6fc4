"""Who gets which mails about a site, over HTTP: choosing, asking others, agreeing, one-click unsubscribing, alerts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select, update

from server.accounts.audit_log import Action
from server.app_database import reading, writing
from server.billing.plans import FREE
from server.clock import DAY_MS, now_ms
from server.config import Settings
from server.models import AuditEntry, MemberRole, ReportSubscription, Site, TrafficAlert
from server.reports.periods import MailKind
from server.reports.unsubscribing import AGREEMENT_LIFE_MS, unsubscribe_token
from server.services import Services, open_services
from server.sites import add_site
from tests.server.accounts.people import PASSWORD, add_member, mails_to, make_owner
from tests.server.pages.site_host import Browser, Host, hosted

PAGE = "/sites/shop.example/settings/reports"


BOTH_STORES = pytest.mark.parametrize("services", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    settings: Settings = request.getfixturevalue(f"{getattr(request, 'param', 'sqlite')}_settings")
    opened = open_services(settings)
    yield opened
    opened.close()


@pytest.fixture
def host(services: Services) -> Iterator[Host]:
    make_owner(services)
    add_member(services, 1, "ann@example.com", MemberRole.VIEWER)
    add_site(services.engine, "shop.example", account_id=1)
    with hosted(services) as running:
        yield running


def logged_in(host: Host, email: str) -> Browser:
    browser = host.browser()
    browser.log_in(email, PASSWORD)
    return browser


def rows(services: Services) -> list[tuple[str, str | None, bool, bool]]:
    """(kind, address, is a member's, has agreed) of every subscription."""
    with reading(services.engine) as session:
        found = session.execute(select(ReportSubscription).order_by(ReportSubscription.kind)).scalars()
        return [(row.kind, row.email, row.user_id is not None, row.confirmed_at_ms is not None) for row in found]


def actions(services: Services) -> list[str]:
    with reading(services.engine) as session:
        return list(session.execute(select(AuditEntry.action).order_by(AuditEntry.entry_id)).scalars())


def test_members_choose_for_themselves(host: Host) -> None:
    ann = logged_in(host, "ann@example.com")
    page = ann.get(PAGE)
    assert page.status == 200
    assert "You get nothing about this site so far" in page.text
    assert "Other addresses" not in page.text, "that is for admins"
    answer = ann.post(PAGE, {"change": "mine", "kind": ["daily", "alerts"]})
    assert (answer.status, answer.location) == (303, f"{PAGE}?done=reports")
    assert rows(host.services) == [("alerts", None, True, True), ("daily", None, True, True)]
    ann.post(PAGE, {"change": "mine", "kind": ["weekly", "daily"]})
    assert [row[0] for row in rows(host.services)] == ["daily", "weekly"]
    ann.post(PAGE, {"change": "mine"})
    assert rows(host.services) == []
    assert actions(host.services).count(Action.REPORTS_CHOSEN) == 3
    assert ann.post(PAGE, {"change": "mine", "kind": "hourly"}).status == 400


@pytest.mark.parametrize("change", ["people", "ask", "unask", "alerts"])
def test_what_is_for_admins_is_refused_to_viewers(host: Host, change: str) -> None:
    answer = logged_in(host, "ann@example.com").post(PAGE, {"change": change, "email": "x@example.com"})
    assert answer.status == 403
    assert "This needs the role admin" in answer.text


def test_admins_choose_for_members_of_their_account_alone(host: Host) -> None:
    owner = logged_in(host, "owner@example.com")
    numbers = re.findall(r'name="person" value="(\d+)"', owner.get(PAGE).text)
    assert len(numbers) == 2
    form = {"change": "people", "person": numbers, f"kind-{numbers[0]}": ["monthly"], f"kind-{numbers[1]}": ["daily"]}
    assert owner.post(PAGE, form).location.endswith("done=reports")
    assert [row[0] for row in rows(host.services)] == ["daily", "monthly"]
    assert owner.post(PAGE, {"change": "people", "person": "999"}).status == 404
    assert owner.post(PAGE, {"change": "people", "person": "1 OR 1"}).status == 400


@BOTH_STORES
def test_another_address_gets_nothing_before_it_agreed(host: Host) -> None:
    owner = logged_in(host, "owner@example.com")
    form = {"change": "ask", "email": " Client@Example.com ", "other-kind": ["weekly", "daily"]}
    assert owner.post(PAGE, form).location.endswith("done=report-asked")
    assert rows(host.services) == [
        ("daily", "client@example.com", False, False),
        ("weekly", "client@example.com", False, False),
    ]
    (mail,) = mails_to(host.services, "client@example.com")
    assert "daily report, weekly report" in mail.text
    assert "has not agreed yet" in owner.get(PAGE).text
    link = re.search(r"http\S+/reports/agree\?token=\S+", mail.text)
    assert link is not None
    path = f"{urlsplit(link[0]).path}?{urlsplit(link[0]).query}"
    stranger = host.browser()
    assert "client@example.com" in stranger.get(path).text
    assert rows(host.services)[0][3] is False, "looking agrees to nothing"
    token = path.partition("token=")[2]
    assert stranger.post("/reports/agree", {"token": token}).status == 200
    assert all(row[3] for row in rows(host.services))
    assert "has agreed" in owner.get(PAGE).text
    assert stranger.post("/reports/agree", {"token": token[:-1] + "0x"}).status == 410
    assert owner.post(PAGE, {"change": "unask", "email": "client@example.com"}).location.endswith("report-removed")
    assert rows(host.services) == []
    assert stranger.get(path).status == 410
    assert owner.post(PAGE, {"change": "unask", "email": "client@example.com"}).status == 404


def test_an_offer_ends_after_a_week(host: Host) -> None:
    owner = logged_in(host, "owner@example.com")
    owner.post(PAGE, {"change": "ask", "email": "client@example.com", "other-kind": "daily"})
    (mail,) = mails_to(host.services, "client@example.com")
    token = mail.text.partition("token=")[2].split()[0]
    with writing(host.services.engine) as session:
        session.execute(update(ReportSubscription).values(created_at_ms=now_ms() - AGREEMENT_LIFE_MS))
    assert host.browser().post("/reports/agree", {"token": token}).status == 410


@pytest.mark.parametrize(
    ("email", "kinds", "words"),
    [
        ("no address", ["daily"], "not a mail address"),
        ("client@example.com", [], "Choose what"),
        ("ann@example.com", ["daily"], "member&#x27;s address"),
    ],
)
def test_an_address_that_cannot_be_asked_is_refused_at_its_field(
    host: Host, email: str, kinds: list[str], words: str
) -> None:
    answer = logged_in(host, "owner@example.com").post(PAGE, {"change": "ask", "email": email, "other-kind": kinds})
    assert answer.status == 400
    assert words.replace("&#x27;", "'") in answer.error_at("email").replace("&#x27;", "'").replace("&#39;", "'")
    assert rows(host.services) == []


# -- unsubscribing -----------------------------------------------------------------------------------------------------


def subscribed(host: Host, *kinds: MailKind) -> dict[str, str]:
    """The viewer gets these kinds; the paths that end them, by kind."""
    logged_in(host, "ann@example.com").post(PAGE, {"change": "mine", "kind": list(map(str, kinds))})
    with reading(host.services.engine) as session:
        found = session.execute(select(ReportSubscription)).scalars().all()
    return {row.kind: f"/unsubscribe/{unsubscribe_token(host.services.secret_key, row)}" for row in found}


def one_click(host: Host, path: str) -> int:
    """What a mail program sends (RFC 8058): no cookies, no token of a form, from an origin of its own."""
    body = b"List-Unsubscribe=One-Click"
    headers = {"Content_Type": "application/x-www-form-urlencoded", "Origin": "https://mail.example"}
    return host.browser().ask("POST", path, body, **headers).status


@BOTH_STORES
def test_one_click_ends_that_subscription_and_no_other(host: Host) -> None:
    paths = subscribed(host, MailKind.DAILY, MailKind.WEEKLY)
    assert one_click(host, paths["daily"]) == 200
    assert [row[0] for row in rows(host.services)] == ["weekly"]
    assert actions(host.services)[-1] == Action.REPORT_UNSUBSCRIBED
    assert one_click(host, paths["daily"]) == 200, "a second click hears no failure"
    assert [row[0] for row in rows(host.services)] == ["weekly"]


def test_looking_at_the_link_shows_a_button_and_ends_nothing(host: Host) -> None:
    paths = subscribed(host, MailKind.DAILY)
    page = host.browser().get(paths["daily"])
    assert page.status == 200
    assert "This ends the daily report about shop.example" in page.text
    assert '<form method="post">' in page.text
    assert len(rows(host.services)) == 1


def test_a_link_that_was_tampered_with_ends_nothing(host: Host) -> None:
    paths = subscribed(host, MailKind.DAILY)
    number, _, mac = paths["daily"].rpartition("/")[2].partition("-")
    for token in (f"{number}-{'0' * 40}", f"{int(number) + 1}-{mac}", f"{number}-{mac[:-1]}", f"{number}{mac}"):
        assert one_click(host, f"/unsubscribe/{token}") == 200
        assert host.browser().get(f"/unsubscribe/{token}").status == 410
    assert len(rows(host.services)) == 1


def test_unsubscribing_is_rate_limited(host: Host) -> None:
    browser = host.browser()
    path = "/unsubscribe/1-" + "0" * 40
    answers = [browser.ask("POST", path, b"List-Unsubscribe=One-Click").status for _ in range(31)]
    assert answers[-1] == 429
    assert set(answers[:-1]) == {200}


# -- alerts, plans -----------------------------------------------------------------------------------------------------


@BOTH_STORES
def test_alerts_are_kept_as_typed(host: Host) -> None:
    owner = logged_in(host, "owner@example.com")
    form = {"change": "alerts", "visitors_now": "1,000", "visitors_hour": "", "hits_hour": "20 %", "repeat_s": "3600"}
    assert owner.post(PAGE, {**form, "tells_end": "1"}).location.endswith("done=traffic-alerts")
    with reading(host.services.engine) as session:
        alerts = session.execute(select(TrafficAlert).order_by(TrafficAlert.kind)).scalars().all()
    assert [(row.kind, row.threshold, row.repeat_s, row.tells_end) for row in alerts] == [
        ("hits_hour", 20, 3600, True),
        ("visitors_now", 1000, 3600, True),
    ]
    page = owner.get(PAGE).text
    assert 'value="1000"' in page
    assert "At most" in logged_in(host, "ann@example.com").get(PAGE).text
    for field, value in (("visitors_now", "0"), ("hits_hour", "91"), ("visitors_hour", "many")):
        refused = owner.post(PAGE, {**form, field: value})
        assert refused.status == 400
        assert "A whole number" in refused.error_at(field)
        assert f'value="{value}"' in refused.text, "what was typed stays"
    owner.post(PAGE, {**form, "visitors_now": "", "hits_hour": ""})
    with reading(host.services.engine) as session:
        assert session.execute(select(TrafficAlert)).scalars().all() == []


def test_a_plan_without_reports_says_so_and_changes_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "are_plans_enforced", True)
    monkeypatch.setattr(type(FREE), "has", lambda plan, feature: plan is not FREE)
    ann = logged_in(host, "ann@example.com")
    assert "does not have reports" in ann.get(PAGE).text
    answer = ann.post(PAGE, {"change": "mine", "kind": "daily"})
    assert answer.status == 402
    assert "Reports and alerts by mail: not part of the plan Free" in answer.text
    assert rows(host.services) == []


def test_a_person_of_the_account_that_a_site_left_is_not_shown(host: Host) -> None:
    subscribed(host, MailKind.DAILY)
    with writing(host.services.engine) as session:
        session.execute(update(ReportSubscription).values(account_id=2))
        site = session.execute(select(Site)).scalar_one()
        assert site.created_at_ms < now_ms() + DAY_MS
    assert "You get nothing about this site so far" in logged_in(host, "ann@example.com").get(PAGE).text
    logged_in(host, "ann@example.com").post(PAGE, {"change": "mine", "kind": "daily"})
    assert len(rows(host.services)) == 1, "the old row is replaced"
