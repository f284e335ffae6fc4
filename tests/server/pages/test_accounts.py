"""An account's pages, sites, staff's pages over HTTP."""

from __future__ import annotations

import json
import re

from server.accounts.deletion import approve, open_requests, request_deletion
from server.accounts.keys import add_api_key
from server.app_database import reading, writing
from server.clock import now_ms
from server.mail import send_test
from server.models import MemberRole, Scope, Site
from server.sites import find_site
from tests.server.accounts.people import PASSWORD, add_member, finish_tasks, mails_to, make_owner, make_person, role_of
from tests.server.pages.site_host import Browser, Host, bearer
from tests.server.pages.test_login import second_factor_page, turn_on_two_factor

OWNER = "owner@example.com"


def logged_in(host: Host, email: str = OWNER) -> Browser:
    browser = host.browser()
    assert browser.log_in(email, PASSWORD).status == 303
    return browser


def test_a_team_is_invited_changed_and_left(host: Host) -> None:
    make_owner(host.services)
    browser = logged_in(host)
    answer = browser.post("/accounts/1/team", {"email": "nothing", "role": "viewer"})
    assert "not a mail address" in answer.error_at("email")
    assert browser.post("/accounts/1/team", {"email": "ann@example.com", "role": "king"}).status == 400
    answer = browser.post("/accounts/1/team", {"email": "ann@example.com", "role": "viewer"})
    assert answer.location == "/accounts/1/team?done=invited"
    page = browser.get("/accounts/1/team").text
    (revoke,) = re.findall(r'action="(/accounts/1/invitations/\d+/revoke)"', page)
    assert browser.post(revoke).location.endswith("done=invitation")
    assert browser.post(revoke).status == 404
    bob = add_member(host.services, 1, "bob@example.com", MemberRole.VIEWER)
    assert browser.post(f"/accounts/1/members/{bob}", {"change": "role", "role": "admin"}).status == 303
    assert role_of(host.services, 1, bob) == "admin"
    as_bob = logged_in(host, "bob@example.com")
    assert as_bob.post("/accounts/1/members/1", {"change": "remove"}).status == 403
    assert as_bob.post(f"/accounts/1/members/{bob}", {"change": "role", "role": "owner"}).status == 403
    assert as_bob.post("/accounts/1/name", {"account_name": "Bob's"}).status == 403
    assert browser.post("/accounts/1/name", {"account_name": ""}).status == 400
    assert browser.post("/accounts/1/name", {"account_name": "Acme <Inc>"}).status == 303
    assert "Acme &lt;Inc&gt;" in as_bob.get("/sites").text
    assert browser.post("/accounts/1/leave").status == 403, "the last owner stays"
    assert browser.post("/accounts/1/owner", {"user_id": "x"}).status == 400
    assert browser.post("/accounts/1/owner", {"user_id": str(bob)}).status == 303
    assert role_of(host.services, 1, bob) == "owner"
    assert browser.post("/accounts/1/leave").location == "/sites?done=left"
    assert browser.get("/accounts/1/team").status == 404
    assert as_bob.post("/accounts/1/members/999", {"change": "remove"}).status == 404
    log = as_bob.get("/accounts/1/log").text
    for action in ("member.invited", "invitation.revoked", "member.role", "account.renamed", "owner.changed"):
        assert action in log


def test_keys_are_made_shown_once_used_and_ended(host: Host) -> None:
    make_owner(host.services)
    browser = logged_in(host)
    assert "No key yet." in browser.get("/accounts/1/keys").text
    assert browser.post("/accounts/1/keys", {"name": "", "scope": "stats:read"}).error_at("name")
    assert browser.post("/accounts/1/keys", {"name": "mine"}).error_at("scopes")
    page = browser.post("/accounts/1/keys", {"name": "mine", "scope": ["stats:read", "nonsense"]}).text
    key = re.search(r'id="new-key">(ff_[\w-]+)<', page)
    assert key
    assert key[1] not in browser.get("/accounts/1/keys").text
    browser.post("/accounts/1/sites/new", {"domain": "shop.example", "timezone": "Europe/Berlin"})
    site = find_site(host.services.engine, "shop.example")
    assert site is not None
    host.counts[site.site_id] = 3
    machine = host.browser()
    answer = machine.ask("GET", "/api/count?site=shop.example", None, **bearer(key[1]))
    assert (answer.status, json.loads(answer.text)["events"]) == (200, 3)
    (revoke,) = re.findall(r'action="(/accounts/1/keys/\d+/revoke)"', browser.get("/accounts/1/keys").text)
    assert browser.post(revoke).status == 303
    assert browser.post(revoke).status == 404
    answer = machine.ask("GET", "/api/count?site=shop.example", None, **bearer(key[1]))
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="footfall"')


