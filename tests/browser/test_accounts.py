"""People and their accounts in a real browser, against a real `footfall serve` with its worker: first run, first hit,
invitation, second factor, reset, ended logins; each page accessible, also on a phone and in the dark.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from server.clickhouse_url import ClickHouseAddress
from server.config import load_settings
from server.mail import OutboxMail, list_outbox
from tests.browser.chromium import DESKTOP, PHONE, check_accessible, check_fits, screenshot, visitor
from tests.browser.site_visits import visit_until
from tests.services.footfall import FootfallServer, running_footfall

OWNER, OWNER_PASSWORD = "owner@example.com", "four unrelated words here"
ANN, ANN_PASSWORD = "ann@example.com", "another lengthy pass phrase"
SITE = "localhost.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, store: ClickHouseAddress) -> Iterator[FootfallServer]:
    """A new installation."""
    with running_footfall(
        tmp_path_factory.mktemp("footfall") / "data",
        clickhouse_url=str(store),
        batch_max_age_ms="100",
    ) as running:
        yield running


@pytest.fixture
def base(server: FootfallServer) -> str:
    """Where the installation is."""
    return f"http://localhost:{server.port}"


def wait_for(look: Callable[[], OutboxMail | None], timeout_s: float = 60.0) -> OutboxMail:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        found = look()
        if found is not None:
            return found
        time.sleep(0.1)
    raise AssertionError("the mail did not come")


def mail_to(server: FootfallServer, address: str, subject: str) -> OutboxMail:
    """The newest mail to an address whose subject holds these words, once it is there."""
    settings = load_settings(data_dir=server.data_dir)

    def look() -> OutboxMail | None:
        mails = (mail for mail in list_outbox(settings) if mail.to_address == address)
        return next((mail for mail in mails if subject.lower() in mail.subject.lower()), None)

    return wait_for(look)


def link_in(mail: OutboxMail, server: FootfallServer) -> str:
    """The link with a token; the installation's public address is its default."""
    found = re.search(r"https?://\S+token=[A-Za-z0-9_-]+", mail.text)
    assert found, mail.text
    return found[0]


def log_in(page: Page, email: str, password: str) -> None:
    page.goto("/login")
    page.get_by_label("Mail address").fill(email)
    page.get_by_label("Password").fill(password)
    # What is opened next would end a login that is still under way.
    with page.expect_navigation():
        page.get_by_role("button", name="Log in").click()


