"""First run, sign-up, reset, invitations and new mail addresses over HTTP."""

from __future__ import annotations

import dataclasses
import re

import pytest

from server.accounts.team import invite
from server.accounts.users import make_first_run_token
from server.app_database import reading
from server.clock import now_ms
from server.models import MemberRole, User
from tests.server.accounts.people import PASSWORD, mails_to, make_owner, make_person, role_of, token_in
from tests.server.pages.site_host import Host, hosted

OTHER_PASSWORD = "entirely different lengthy phrase"


def links(text: str) -> list[str]:
    return re.findall(r'href="([^"]+)"', text)


def test_the_first_run_link_leads_to_a_first_site(host: Host) -> None:
    assert "Nobody has an account here yet" in host.browser().get("/").text
    token = make_first_run_token(host.services.engine, now_ms())
    browser = host.browser()
    assert browser.get(f"/first-run?token={token}").status == 200
    assert browser.get(f"/first-run?token={token}").status == 200, "opening it uses nothing up"
    given = {"token": token, "email": "owner@example.com", "name": "Olga", "password": "short"}
    answer = browser.post("/first-run", given)
    assert answer.status == 400
    assert "at least 10 characters" in answer.error_at("password")
    assert 'value="owner@example.com"' in answer.text, "what was right need not be typed again"
    answer = browser.post("/first-run", {**given, "password": PASSWORD})
    assert (answer.status, answer.location) == (303, "/accounts/1/sites/new")
    assert browser.get(answer.location).status == 200
    answer = host.browser().get(f"/first-run?token={token}")
    assert (answer.status, "/login" in links(answer.text)) == (410, True)
    assert host.browser().post("/first-run", {**given, "password": PASSWORD}).status == 410
    assert "Nobody has an account" not in host.browser().get("/").text


def test_sign_up_answers_the_same_for_everybody(host: Host) -> None:
    make_person(host.services, "known@example.com")
    answers = [host.browser().post("/signup", {"email": email}) for email in ("known@example.com", "new@example.com")]
    pages = {re.sub(r"[0-9a-f]{12,}", "", answer.text) for answer in answers}
    assert ([answer.status for answer in answers], len(pages)) == ([200, 200], 1)
    assert "not a mail address" in host.browser().post("/signup", {"email": "nothing"}).error_at("email")
    token = token_in(mails_to(host.services, "new@example.com")[0])
    browser = host.browser()
    assert "new@example.com" in browser.get(f"/signup/finish?token={token}").text
    answer = browser.post("/signup/finish", {"token": token, "name": "<b>Nora</b>", "password": "password1234"})
    assert "easy to guess" in answer.error_at("password")
    assert browser.post("/signup/finish", {"token": token, "name": "Nora", "password": PASSWORD}).location == "/sites"
    assert "No site yet" in browser.get("/sites").text
    assert browser.get(f"/signup/finish?token={token}").status == 410
    assert browser.post("/signup/finish", {"token": token, "name": "Nora", "password": PASSWORD}).status == 410


def test_sign_up_can_be_closed(host: Host) -> None:
    settings = host.services.settings.model_copy(update={"invite_only": True})
    with hosted(dataclasses.replace(host.services, settings=settings)) as closed:
        browser = closed.browser()
        assert browser.get("/signup").status == 403
        assert browser.post("/signup", {"email": "new@example.com"}).status == 403
        assert "/signup" not in links(browser.get("/login").text)
    assert mails_to(host.services, "new@example.com") == []
    assert "/signup" in links(host.browser().get("/login").text)


