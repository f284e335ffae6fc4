"""Plausible's Sites API: its documented examples, pages of lists, and what is refused."""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import quote, urlencode

import pytest

import server.stats_api.v1_sites
from server.accounts.guests import accept_guest_as_user
from server.accounts.keys import add_api_key
from server.clock import now_ms
from server.models import Scope
from server.services import Services
from server.sites import find_site
from tests.server.accounts.people import mails_to, make_person, token_in
from tests.server.pages.site_host import Answer, Host, bearer
from tests.server.stats_api.asking import Client, error_of
from tests.server.stats_api.dummy_site import NOW_MS

SITES = "/api/v1/sites"


class Program(Client):
    """Sends forms, as curl's `-F` and `-d` do, or JSON."""

    def send(self, method: str, path: str, fields: dict[str, Any], kind: str = "multipart/form-data") -> Answer:
        """A body with fields."""
        if kind == "application/json":
            body = json.dumps(fields).encode()
        elif kind == "multipart/form-data":
            boundary = uuid.uuid4().hex
            parts = [
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                for name, value in fields.items()
            ]
            body = "".join([*parts, f"--{boundary}--\r\n"]).encode()
            kind = f"{kind}; boundary={boundary}"
        else:
            body = urlencode(fields).encode()
        return self.browser.ask(method, path, body, Content_Type=kind, **self.headers)

    def done(self, method: str, path: str, fields: dict[str, Any], kind: str = "multipart/form-data") -> Any:
        """What such a request answers when it is carried out."""
        answer = self.send(method, path, fields, kind)
        assert answer.status == 200, answer.text
        return json.loads(answer.text)


@pytest.fixture(scope="module")
def program(host: Host, services: Services) -> Program:
    """Of an account that has no site yet."""
    _, account_id = make_person(services, "agency@example.com", "Agency")
    return Program(host, add_api_key(services.engine, "sites", account_id, [Scope.SITES_WRITE]))


def test_the_life_of_a_site(program: Program, services: Services) -> None:
    assert program.get(SITES) == {"sites": [], "meta": {"after": None, "before": None, "limit": 100}}
    made = program.done("POST", SITES, {"domain": "test-domain.com", "timezone": "Europe/London"})
    assert made == {"domain": "test-domain.com", "timezone": "Europe/London"}
    assert program.get(f"{SITES}/test-domain.com") == {**made, "custom_properties": []}
    assert program.done("POST", SITES, {"domain": "plain.com"}, "application/json")["timezone"] == "Etc/UTC"
    moved = program.done("PUT", f"{SITES}/test-domain.com", {"domain": "new-test-domain.com"})
    assert moved == {"domain": "new-test-domain.com", "timezone": "Europe/London"}
    assert program.status(f"{SITES}/test-domain.com") == 404
    assert program.done("PUT", f"{SITES}/plain.com", {"timezone": "Asia/Tokyo"})["timezone"] == "Asia/Tokyo"
    assert program.done("DELETE", f"{SITES}/new-test-domain.com", {}) == {"deleted": True}
    assert program.status(f"{SITES}/new-test-domain.com") == 404
    site = find_site(services.engine, "new-test-domain.com")
    assert site is not None
    assert site.state == "deleting", "an owner may still take it back"
    assert [site["domain"] for site in program.get(SITES)["sites"]] == ["plain.com"]


def test_the_account_is_the_team(program: Program) -> None:
    answer = program.get(f"{SITES}/teams")
    (team,) = answer["teams"]
    assert team["api_available"] is True
    assert program.get(f"{SITES}?team_id={team['id']}")["sites"] != []
    assert program.get(f"{SITES}?team_id=0")["sites"] == []
    assert program.send("POST", SITES, {"domain": "other.com", "team_id": "0"}).status == 404


