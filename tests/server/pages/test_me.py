"""One's own pages over HTTP."""

from __future__ import annotations

import re

import pyotp
from sqlalchemy import select

from server.app_database import reading
from server.models import Alert, RecoveryCode, User
from tests.server.accounts.people import PASSWORD, mails_to, make_owner, make_person
from tests.server.pages.site_host import Browser, Host

OWNER = "owner@example.com"


def logged_in(host: Host, email: str = OWNER) -> Browser:
    browser = host.browser()
    assert browser.log_in(email, PASSWORD).status == 303
    return browser


def test_name_and_password_are_changed(host: Host) -> None:
    make_owner(host.services)
    browser, other = logged_in(host), logged_in(host)
    assert browser.post("/me", {"change": "name", "name": "Olga & Co"}).location == "/me?done=name"
    page = browser.get("/me?done=name")
    assert "Your name is changed." in page.text
    assert "Olga &amp; Co" in page.text
    change = {"change": "password", "current": "wrong", "password": "entirely different phrase"}
    assert browser.post("/me", change).error_at("current") == "This is not your password."
    assert "easy" in browser.post("/me", {**change, "current": PASSWORD, "password": "aaaaaaaaaaaa"}).error_at(
        "password"
    )
    assert browser.post("/me", {**change, "current": PASSWORD}).location == "/me?done=password"
    assert browser.get("/me").status == 200
    assert other.get("/me").status == 302
    assert browser.post("/me", {"change": "everything"}).status == 400


def test_the_second_factor_is_set_up_used_and_turned_off(host: Host) -> None:
    user_id = make_owner(host.services)
    browser, other = logged_in(host), logged_in(host)
    assert browser.get("/admin").status == 403
    assert "Turn on two-factor" in browser.get("/admin").text
    wrong = browser.post("/me/security", {"change": "start", "password": "wrong"})
    assert wrong.error_at("password") == "This is not your password."
    page = browser.post("/me/security", {"change": "start", "password": PASSWORD})
    secret = re.search(r'id="totp-secret">([A-Z2-7]+)<', page.text)
    assert secret
    assert "data:image/svg+xml" in page.text
    again = browser.post("/me/security", {"change": "enable", "code": "000000"})
    assert "not right" in again.error_at("code")
    assert secret[1] in again.text, "the app keeps the key it has"
    totp = pyotp.TOTP(secret[1])
    page = browser.post("/me/security", {"change": "enable", "code": totp.now()})
    codes = re.findall(r"<li>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</li>", page.text)
    assert len(codes) == 10
    assert browser.get("/admin").status == 200
    assert other.get("/sites").status == 302, "logins without it are ended"
    assert "turned on" in mails_to(host.services, OWNER)[0].subject
    assert codes[0] not in browser.get("/me/security").text
    page = browser.post("/me/security", {"change": "codes", "password": PASSWORD})
    assert len(re.findall(r"<li>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</li>", page.text)) == 10
    assert codes[0] not in page.text
    assert browser.post("/me/security", {"change": "disable", "password": "wrong"}).status == 400
    assert browser.post("/me/security", {"change": "disable", "password": PASSWORD}).status == 303
    assert browser.get("/admin").status == 403
    with reading(host.services.engine) as session:
        assert session.get_one(User, user_id).totp_sealed is None
        assert session.execute(select(RecoveryCode)).scalar() is None
        assert "turned two-factor authentication off" in str(session.execute(select(Alert.summary)).scalars().all())
    assert browser.post("/me/security", {"change": "codes", "password": PASSWORD}).status == 400


def test_logins_are_listed_and_ended(host: Host) -> None:
    make_owner(host.services)
    browser, second, third = logged_in(host), logged_in(host), logged_in(host)
    page = browser.get("/me/security").text
    assert page.count("Firefox on Linux") >= 3
    assert page.count('class="tag">this one<') == 1
    ids = re.findall(r'name="session_id" value="(\d+)"', page)
    assert len(ids) == 2
    assert browser.post("/me/security", {"change": "session", "session_id": ids[0]}).status == 303
    assert sorted(other.get("/me").status for other in (second, third)) == [200, 302]
    assert browser.post("/me/security", {"change": "sessions"}).status == 303
    assert [other.get("/me").status for other in (second, third)] == [302, 302]
    assert browser.get("/me").status == 200
    assert browser.post("/me/security", {"change": "session", "session_id": "x"}).status == 303
    assert browser.post("/me/security", {"change": "what"}).status == 400


def test_nobody_ends_anothers_login(host: Host) -> None:
    make_owner(host.services)
    make_person(host.services, "ann@example.com")
    browser = logged_in(host)
    ann = logged_in(host, "ann@example.com")
    for number in range(1, 10):
        ann.post("/me/security", {"change": "session", "session_id": str(number)})
    assert browser.get("/me").status == 200