def test_a_forgotten_password_is_replaced(host: Host) -> None:
    make_owner(host.services)
    logged_in = host.browser()
    logged_in.log_in("owner@example.com", PASSWORD)
    answers = [host.browser().post("/reset", {"email": email}) for email in ("owner@example.com", "nobody@example.com")]
    pages = {re.sub(r"[0-9a-f]{12,}", "", answer.text) for answer in answers}
    assert ([answer.status for answer in answers], len(pages)) == ([200, 200], 1)
    token = token_in(mails_to(host.services, "owner@example.com")[0])
    browser = host.browser()
    assert browser.get(f"/reset/finish?token={token}").status == 200
    assert browser.post("/reset/finish", {"token": token, "password": "short"}).status == 400
    assert browser.post("/reset/finish", {"token": token, "password": OTHER_PASSWORD}).location == "/login?done=reset"
    assert browser.post("/reset/finish", {"token": token, "password": OTHER_PASSWORD}).status == 410
    assert logged_in.get("/sites").status == 302, "whoever was in is out"
    assert browser.log_in("owner@example.com", OTHER_PASSWORD).status == 303


@pytest.mark.parametrize(
    "path", ["/first-run", "/signup/finish", "/reset/finish", "/email/confirm", "/invitations/accept"]
)
def test_a_wrong_link_says_what_to_do(host: Host, path: str) -> None:
    make_owner(host.services)
    for answer in (host.browser().get(f"{path}?token=wrong"), host.browser().post(path, {"token": "wrong"})):
        assert answer.status == 410
        assert "does not work any more" in answer.text


def invitation(host: Host, email: str, role: MemberRole = MemberRole.VIEWER) -> str:
    invite(host.services, 1, 1, MemberRole.OWNER, email, role, now_ms())
    return token_in(mails_to(host.services, email)[0])


def test_an_invited_newcomer_joins(host: Host) -> None:
    make_owner(host.services)
    token = invitation(host, "ann@example.com", MemberRole.ADMIN)
    browser = host.browser()
    page = browser.get(f"/invitations/accept?token={token}")
    assert "Olga Owner" in page.text
    assert "ann@example.com" in page.text
    answer = browser.post("/invitations/accept", {"token": token, "name": "Ann", "password": "short"})
    assert answer.error_at("password")
    answer = browser.post("/invitations/accept", {"token": token, "name": "Ann", "password": PASSWORD})
    assert answer.location == "/sites?done=joined"
    assert browser.get("/accounts/1/team").status == 200
    assert host.browser().get(f"/invitations/accept?token={token}").status == 410


def test_an_invited_user_logs_in_first(host: Host) -> None:
    make_owner(host.services)
    ann, _ = make_person(host.services, "ann@example.com")
    make_person(host.services, "bob@example.com")
    token = invitation(host, "ann@example.com")
    browser = host.browser()
    page = browser.get(f"/invitations/accept?token={token}")
    (login_link,) = [link for link in links(page.text) if link.startswith("/login?next=")]
    assert browser.post("/invitations/accept", {"token": token, "name": "", "password": PASSWORD}).status == 410
    bob = host.browser()
    bob.log_in("bob@example.com", PASSWORD)
    assert "You are logged in as bob@example.com" in bob.get(f"/invitations/accept?token={token}").text
    assert bob.post("/invitations/accept", {"token": token}).status == 410
    assert 'name="next"' in browser.get(login_link).text
    back = f"/invitations/accept?token={token}"
    answer = browser.post("/login", {"email": "ann@example.com", "password": PASSWORD, "next": back})
    assert answer.location == back
    assert browser.post("/invitations/accept", {"token": token}).location == "/accounts/1/team?done=joined"
    assert role_of(host.services, 1, ann) == "viewer"


def test_a_new_address_is_confirmed_by_its_link(host: Host) -> None:
    user_id = make_owner(host.services)
    browser = host.browser()
    browser.log_in("owner@example.com", PASSWORD)
    wrong = browser.post("/me", {"change": "email", "email": "new@example.com", "password": "wrong"})
    assert (wrong.status, wrong.error_at("email-password")) == (400, "This is not your password.")
    asked = browser.post("/me", {"change": "email", "email": "new@example.com", "password": PASSWORD})
    assert asked.location == "/me?done=email-asked"
    token = token_in(mails_to(host.services, "new@example.com")[0])
    assert "new@example.com" in browser.get(f"/email/confirm?token={token}").text
    assert browser.post("/email/confirm", {"token": token}).location == "/me?done=email"
    with reading(host.services.engine) as session:
        assert session.get_one(User, user_id).email == "new@example.com"
