"""Logging in and out over HTTP: cookies, forms, limits, second factor, mails about new logins."""

from __future__ import annotations

import json
import re
import time

import pyotp
import pytest
from sqlalchemy import select, update

from server.accounts.sessions import STAFF_FRESH_MS
from server.accounts.two_factor import begin_enrolment, enable
from server.app_database import reading, writing
from server.clock import now_ms
from server.models import Alert, AuditEntry, LoginSession, User
from server.services import Services
from tests.server.accounts.people import PASSWORD, mails_to, make_owner
from tests.server.pages.site_host import Browser, Host

OWNER = "owner@example.com"


def turn_on_two_factor(services: Services, user_id: int) -> tuple[pyotp.TOTP, list[str]]:
    """As the security page does, with a code of ten minutes ago."""
    at_ms = now_ms() - 600_000
    with writing(services.engine) as session:
        user = session.get_one(User, user_id)
        secret = begin_enrolment(session, services.secret_key, user).secret
        codes = enable(session, services.secret_key, user, pyotp.TOTP(secret).at(at_ms // 1000), at_ms)
    return pyotp.TOTP(secret), codes


def test_a_login_opens_the_pages_and_a_logout_closes_them(host: Host) -> None:
    make_owner(host.services)
    browser = host.browser()
    answer = browser.get("/sites")
    assert (answer.status, answer.location) == (302, "/login?next=%2Fsites")
    answer = browser.log_in(OWNER, PASSWORD)
    assert (answer.status, answer.location) == (303, "/sites")
    page = browser.get("/sites")
    assert page.status == 200
    assert "Olga Owner" in page.text
    assert page.headers["cache-control"] == "no-store"
    assert browser.get("/login").location == "/sites", "who is logged in needs no form"
    kept = dict(browser.cookies)
    assert browser.post("/logout").location == "/login?done=logged-out"
    assert "You are logged out." in browser.get("/login?done=logged-out").text
    assert browser.get("/sites").status == 302
    browser.cookies = kept
    assert browser.get("/sites").status == 302, "the cookie is worth nothing any more"


def test_cookies_are_out_of_reach(host: Host) -> None:
    make_owner(host.services)
    browser = host.browser()
    browser.log_in(OWNER, PASSWORD)
    session = next(line for line in browser.set_cookies if line.startswith("footfall_session="))
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(session.split("; "))
    assert "Secure" not in session
    browser = host.browser()
    browser.is_https = True
    answer = browser.log_in(OWNER, PASSWORD)
    session = next(line for line in browser.set_cookies if "footfall_session=" in line)
    assert session.startswith("__Host-footfall_session=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Secure"} <= set(session.split("; "))
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert all("Secure" in line for line in browser.set_cookies)


@pytest.mark.parametrize(
    "path", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nb", "javascript:1"]
)
def test_a_login_leads_nowhere_else(host: Host, path: str) -> None:
    make_owner(host.services)
    answer = host.browser().post("/login", {"email": OWNER, "password": PASSWORD, "next": path})
    assert (answer.status, answer.location) == (303, "/sites")


def test_a_wrong_password_and_an_unknown_address_read_the_same(host: Host) -> None:
    make_owner(host.services)
    texts = set()
    for email in (OWNER, "nobody@example.com"):
        answer = host.browser().log_in(email, "not the password")
        assert answer.status == 400
        texts.add(re.sub(r'value="[^"]*"|[0-9a-f]{12}', "", answer.text))
    assert len(texts) == 1


def test_what_a_stranger_types_comes_back_escaped(host: Host) -> None:
    answer = host.browser().log_in('"><script>alert(1)</script>', "x")
    assert answer.status == 400
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text


def test_forms_without_their_token_or_from_elsewhere_are_refused(host: Host) -> None:
    make_owner(host.services)
    browser = host.browser()
    browser.log_in(OWNER, PASSWORD)
    body = b"_xsrf=2%7c00%7c00%7c1"
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    for answer in (
        browser.ask("POST", "/logout", b"", **form),
        browser.ask("POST", "/logout", body, **form),
        browser.post("/logout", Sec_Fetch_Site="cross-site", Origin="https://evil.example"),
        browser.post("/logout", Origin="https://evil.example"),
    ):
        assert answer.status == 403
    assert browser.get("/sites").status == 200
    assert browser.post("/logout", Sec_Fetch_Site="same-origin").status == 303


def test_too_many_tries_are_told_when_to_come_back(host: Host) -> None:
    make_owner(host.services)
    browser = host.browser()
    statuses = [browser.log_in(OWNER, "wrong password").status for _ in range(11)]
    assert statuses == [400] * 10 + [429]
    answer = browser.log_in(OWNER, PASSWORD)
    assert answer.status == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert "<h1>" in answer.text
    answer = browser.post("/login", {"email": OWNER, "password": PASSWORD}, Accept="application/json")
    assert json.loads(answer.text)["error"]["status"] == 429
    assert host.browser().log_in(OWNER, PASSWORD).status == 303, "another address is not held up"


def test_an_ipv6_network_is_one_visitor(host: Host) -> None:
    make_owner(host.services)
    statuses = []
    for number in range(11):
        browser = host.browser()
        browser.address = f"2001:db8:0:1::{number + 1:x}"
        statuses.append(browser.log_in(f"person{number}@example.com", "wrong password").status)
    assert statuses == [400] * 10 + [429]
    browser.address = "2001:db8:0:2::1"
    assert browser.log_in(OWNER, PASSWORD).status == 303


def test_one_address_tried_from_everywhere_is_held_up_and_alerts(host: Host) -> None:
    make_owner(host.services)
    statuses = [host.browser().log_in(OWNER, "wrong password").status for _ in range(21)]
    assert statuses == [400] * 20 + [429]
    with reading(host.services.engine) as session:
        assert session.execute(select(Alert.kind)).scalar_one() == "security"


def second_factor_page(host: Host) -> Browser:
    browser = host.browser()
    answer = browser.log_in(OWNER, PASSWORD)
    assert (answer.status, "Second factor" in answer.text) == (200, True)
    assert browser.get("/sites").status == 302, "the password alone opens nothing"
    return browser


def test_the_second_factor_completes_a_login(host: Host) -> None:
    totp, codes = turn_on_two_factor(host.services, make_owner(host.services))
    browser = second_factor_page(host)
    assert "not right" in browser.post("/login/second-factor", {"code": "000000"}).error_at("code")
    assert browser.post("/login/second-factor", {"code": totp.now()}).location == "/sites"
    assert browser.get("/admin").status == 200, "with it, staff's pages open"
    assert second_factor_page(host).post("/login/second-factor", {"code": codes[3]}).status == 303
    stranger = host.browser()
    assert stranger.post("/login/second-factor", {"code": totp.now()}).status == 400


def test_wrong_codes_end_the_login(host: Host) -> None:
    totp, _ = turn_on_two_factor(host.services, make_owner(host.services))
    browser = second_factor_page(host)
    for _ in range(5):
        answer = browser.post("/login/second-factor", {"code": "000000"})
    assert "log in again" in answer.text
    assert browser.post("/login/second-factor", {"code": totp.now()}).status == 400
    assert browser.get("/sites").status == 302


def test_staff_show_the_second_factor_again_after_a_while(host: Host) -> None:
    totp, _ = turn_on_two_factor(host.services, make_owner(host.services))
    browser = second_factor_page(host)
    browser.post("/login/second-factor", {"code": totp.now()})
    with writing(host.services.engine) as session:
        session.execute(update(LoginSession).values(second_factor_at_ms=now_ms() - STAFF_FRESH_MS - 1))
        session.execute(update(User).values(totp_last_step=0))
    assert browser.get("/admin").location == "/me/confirm?next=%2Fadmin"
    assert browser.post("/admin/mail", {"email": OWNER}).status == 403
    assert "not right" in browser.post("/me/confirm", {"code": "000000"}).error_at("code")
    assert browser.post("/me/confirm", {"code": totp.now(), "next": "/admin"}).location == "/admin"
    assert browser.get("/admin").status == 200


def test_each_new_login_is_told_by_mail_unless_the_device_is_known_and_one_chose_so(host: Host) -> None:
    make_owner(host.services)
    browser = host.browser()
    browser.log_in(OWNER, PASSWORD)
    (mail,) = mails_to(host.services, OWNER)
    assert "Firefox on Linux" in mail.text
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", mail.text)
    browser.post("/logout")
    browser.log_in(OWNER, PASSWORD)
    assert len(mails_to(host.services, OWNER)) == 2, "known, but nobody chose to skip it"
    assert browser.post("/me/security", {"change": "notices", "skip_known_devices": "on"}).status == 303
    browser.post("/logout")
    browser.log_in(OWNER, PASSWORD)
    assert len(mails_to(host.services, OWNER)) == 2
    host.browser().log_in(OWNER, PASSWORD)
    assert len(mails_to(host.services, OWNER)) == 3, "another browser is news"


def test_a_new_login_in_a_browser_ends_the_one_before(host: Host) -> None:
    make_owner(host.services)
    browser = host.browser()
    browser.log_in(OWNER, PASSWORD)
    before = dict(browser.cookies)
    browser.log_in(OWNER, PASSWORD)
    after = dict(browser.cookies)
    assert before["footfall_session"] != after["footfall_session"]
    browser.cookies = before
    assert browser.get("/sites").status == 302
    with reading(host.services.engine) as session:
        assert session.execute(select(AuditEntry.action).where(AuditEntry.action == "logout")).scalar() == "logout"


def test_every_answer_names_its_request_and_carries_security_headers(host: Host) -> None:
    browser = host.browser()
    seen = set()
    for path in ("/login", "/none", "/api/none", "/api/count?site=x", "/sites"):
        answer = browser.get(path)
        seen.add(answer.headers["x-request-id"])
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
    assert len(seen) == 5


def test_a_handler_that_fails_says_so_to_the_operator_and_not_to_the_visitor(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail of ann@example.com")

    monkeypatch.setattr("server.pages.login.check_login", fail)
    browser = host.browser()
    answer = browser.post("/login?token=hunter2", {"email": OWNER, "password": PASSWORD})
    assert answer.status == 500
    assert "secret detail" not in answer.text
    assert answer.headers["x-request-id"] in answer.text
    deadline_s = time.monotonic() + 10
    while True:
        with reading(host.services.engine) as session:
            alert = session.execute(select(Alert)).scalar()
        if alert is not None or time.monotonic() > deadline_s:
            break
    assert alert is not None
    assert (alert.kind, alert.summary) == ("exception", "LoginHandler.post failed with RuntimeError")
    assert answer.headers["x-request-id"] in alert.detail
    assert "hunter2" not in caplog.text