def check_page(page: Page, name: str) -> None:
    """Accessible in both schemes, at both widths, with a picture of each."""
    screenshot(page, name)
    check_accessible(page)
    page.set_viewport_size(PHONE)
    check_fits(page)
    page.emulate_media(color_scheme="dark")
    screenshot(page, f"{name}-phone-dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESKTOP)


def test_from_the_printed_link_to_the_first_hit(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as page:
        page.goto("/")
        expect(page.get_by_role("status")).to_contain_text("one-time link")
        check_page(page, "start-page")
        page.goto(server.first_run_link())
        check_page(page, "first-run")
        page.get_by_label("Mail address").fill(OWNER)
        page.get_by_label("Your name").fill("Olga Owner")
        page.get_by_label("Password").fill("password12345")
        page.get_by_role("button", name="Make the account").click()
        expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
        check_page(page, "first-run-error")
        page.get_by_label("Password").fill(OWNER_PASSWORD)
        page.get_by_role("button", name="Make the account").click()
        expect(page).to_have_url(re.compile("/accounts/1/sites/new$"))
        expect(page.get_by_label("Time zone")).to_have_value("Europe/Berlin")
        check_page(page, "add-site")
        page.get_by_label("Domain").fill(SITE)
        page.get_by_role("button", name="Add the site").click()
        waiting = page.locator("[data-first-hit]")
        expect(waiting).to_contain_text("Waiting for the first hit")
        snippet = page.locator("#snippet").inner_text()
        assert SITE in snippet
        check_page(page, "site-waiting")
        visit_until(browser, base, snippet, "")
        expect(waiting).to_contain_text("It works.")
        check_page(page, "site-first-hit")
        page.goto("/sites")
        expect(page.get_by_role("link", name=SITE)).to_be_visible()
        check_page(page, "sites")


def test_an_invited_person_joins(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as page:
        log_in(page, OWNER, OWNER_PASSWORD)
        page.get_by_role("link", name="Team").first.click()
        page.get_by_label("Mail address").fill(ANN)
        page.get_by_label("Admin: sites").check()
        page.get_by_role("button", name="Send the invitation").click()
        expect(page.get_by_role("status")).to_contain_text("on its way")
        expect(page.get_by_text(f"{ANN} as admin")).to_be_visible()
        check_page(page, "team")
    link = link_in(mail_to(server, ANN, "invited"), server)
    with visitor(browser, base) as page:
        page.goto(link)
        expect(page.get_by_role("heading", name="Join Olga Owner")).to_be_visible()
        check_page(page, "invitation")
        page.get_by_label("Your name").fill("Ann")
        page.get_by_label("Password").fill(ANN_PASSWORD)
        page.get_by_role("button", name="Join").click()
        expect(page).to_have_url(re.compile("/sites"))
        expect(page.get_by_role("link", name=SITE)).to_be_visible()
        page.get_by_role("link", name="API keys").click()
        page.get_by_label("Name").fill("exports")
        page.get_by_label("read figures").check()
        page.get_by_role("button", name="Make the key").click()
        expect(page.locator("#new-key")).to_contain_text("ff_")
        check_page(page, "keys")
        page.get_by_role("link", name="Log", exact=True).click()
        expect(page.get_by_role("cell", name="key.created").last).to_be_visible()
        check_page(page, "log")


def test_the_second_factor_with_the_keyboard_alone(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as page:
        page.goto("/login")
        check_page(page, "login")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.type(OWNER)
        page.keyboard.press("Tab")
        page.keyboard.type(OWNER_PASSWORD)
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("/sites"))
        page.goto("/admin")
        expect(page.get_by_role("heading", name="Forbidden")).to_be_visible()
        check_page(page, "staff-without-second-factor")
        page.get_by_role("link", name="Turn on two-factor").click()
        page.get_by_label("Your password").fill(OWNER_PASSWORD)
        page.keyboard.press("Enter")
        secret = page.locator("#totp-secret").inner_text()
        check_page(page, "second-factor-setup")
        totp = pyotp.TOTP(secret)
        # This code and the one after it are both taken, however near the end of its half minute it is typed.
        typed_at_s = int(time.time())
        page.get_by_label("Code").fill(totp.at(typed_at_s))
        page.keyboard.press("Enter")
        expect(page.locator("#codes li")).to_have_count(10)
        recovery_code = page.locator("#codes li").first.inner_text()
        check_page(page, "recovery-codes")
        page.goto("/admin")
        expect(page.get_by_role("heading", name="Installation")).to_be_visible()
        page.get_by_role("link", name="Jobs", exact=True).click()
        expect(page.get_by_role("cell", name="tidy").first).to_be_visible()
        check_page(page, "staff")
        page.get_by_role("link", name="Mail", exact=True).click()
        page.get_by_role("button", name="Send a test mail").click()
        expect(page.get_by_role("status")).to_contain_text("on its way")
        mail_to(server, OWNER, "test")
        page.reload()
        check_page(page, "staff-mail")
        page.locator('a[href^="/admin/mail/"]').first.click()
        check_page(page, "staff-outbox-mail")
        page.get_by_role("button", name="Log out").click()
    with visitor(browser, base) as page:
        log_in(page, OWNER, OWNER_PASSWORD)
        expect(page.get_by_label("Code")).to_be_focused()
        check_page(page, "second-factor")
        page.keyboard.type("000000")
        page.keyboard.press("Enter")
        expect(page.get_by_label("Code")).to_have_attribute("aria-invalid", "true")
        page.get_by_label("Code").fill(totp.at(max(int(time.time()), typed_at_s + totp.interval)))
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("/sites"))
    with visitor(browser, base) as page:
        log_in(page, OWNER, OWNER_PASSWORD)
        page.get_by_label("Code").fill(recovery_code)
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("/sites"))
        page.goto("/me/security")
        expect(page.get_by_text("9 recovery codes left")).to_be_visible()


def test_a_forgotten_password_and_ended_logins(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as elsewhere, visitor(browser, base) as page:
        log_in(elsewhere, ANN, ANN_PASSWORD)
        assert "Chrome on Linux" in mail_to(server, ANN, "New login").text
        log_in(page, ANN, ANN_PASSWORD)
        page.goto("/me/security")
        expect(page.get_by_role("button", name="End the login on")).to_have_count(2)  # joining was a login too
        check_page(page, "security")
        page.get_by_role("button", name="End all the others").click()
        expect(page.get_by_role("button", name="End the login on")).to_have_count(0)
        elsewhere.goto("/sites")
        expect(elsewhere).to_have_url(re.compile("/login"))
        page.goto("/me")
        check_page(page, "me")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_role("status")).to_contain_text("logged out")
        page.get_by_role("link", name="Forgot the password?").click()
        check_page(page, "reset")
        page.get_by_label("Mail address").fill(ANN)
        page.get_by_role("button", name="Send the link").click()
        expect(page.get_by_role("heading", name="Look into your mailbox")).to_be_visible()
        check_page(page, "reset-sent")
        page.goto(link_in(mail_to(server, ANN, "password"), server))
        check_page(page, "reset-finish")
        page.get_by_label("New password").fill("a completely new pass phrase")
        page.get_by_role("button", name="Change the password").click()
        expect(page.get_by_role("status")).to_contain_text("Log in with it")
        log_in(page, ANN, "a completely new pass phrase")
        expect(page).to_have_url(re.compile("/sites"))
        page.goto("/none")
        expect(page.get_by_role("heading", name="Not Found")).to_be_visible()
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        check_page(page, "not-found")