def test_an_admins_key_does_not_change_sites_as_only_owners_may_delete_them(host: Host) -> None:
    make_owner(host.services)
    add_member(host.services, 1, "bob@example.com", MemberRole.ADMIN)
    wanted = {"name": "mine", "scope": ["stats:read", "sites:write"]}
    as_bob = logged_in(host, "bob@example.com")
    assert 'value="sites:write"' not in as_bob.get("/accounts/1/keys").text
    assert "Only owners" in as_bob.post("/accounts/1/keys", wanted).error_at("scopes")
    assert 'id="new-key"' in as_bob.post("/accounts/1/keys", {**wanted, "scope": ["stats:read"]}).text
    assert 'id="new-key"' in logged_in(host).post("/accounts/1/keys", wanted).text


def test_a_key_reaches_its_account_and_scope_only(host: Host) -> None:
    make_owner(host.services)
    _, other = make_person(host.services, "ann@example.com")
    logged_in(host).post("/accounts/1/sites/new", {"domain": "shop.example", "timezone": "UTC"})
    engine = host.services.engine
    foreign = add_api_key(engine, "foreign", other)
    narrow = add_api_key(engine, "narrow", 1, [Scope.EVENTS_WRITE])
    machine = host.browser()
    assert machine.ask("GET", "/api/count?site=shop.example", None, **bearer(foreign)).status == 404
    answer = machine.ask("GET", "/api/count?site=shop.example", None, **bearer(narrow))
    assert (answer.status, "stats:read" in answer.text) == (403, True)
    right = add_api_key(engine, "right", 1, [Scope.STATS_READ])
    for origin in ({}, {"Origin": "https://elsewhere.example"}):
        assert machine.ask("GET", "/api/count?site=shop.example", None, **bearer(right), **origin).status == 200
    assert machine.ask("GET", "/api/count", None, **bearer(right)).status == 400
    host.fails = True
    assert machine.ask("GET", "/api/count?site=shop.example", None, **bearer(right)).status == 503


def test_a_site_is_added_and_waits_for_its_first_hit(host: Host) -> None:
    make_owner(host.services)
    browser = logged_in(host)
    form = "/accounts/1/sites/new"
    assert "is not a domain" in browser.post(form, {"domain": "no domain", "timezone": "UTC"}).error_at("domain")
    wrong = browser.post(form, {"domain": "shop.example", "timezone": "Mars/Base"})
    assert "is not a time zone" in wrong.error_at("timezone")
    assert browser.post(form, {"domain": "www.Shop.example", "timezone": "Asia/Kathmandu"}).location == (
        "/sites/shop.example/install"
    )
    assert "exists already" in browser.post(form, {"domain": "shop.example"}).error_at("domain")
    page = browser.get("/sites/shop.example/install")
    assert "data-domain=&quot;shop.example&quot;" in page.text
    assert 'data-first-hit="/api/sites/shop.example/first-hit"' in page.text
    assert json.loads(browser.get("/api/sites/shop.example/first-hit").text)["first_hit_at_ms"] is None
    site = find_site(host.services.engine, "shop.example")
    assert site is not None
    host.fails = True
    assert browser.get("/api/sites/shop.example/first-hit").status == 503
    host.fails, host.counts[site.site_id] = False, 1
    first_ms = json.loads(browser.get("/api/sites/shop.example/first-hit").text)["first_hit_at_ms"]
    assert site.created_at_ms <= first_ms <= now_ms()
    host.fails = True
    again = browser.get("/api/sites/shop.example/first-hit")
    assert (again.status, json.loads(again.text)["first_hit_at_ms"]) == (200, first_ms), "it is asked for once"
    assert "shop.example" in browser.get("/sites").text
    with reading(host.services.engine) as session:
        assert session.get_one(Site, site.site_id).timezone == "Asia/Kathmandu"