def test_pages_go_on_where_the_last_one_ended(program: Program) -> None:
    for number in range(5):
        program.done("POST", SITES, {"domain": f"page-{number}.com"})
    first = program.get(f"{SITES}?limit=2")
    assert first["meta"]["before"] is None
    second = program.get(f"{SITES}?limit=2&after={first['meta']['after']}")
    third = program.get(f"{SITES}?limit=2&after={second['meta']['after']}")
    domains = [site["domain"] for page in (first, second, third) for site in page["sites"]]
    assert domains == ["plain.com", *(f"page-{number}.com" for number in range(5))]
    assert third["meta"]["after"] is None
    assert program.get(f"{SITES}?limit=2&before={third['meta']['before']}") == second
    assert program.get(f"{SITES}?limit=2&before={second['meta']['before']}") == first
    for wrong in ("after=!", "after=bm9wZQ", "limit=0", "limit=x", "after=bjE&before=bjI"):
        assert program.status(f"{SITES}?{wrong}") == 400


def test_share_links_are_found_or_made(program: Program, host: Host) -> None:
    fields = {"site_id": "plain.com", "name": "Wordpress"}
    link = program.done("PUT", f"{SITES}/shared-links", fields)
    assert link["name"] == "Wordpress"
    assert program.done("PUT", f"{SITES}/shared-links", fields, "application/x-www-form-urlencoded") == link
    slug = link["url"].rpartition("/share/")[2]
    answer = host.browser().get("/api/stats/realtime?site_id=plain.com", X_Footfall_Share=slug)
    assert answer.status == 200


def test_goals_are_found_or_made_and_removed(program: Program) -> None:
    goals = f"{SITES}/goals"
    signup = program.done("PUT", goals, {"site_id": "plain.com", "goal_type": "event", "event_name": "Signup"})
    assert signup == {
        "domain": "plain.com",
        "id": signup["id"],
        "display_name": "Signup",
        "goal_type": "event",
        "event_name": "Signup",
        "page_path": None,
    }
    fields = {"site_id": "plain.com", "goal_type": "page", "page_path": "/register"}
    page = program.done("PUT", goals, fields, "application/json")
    assert (page["display_name"], page["event_name"], page["page_path"]) == ("Visit /register", None, "/register")
    assert program.done("PUT", goals, fields) == page, "found, not made again"
    listed = program.get(f"{goals}?site_id=plain.com")
    assert listed["meta"] == {"after": None, "before": None, "limit": 100}
    assert [{"domain": "plain.com", **goal} for goal in listed["goals"]] == [signup, page]
    other = {"site_id": "plain.com", "goal_type": "event", "event_name": "Else", "display_name": "Signup"}
    assert program.send("PUT", goals, other).status == 400
    assert program.done("DELETE", f"{goals}/{page['id']}", {"site_id": "plain.com"}) == {"deleted": True}
    assert program.send("DELETE", f"{goals}/{page['id']}", {"site_id": "plain.com"}).status == 404


def test_custom_properties_are_those_that_came(
    program: Program, host: Host, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.stats_api.v1_sites, "now_ms", lambda: NOW_MS)
    props = f"{SITES}/custom-props"
    assert program.get(f"{props}?site_id=plain.com") == {"custom_properties": []}
    assert program.done("PUT", props, {"site_id": "plain.com", "property": "title"}) == {"created": True}
    first = Program(host, add_api_key(services.engine, "first", 1, [Scope.SITES_WRITE]))
    named = [each["property"] for each in first.get(f"{props}?site_id=dummy.site")["custom_properties"]]
    assert named == ["is_customer"]
    assert named == first.get(f"{SITES}/dummy.site")["custom_properties"]


def test_guests_are_invited_found_and_removed(program: Program, services: Services) -> None:
    guests = f"{SITES}/guests"
    listed = f"{guests}?site_id=plain.com"
    assert program.get(listed) == {"guests": [], "meta": {"after": None, "before": None, "limit": 100}}
    fields = {"site_id": "plain.com", "role": "viewer", "email": "Alice@example.com"}
    alice = {"email": "alice@example.com", "role": "viewer", "status": "invited", "accepted": False}
    assert program.done("PUT", guests, fields) == alice
    assert program.done("PUT", guests, {**fields, "role": "editor"}, "application/json") == alice, "found as it is"
    (mail,) = mails_to(services, "alice@example.com")
    assert "Agency invites you" in mail.text, "a key is no person: the account asks"
    user_id, _ = make_person(services, "alice@example.com")
    accept_guest_as_user(services, token_in(mail), user_id, now_ms())
    bob = program.done("PUT", guests, {"site_id": "plain.com", "role": "editor", "email": "bob@example.com"})
    first = program.get(f"{listed}&limit=1")
    assert first["guests"] == [{**alice, "status": "accepted", "accepted": True}]
    second = program.get(f"{listed}&limit=1&after={first['meta']['after']}")
    assert (second["guests"], second["meta"]["after"]) == ([bob], None)
    for email in ("alice@example.com", "BOB@example.com", "nobody@example.com"):
        path = f"{guests}/{quote(email, safe='')}"
        assert program.done("DELETE", path, {"site_id": "plain.com"}) == {"deleted": True}
    assert program.get(listed)["guests"] == []


