"""A site's settings in a real browser against a real `footfall serve`: the first hit turns the check green, a blocked
address drops hits within seconds, links are shared and ended, the site is handed over, deleted and taken back.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import select

from server.app_database import reading
from server.clickhouse_url import ClickHouseAddress
from server.config import load_settings
from server.models import ReportSubscription
from server.reports.unsubscribing import unsubscribe_token
from server.services import open_services
from tests.browser.chromium import PHONE, visitor
from tests.browser.site_visits import visit, visit_until
from tests.browser.test_accounts import check_page, link_in, log_in, mail_to
from tests.server.accounts.people import PASSWORD, make_owner, make_person
from tests.services.footfall import FootfallServer, running_footfall

OWNER, ANN = "owner@example.com", "ann@example.com"
SITE = "shop.example"
SETTINGS = f"/sites/{SITE}/settings"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, store: ClickHouseAddress) -> Iterator[FootfallServer]:
    """An installation with two people."""
    with running_footfall(
        tmp_path_factory.mktemp("footfall") / "data",
        clickhouse_url=str(store),
        batch_max_age_ms="100",
    ) as running:
        services = open_services(load_settings(data_dir=running.data_dir))
        make_owner(services, OWNER)
        make_person(services, ANN, "Ann")
        services.close()
        yield running


@pytest.fixture
def base(server: FootfallServer) -> str:
    """Where the installation is."""
    return f"http://localhost:{server.port}"


def snippet_of(page: Page) -> str:
    page.goto(f"/sites/{SITE}/install")
    return page.locator("#snippet").inner_text()


def test_strangers_see_what_footfall_is(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as page:
        page.goto("/")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Know your visitors")
        expect(page.get_by_role("img", name="A dashboard")).to_be_visible()
        check_page(page, "landing")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.get_by_role("link", name="Log in").first.click()
        expect(page).to_have_url(re.compile("/login"))


def test_the_first_hit_turns_the_check_green(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as page:
        log_in(page, OWNER, PASSWORD)
        page.goto("/accounts/1/sites/new")
        page.get_by_label("Domain").fill(SITE)
        page.get_by_role("button", name="Add the site").click()
        waiting = page.locator("[data-first-hit]")
        expect(waiting).to_have_text("Waiting for the first hit…")
        for title in ("WordPress", "Google Tag Manager", "Next.js", "Through your own domain"):
            page.locator("summary", has_text=title).click()
        expect(page.locator("#nginx")).to_contain_text("proxy_pass")
        check_page(page, "install-waiting")
        visit_until(browser, base, page.locator("#snippet").inner_text(), "")
        expect(waiting).to_have_text("The first hit is here. It works.")
        expect(page.get_by_role("link", name="Open the dashboard")).to_be_visible()
        check_page(page, "install-arrived")


def test_the_flag_keeps_one_browser_out(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as page:
        log_in(page, OWNER, PASSWORD)
        expect(page).to_have_url(re.compile("/sites"))
        snippet = snippet_of(page)
        flag = page.locator("#ignore").inner_text()
    with visitor(browser, base) as guest:
        document = f"<!doctype html><title>Shop</title>{snippet}"
        guest.route(f"{base}/page", lambda route: route.fulfill(body=document, content_type="text/html"))
        guest.add_init_script("Object.defineProperty(Navigator.prototype, 'webdriver', {get: () => false})")
        with guest.expect_response("**/api/event"):
            guest.goto("/page")
        guest.evaluate(flag)
        # What the page sends when it is left was still counted.
        guest.goto("about:blank")
        sent: list[str] = []
        guest.on("request", lambda request: sent.append(request.url) if "/api/event" in request.url else None)
        guest.goto("/page")
        guest.evaluate("new Promise(resolve => footfall('Buy', {callback: resolve}))")
        assert sent == []


def test_ones_own_address_is_kept_out_and_counted_again(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as page:
        log_in(page, OWNER, PASSWORD)
        expect(page).to_have_url(re.compile("/sites"))
        snippet = snippet_of(page)
        page.goto(f"{SETTINGS}/counting")
        check_page(page, "settings-counting")
        page.get_by_role("button", name="Keep out my address").click()
        expect(page.get_by_role("status")).to_contain_text("Your address is kept out")
        visit_until(browser, base, snippet, "blocked_network")
        networks = page.locator("#networks")
        expect(networks).to_have_value(re.compile("127.0.0.1|::1"))
        networks.fill("no network")
        page.locator("form", has=networks).get_by_role("button", name="Keep").click()
        expect(networks).to_have_attribute("aria-invalid", "true")
        expect(networks).to_have_value("no network")
        check_page(page, "settings-counting-error")
        networks.fill("")
        page.locator("form", has=networks).get_by_role("button", name="Keep").click()
        expect(page.get_by_role("status")).to_contain_text("Kept")
        visit_until(browser, base, snippet, "")
        page.locator("#paths").fill("/page")
        page.locator("form", has=page.locator("#paths")).get_by_role("button", name="Keep").click()
        visit_until(browser, base, snippet, "blocked_path")
        page.locator("#paths").fill("")
        page.locator("form", has=page.locator("#paths")).get_by_role("button", name="Keep").click()
        visit_until(browser, base, snippet, "")
        page.locator("summary", has_text="Choose countries").click()
        page.get_by_label("Iceland").check()
        page.locator("form", has=page.get_by_label("Iceland")).get_by_role("button", name="Keep").click()
        expect(page.get_by_text("Kept out: Iceland.")).to_be_visible()


def test_a_share_link_with_a_password(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as page:
        log_in(page, OWNER, PASSWORD)
        expect(page).to_have_url(re.compile("/sites"))
        page.goto(f"{SETTINGS}/visibility")
        page.get_by_label("Name").fill("The board")
        page.get_by_label("Password").fill("secret words")
        page.get_by_role("button", name="Make a link").click()
        expect(page.get_by_role("status")).to_contain_text("works from now on")
        page.get_by_label("Origins").fill("https://intranet.example")
        page.locator("form", has=page.get_by_label("Origins")).get_by_role("button", name="Keep").click()
        expect(page.get_by_role("status")).to_contain_text("Kept")
        check_page(page, "settings-visibility")
        link = page.locator("[id^=link-]").inner_text()
        with visitor(browser, base) as guest:
            path = "/share/" + link.rpartition("/")[2]
            answer = guest.goto(path)
            assert answer is not None
            assert "frame-ancestors https://intranet.example" in answer.headers["content-security-policy"]
            guest.get_by_label("Password").fill("secret words")
            guest.keyboard.press("Enter")
            expect(guest.get_by_text(SITE).first).to_be_visible()
            page.once("dialog", lambda dialog: dialog.accept())
            page.get_by_role("button", name="End the link The board").click()
            expect(page.get_by_role("status")).to_contain_text("ended")
            ended = guest.request.get(f"{base}{path}")
            assert ended.status == 404


def test_mails_about_a_site_are_chosen_shown_and_ended(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as page:
        log_in(page, OWNER, PASSWORD)
        expect(page).to_have_url(re.compile("/sites"))
        page.goto(SETTINGS)
        page.get_by_role("link", name="Reports", exact=True).click()
        expect(page.get_by_text("You get nothing about this site so far")).to_be_visible()
        check_page(page, "settings-reports-empty")
        weekly = page.get_by_label("The weekly report, on Mondays")
        weekly.focus()
        page.keyboard.press("Space")
        expect(weekly).to_be_checked()
        page.locator("form", has=weekly).get_by_role("button", name="Keep").press("Enter")
        expect(page.get_by_role("status")).to_contain_text("Kept")
        expect(page.get_by_role("checkbox", name="Weekly to Olga Owner")).to_be_checked()
        page.get_by_label("Hits of an hour down to, in percent").fill("most of them")
        page.get_by_role("button", name="Keep the alerts").click()
        expect(page.get_by_label("Hits of an hour down to, in percent")).to_have_value("most of them")
        check_page(page, "settings-reports-error")
        page.get_by_label("Hits of an hour down to, in percent").fill("20")
        page.get_by_role("button", name="Keep the alerts").click()
        expect(page.get_by_role("status")).to_contain_text("alerts are kept")
        page.get_by_label("Mail address").fill("client@example.com")
        page.get_by_role("button", name="Ask this address").click()
        expect(page.get_by_text("has not agreed yet")).to_be_visible()
        page.get_by_role("button", name="Send me one now").click()
        expect(page.get_by_role("status")).to_contain_text("on its way to you")
        check_page(page, "settings-reports")
    report = mail_to(server, OWNER, f"{SITE}: ".replace(".", ".\u2060"))
    assert "Visitors by day" in report.text
    with visitor(browser, base) as guest:
        guest.goto(link_in(mail_to(server, "client@example.com", "for you?"), server))
        check_page(guest, "reports-agree")
        guest.get_by_role("button", name="Agree").click()
        expect(guest.get_by_role("heading", name="Thank you")).to_be_visible()
    services = open_services(load_settings(data_dir=server.data_dir))
    with reading(services.engine) as session:
        row = session.execute(select(ReportSubscription).where(ReportSubscription.user_id.is_not(None))).scalar_one()
        path = f"/unsubscribe/{unsubscribe_token(services.secret_key, row)}"
    services.close()
    with visitor(browser, base) as guest:
        guest.goto(path)
        check_page(guest, "unsubscribe")
        guest.keyboard.press("Tab")
        guest.get_by_role("button", name="Unsubscribe").press("Enter")
        expect(guest.get_by_role("heading", name="You are unsubscribed")).to_be_visible()


def test_name_zone_and_the_rest_of_the_pages(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as page:
        log_in(page, OWNER, PASSWORD)
        expect(page).to_have_url(re.compile("/sites"))
        snippet = snippet_of(page)
        page.goto(SETTINGS)
        page.get_by_label("Domain").fill("new.example")
        page.get_by_role("button", name="Rename").click()
        expect(page).to_have_url(re.compile("/sites/new.example/settings"))
        page.get_by_label("Time zone", exact=True).select_option("Asia/Kathmandu")
        page.get_by_role("button", name="Change from the next midnight").click()
        expect(page.get_by_role("cell", name="Asia/Kathmandu")).to_be_visible()
        check_page(page, "settings-general")
        time.sleep(1.2)
        assert visit(browser, base, snippet) == "", "pages with the old name are counted for a while"
        page.get_by_label("Domain").fill(SITE)
        page.get_by_role("button", name="Rename").click()
        expect(page).to_have_url(re.compile(SETTINGS))
        page.set_viewport_size(PHONE)
        page.get_by_role("link", name="Reset, delete").click()
        check_page(page, "settings-deletion")


def test_a_guest_is_invited_and_sees_this_site_alone(server: FootfallServer, browser: Browser, base: str) -> None:
    gina = "gina@agency.example"
    with visitor(browser, base) as page:
        log_in(page, OWNER, PASSWORD)
        expect(page).to_have_url(re.compile("/sites"))
        page.goto(f"{SETTINGS}/people")
        ask = page.locator("form", has=page.get_by_role("button", name="Send the invitation"))
        ask.get_by_label("Mail address").fill(gina)
        ask.get_by_label("Editor").check()
        ask.get_by_role("button", name="Send the invitation").click()
        expect(page.get_by_role("combobox", name=f"Role of {gina}")).to_have_value("editor")
        check_page(page, "settings-people-guests")
    with visitor(browser, base) as page:
        page.goto(link_in(mail_to(server, gina, "invited to a site"), server))
        expect(page.get_by_role("heading", name=f"See {SITE}")).to_be_visible()
        page.get_by_label("Your name").fill("Gina")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Accept").click()
        expect(page.get_by_role("heading", name=SITE)).to_be_attached()
        expect(page.get_by_role("link", name="Team")).to_have_count(0)
        page.goto("/sites")
        expect(page.locator(".site-card")).to_have_count(1)
        check_page(page, "sites-guest")


def test_a_site_is_handed_over_deleted_and_taken_back(server: FootfallServer, browser: Browser, base: str) -> None:
    with visitor(browser, base) as page:
        log_in(page, OWNER, PASSWORD)
        expect(page).to_have_url(re.compile("/sites"))
        page.goto(f"{SETTINGS}/people")
        check_page(page, "settings-people")
        offer = page.locator("form", has=page.get_by_role("button", name="Offer the site"))
        offer.get_by_label("Mail address").fill(ANN)
        offer.get_by_role("button", name="Offer the site").click()
        expect(page.get_by_text(f"Offered to {ANN}")).to_be_visible()
    link = link_in(mail_to(server, ANN, "offered to you"), server)
    with visitor(browser, base) as page:
        page.goto(link)
        expect(page).to_have_url(re.compile("/login"))
        page.get_by_label("Mail address").fill(ANN)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name=f"Take over {SITE}")).to_be_visible()
        check_page(page, "transfer")
        page.get_by_role("button", name="Take the site").click()
        expect(page.get_by_role("status")).to_contain_text("yours now")
        page.get_by_role("link", name="Reset, delete").click()
        page.get_by_label("to delete it").fill(SITE)
        page.get_by_role("button", name="Delete the site").click()
        expect(page.get_by_role("heading", name=f"{SITE} is being deleted")).to_be_visible()
        check_page(page, "settings-deleting")
        page.goto("/sites")
        page.get_by_role("link", name=f"Deletion of {SITE}").click()
        page.get_by_role("button", name="Take the deletion back").click()
        expect(page.get_by_role("status")).to_contain_text("counts again")
        page.get_by_label("to reset it").fill(SITE)
        page.get_by_role("button", name="Delete all figures").click()
        expect(page.locator(".notice")).to_contain_text("are being deleted")