def test_a_site_whose_domain_has_a_path_has_a_page(host: Host) -> None:
    make_owner(host.services)
    browser = logged_in(host)
    answer = browser.post("/accounts/1/sites/new", {"domain": "blog.example/de", "timezone": "UTC"})
    assert answer.location == "/sites/blog.example/de/install"
    page = browser.get(answer.location)
    assert page.status == 200
    (first_hit,) = re.findall(r'data-first-hit="([^"]+)"', page.text)
    assert browser.get(first_hit).status == 200


def test_staff_see_the_installation_and_send_a_test_mail(host: Host) -> None:
    totp, _ = turn_on_two_factor(host.services, make_owner(host.services))
    browser = second_factor_page(host)
    browser.post("/login/second-factor", {"code": totp.now()})
    page = browser.get("/admin")
    assert "1 people" not in page.text or page.status == 200
    assert browser.post("/admin/mail", {"email": "nothing"}).error_at("email")
    assert browser.post("/admin/mail", {"email": "ops@example.com"}).location == "/admin/mail?done=test-mail"
    (mail,) = mails_to(host.services, "ops@example.com")
    listed = browser.get("/admin/mail").text
    assert f"/admin/mail/{mail.name}" in listed
    assert "sent" in listed
    assert mail.subject in browser.get(f"/admin/mail/{mail.name}").text
    assert browser.get("/admin/mail/..%2Ffootfall.sqlite").status == 404
    assert browser.get("/admin/mail/none.eml").status == 404


def test_a_mail_with_markup_is_shown_as_text(host: Host) -> None:
    totp, _ = turn_on_two_factor(host.services, make_owner(host.services))
    browser = second_factor_page(host)
    browser.post("/login/second-factor", {"code": totp.now()})
    browser.post("/me", {"change": "name", "name": "<script>alert(1)</script>"})
    browser.post("/accounts/1/team", {"email": "ann@example.com", "role": "viewer"})
    (mail,) = mails_to(host.services, "ann@example.com")
    assert "<script>alert" not in browser.get(f"/admin/mail/{mail.name}").text
    send_test(host.services, "ops@example.com")
    finish_tasks(host.services)
    assert "<script>alert" not in browser.get("/admin/mail").text


def test_an_owner_asks_for_the_end_of_the_account_and_takes_it_back(host: Host) -> None:
    make_owner(host.services)
    add_member(host.services, 1, "bob@example.com", MemberRole.ADMIN)
    browser, path = logged_in(host), "/accounts/1/deletion"
    assert path in browser.get("/accounts/1/team").text
    assert logged_in(host, "bob@example.com").get(path).status == 403
    form = {"change": "ask", "typed_name": "Olga", "password": PASSWORD, "reason": "<b>why</b>"}
    answer = browser.post(path, form)
    assert "Type Olga Owner" in answer.error_at("typed_name")
    assert "&lt;b&gt;why" in answer.text
    form["typed_name"] = "Olga Owner"
    assert "not your password" in browser.post(path, {**form, "password": "x"}).error_at("password")
    assert browser.post(path, {"change": "nothing"}).status == 400
    assert browser.post(path, form).location == f"{path}?done=account-deletion"
    assert browser.post(path, form).status == 400, "asked for already"
    assert "Take the deletion back" in browser.get(path).text
    with writing(host.services.engine) as session:
        (request,) = open_requests(session)
        approve(session, host.services, request.request_id, None, now_ms())
    assert browser.get("/accounts/1/team").status == 404
    assert path in browser.get("/sites").text
    assert "being deleted" in browser.get(path).text
    assert browser.post(path, {"change": "take_back"}).location == "/accounts/1/team?done=account-kept"
    assert browser.get("/accounts/1/team").status == 200
    assert browser.post(path, {"change": "take_back"}).status == 404
    with writing(host.services.engine) as session:
        request = request_deletion(session, host.services, 1, 1, "", now_ms())
        request.destruction_began_at_ms = now_ms()
    assert "cannot be taken back" in browser.get(path).text
    assert browser.post(path, {"change": "take_back"}).status == 403


def test_a_second_factor_is_asked_for_before_the_account_ends(host: Host) -> None:
    make_owner(host.services)
    browser = logged_in(host)
    secret = turn_on_two_factor(host.services, 1)
    form = {"change": "ask", "typed_name": "Olga Owner", "password": PASSWORD, "code": "000000"}
    assert "not right" in browser.post("/accounts/1/deletion", form).error_at("code")
    assert secret
