"""Guests over HTTP: invited on the page about people, let in by the link, and shown one site and nothing beside it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from server.accounts.guests import list_guests
from server.app_database import reading
from server.clock import now_ms
from server.config import Settings
from server.models import GuestRole, MemberRole, Site
from server.services import Services, open_services
from server.sites import add_site
from tests.server.accounts.people import (
    PASSWORD,
    add_guest,
    add_member,
    mails_to,
    make_owner,
    make_person,
    token_in,
)
from tests.server.pages.site_host import Answer, Browser, Host

GINA = "gina@example.org"
PEOPLE = "/sites/shop.example/settings/people"
GUESTS = f"{PEOPLE}/guests"


@pytest.fixture
def services(sqlite_settings: Settings) -> Iterator[Services]:
    opened = open_services(sqlite_settings)
    yield opened
    opened.close()


@pytest.fixture
def site(host: Host) -> Site:
    make_owner(host.services, name="Olga Owner")
    add_site(host.services.engine, "other.example", account_id=1)
    return add_site(host.services.engine, "shop.example", account_id=1)


def logged_in(host: Host, email: str = "owner@example.com") -> Browser:
    browser = host.browser()
    assert browser.log_in(email, PASSWORD).status == 303
    return browser


def invite(browser: Browser, email: str = GINA, role: str = "viewer") -> Answer:
    return browser.post(GUESTS, {"change": "invite", "guest_email": email, "role": role})


def shell_of(page: Answer) -> dict[str, object]:
    found = re.search(r'data-shell="([^"]*)"', page.text)
    assert found, page.text
    shell: dict[str, object] = json.loads(found[1].replace("&quot;", '"'))
    return shell


def test_a_stranger_is_invited_and_sees_one_site(host: Host, site: Site) -> None:
    browser = logged_in(host)
    assert "None yet." in browser.get(PEOPLE).text
    assert "not a mail address" in invite(browser, "nobody").error_at("guest_email")
    assert invite(browser, role="owner").status == 400
    assert invite(browser).location == f"{PEOPLE}?done=invited"
    assert "in the list already" in invite(browser).error_at("guest_email")
    page = browser.get(PEOPLE).text
    assert GINA in page
    assert "invited</span>" in page

    stranger = host.browser()
    link = f"/guests/accept?token={token_in(mails_to(host.services, GINA)[0])}"
    offer = stranger.get(link)
    assert "See shop.example" in offer.text
    assert "you may see its figures." in offer.text
    fields = {"token": link.partition("=")[2], "name": "Gina", "password": "short"}
    assert stranger.post("/guests/accept", fields).status == 400
    assert stranger.post("/guests/accept", {**fields, "password": PASSWORD}).location == "/sites/shop.example"
    assert stranger.get(link).status == 410
    assert "other.example" not in stranger.get("/sites").text
    assert "invited</span>" not in browser.get(PEOPLE).text
    log = browser.get("/accounts/1/log").text
    assert "guest.invited" in log
    assert "guest.joined" in log


def test_somebody_with_a_login_accepts_after_logging_in(host: Host, site: Site) -> None:
    make_person(host.services, GINA, "Gina")
    make_person(host.services, "eve@example.org")
    invite(logged_in(host), role="editor")
    token = token_in(mails_to(host.services, GINA)[0])
    assert "/login?next=%2Fguests%2Faccept" in host.browser().get(f"/guests/accept?token={token}").text
    eve, gina = logged_in(host, "eve@example.org"), logged_in(host, GINA)
    assert "You are logged in as eve@example.org" in eve.get(f"/guests/accept?token={token}").text
    assert eve.post("/guests/accept", {"token": token}).status == 410
    assert gina.post("/guests/accept", {"token": token}).location == "/sites/shop.example"
    page = gina.get("/sites").text
    assert "Open to you as a guest" in page
    assert "shop.example" in page
    assert "other.example" not in page


def test_the_dashboard_of_a_guest_leads_nowhere_else(host: Host, site: Site) -> None:
    for role in GuestRole:
        add_guest(host.services, "shop.example", f"{role}@example.org", role)
    viewer, editor = (logged_in(host, f"{role}@example.org") for role in GuestRole)
    page = viewer.get("/sites/shop.example")
    assert "/accounts/1/" not in page.text
    shell = shell_of(page)
    assert (shell["role"], shell["sites"]) == ("viewer", ["shop.example"])
    assert shell["links"] == {"install": None, "settings": None, "reports": None, "overview": "/sites"}
    links = shell_of(editor.get("/sites/shop.example"))["links"]
    assert links == {
        "install": "/sites/shop.example/install",
        "settings": "/sites/shop.example/settings",
        "reports": None,
        "overview": "/sites",
    }
    settings = editor.get("/sites/shop.example/settings").text
    for there in ("/settings/visibility", "/settings/counting", "/install"):
        assert f'href="/sites/shop.example{there}"' in settings
    for elsewhere in ("/settings/reports", "/settings/people", "/settings/deletion", "/imports", "/accounts/1"):
        assert elsewhere not in settings
    for path in ("/install", "/settings/visibility", "/settings/counting"):
        assert "/accounts/1" not in editor.get(f"/sites/shop.example{path}").text
    (told,) = json.loads(viewer.get("/api/sites").text)["sites"]
    assert (told["domain"], told["account_id"], told["account"]) == ("shop.example", None, None)
    answer = viewer.get("/sites/shop.example/settings", Accept="application/json")
    assert (answer.status, json.loads(answer.text)["error"]["message"]) == (
        403,
        "This is for guests with the role editor; yours is another.",
    )


def test_members_are_shown_their_mails(host: Host, site: Site) -> None:
    add_member(host.services, 1, "vic@example.com", MemberRole.VIEWER)
    viewer = logged_in(host, "vic@example.com")
    links = shell_of(viewer.get("/sites/shop.example"))["links"]
    assert isinstance(links, dict)
    assert (links["reports"], links["settings"]) == ("/sites/shop.example/settings/reports", None)
    assert viewer.get(links["reports"]).status == 200
    assert 'href="/sites/shop.example/settings/reports"' in viewer.get("/sites/shop.example/install").text


def test_roles_are_changed_and_guests_removed(host: Host, site: Site) -> None:
    add_guest(host.services, "shop.example", GINA, GuestRole.VIEWER)
    with reading(host.services.engine) as session:
        (line,) = list_guests(session, site.site_id, now_ms())
    browser, gina = logged_in(host), logged_in(host, GINA)
    guest = {"guest_id": str(line.guest_id)}
    assert browser.post(GUESTS, {"change": "guest-role", "role": "king", **guest}).status == 400
    assert browser.post(GUESTS, {"change": "guest-role", "role": "editor", "guest_id": "x"}).status == 400
    assert browser.post(GUESTS, {"change": "guest-role", "role": "editor", **guest}).location == f"{PEOPLE}?done=role"
    assert gina.get("/sites/shop.example/settings").status == 200
    assert browser.post(GUESTS, {"change": "remove", **guest}).location == f"{PEOPLE}?done=guest-removed"
    assert browser.post(GUESTS, {"change": "remove", **guest}).status == 404
    assert gina.get("/sites/shop.example").status == 404
    assert "You belong to no account" not in gina.get("/sites").text, "they have one of their own"


def test_a_guest_leaves(host: Host, site: Site) -> None:
    add_guest(host.services, "shop.example", GINA, GuestRole.VIEWER)
    gina = logged_in(host, GINA)
    assert 'action="/sites/shop.example/settings/leave"' in gina.get("/sites").text
    assert gina.post("/sites/shop.example/settings/leave").location == "/sites?done=guest-left"
    assert gina.get("/sites/shop.example").status == 404
    assert gina.post("/sites/shop.example/settings/leave").status == 404
    assert logged_in(host).post("/sites/shop.example/settings/leave").status == 404, "an owner is no guest"