@pytest.mark.parametrize(
    ("method", "path", "fields", "part"),
    [
        ("POST", "", {}, "The parameter domain is needed"),
        ("POST", "", {"domain": "not a domain"}, "domain: 'not a domain' is not a domain"),
        ("POST", "", {"domain": "plain.com"}, "domain: the site plain.com exists already"),
        ("POST", "", {"domain": "x.com", "timezone": "Mars/Base"}, "timezone: 'Mars/Base' is not a time zone"),
        ("PUT", "/plain.com", {}, "The parameter domain is needed"),
        ("PUT", "/plain.com", {"domain": "dummy.site"}, "domain: the site dummy.site exists already"),
        ("PUT", "/plain.com", {"timezone": "Mars/Base"}, "timezone: 'Mars/Base' is not a time zone"),
        ("PUT", "/shared-links", {"name": "x"}, "The parameter site_id is needed"),
        ("PUT", "/shared-links", {"site_id": "plain.com"}, "The parameter name is needed"),
        ("PUT", "/goals", {"site_id": "plain.com", "goal_type": "scroll"}, "goal_type is event or page"),
        ("PUT", "/goals", {"site_id": "plain.com", "goal_type": "event"}, "The parameter event_name is needed"),
        (
            "PUT",
            "/goals",
            {"site_id": "plain.com", "goal_type": "page", "page_path": "x"},
            "page_pattern: A path starts",
        ),
        ("DELETE", "/goals/1", {}, "The parameter site_id is needed"),
        ("PUT", "/custom-props", {"site_id": "plain.com"}, "The parameter property is needed"),
        ("PUT", "/custom-props", {"site_id": "plain.com", "property": "ä" * 151}, "a name may have 300 bytes"),
        ("PUT", "/guests", {"site_id": "plain.com", "role": "viewer"}, "The parameter email is needed"),
        ("PUT", "/guests", {"site_id": "plain.com", "email": "a@example.com"}, "The parameter role is needed"),
        ("PUT", "/guests", {"site_id": "plain.com", "email": "a@example.com", "role": "owner"}, "role is viewer or"),
        ("PUT", "/guests", {"site_id": "plain.com", "email": "a", "role": "viewer"}, "email: This is not a mail"),
        (
            "PUT",
            "/guests",
            {"site_id": "plain.com", "email": "agency@example.com", "role": "viewer"},
            "email: This person is a member",
        ),
        ("DELETE", "/guests/a@example.com", {}, "The parameter site_id is needed"),
    ],
)
def test_what_is_refused(program: Program, method: str, path: str, fields: dict[str, str], part: str) -> None:
    answer = program.send(method, SITES + path, fields)
    assert answer.status == 400
    assert part in error_of(answer)


def test_a_body_that_is_no_form(program: Program) -> None:
    headers = {**program.headers, "Content_Type": "multipart/form-data"}
    assert program.browser.ask("POST", SITES, b"x", **headers).status == 400
    headers = {**program.headers, "Content_Type": "application/x-www-form-urlencoded"}
    assert program.browser.ask("POST", SITES, b"domain=%ff", **headers).status == 400


def test_reading_keys_may_not(host: Host, services: Services) -> None:
    key = add_api_key(services.engine, "reads", 1, [Scope.STATS_READ])
    answer = host.browser().get(SITES, **bearer(key))
    assert (answer.status, error_of(answer)) == (403, "This API key lacks the scope sites:write.")
