"""The dashboard's other screens, its keys, share links, empty and failing states, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from server.accounts.share_links import add_share_link
from server.app_database import open_app_database, writing
from server.config import load_settings
from server.models import ShareLink, Site
from tests.browser.chromium import PHONE, check_accessible, check_fits, screenshot, visitor
from tests.browser.dashboard_hits import BOT, CHROME, DOMAIN, EMPTY, LIVE, send_now, wait_for
from tests.browser.dashboard_page import DASHBOARD, check_looks, expect_figures, expect_rows, rows, show_all
from tests.services.footfall import FootfallServer

LINK_PASSWORD = "a password for the link"
FRAMES = "https://intranet.example"


def test_performance_rates_what_people_waited_for(owner: Page) -> None:
    owner.goto(DASHBOARD)
    owner.get_by_role("link", name="Performance").click()
    cards = owner.get_by_role("region", name="Web vitals").locator(".vital")
    expect(cards).to_have_count(5)
    for at, (name, value) in enumerate((("LCP", "2 s"), ("INP", "120 ms"), ("CLS", "0.05"))):
        expect(cards.nth(at)).to_contain_text(name)
        expect(cards.nth(at).locator(".rating")).to_contain_text("good")
        expect(cards.nth(at).locator(".samples")).to_have_text("20 samples")
        # Percentiles are of buckets one percent wide.
        assert abs(_amount(cards.nth(at).locator(".value").inner_text()) / _amount(value) - 1) < 0.02
    show_all(owner)
    table = owner.get_by_role("region", name="By page, device, browser or country")
    expect(table.locator("tbody tr")).to_have_count(1)
    expect(table.locator("tbody tr")).to_contain_text("20")
    check_looks(owner, "performance")
    table.get_by_role("link", name="Country").click()
    expect(table.locator("tbody tr")).to_have_count(2)
    owner.get_by_role("link", name="p95").click()
    expect(owner.locator(".speeds")).to_contain_text("95% of page loads")
    cards.nth(2).click()
    expect(owner.get_by_role("region", name="CLS over time")).to_be_visible()
    owner.get_by_role("link", name="Browser timings").click()
    expect(owner.get_by_role("table", name="Timings of a page load, p95").locator("tr")).to_have_count(8)
    show_all(owner)
    check_looks(owner, "timings")


def _amount(text: str) -> float:
    number, _, unit = text.split("\n")[0].replace("\u00a0", " ").partition(" ")
    return float(number) * (1000 if unit == "s" else 1)


def test_goals_funnels_and_properties(owner: Page) -> None:
    owner.goto(DASHBOARD)
    goals = owner.get_by_role("region", name="Goals", exact=True)
    goals.scroll_into_view_if_needed()
    goals.get_by_role("button", name="Add the first goal").click()
    dialog = owner.get_by_role("dialog")
    dialog.get_by_label("Name of the event").fill("Signup")
    check_accessible(owner)
    screenshot(owner, "dashboard-goal-dialog")
    dialog.get_by_role("button", name="Add the goal").click()
    expect_rows(owner, "Goals", "Signup3315%")
    for kind, label, value, more in (
        ("A page that was seen", "Path of the page", "/pric*", ""),
        ("A custom event", "Name of the event", "Purchase", "EUR"),
    ):
        goals.get_by_role("button", name="Manage goals").click()
        dialog.get_by_role("button", name="Add a goal").click()
        dialog.get_by_label(kind).check()
        dialog.get_by_label(label).fill(value)
        if more:
            dialog.get_by_label("Currency").fill(more)
        dialog.get_by_role("button", name="Add the goal").click()
        dialog.get_by_role("button", name="Close").click()
    expect_rows(owner, "Goals", "Visit /pric*101050%–", "Purchase3315%€60.00", "Signup3315%–")
    show_all(owner)
    screenshot(owner, "dashboard-goals")
    rows(owner, "Goals").get_by_role("link", name="Purchase", exact=True).click()
    expect_figures(owner, **{"Conversions \\(people\\)": "3", "Conversion rate": "15%", "Revenue": "€60.00"})

    owner.get_by_role("link", name="Funnels").click()
    owner.get_by_role("button", name="Make the first funnel").click()
    dialog.get_by_label("Name").fill("Buying")
    dialog.get_by_label("Step 1").select_option("Visit /pric*")
    dialog.get_by_label("Step 2").select_option("Purchase")
    dialog.get_by_role("button", name="Make the funnel").click()
    owner.goto(f"{DASHBOARD}&view=funnels")
    steps = owner.locator(".steps > li")
    expect(steps).to_have_count(2)
    expect(steps.nth(0)).to_contain_text("10 visitors")
    expect(steps.nth(1)).to_contain_text("3 visitors")
    expect(steps.nth(1)).to_contain_text("7 lost since the step before (70%)")
    check_looks(owner, "funnels")

    owner.goto(f"{DASHBOARD}&view=funnels&f=is,page,/pricing&f=is,country,US")
    expect(owner.locator(".notice-line")).to_contain_text("does not apply here: Page is /pricing.")
    expect(steps.nth(1)).to_contain_text("3 visitors")
    owner.get_by_role("link", name="Take it away").click()
    owner.get_by_role("link", name="Take away: Country is United States").click()

    owner.get_by_role("link", name="Properties").click()
    expect_rows(owner, "Values of plan", "pro33100%")
    check_looks(owner, "properties")
    owner.get_by_role("link", name="pro", exact=True).click()
    expect(owner).to_have_url(re.compile("f=is,prop:plan,pro"))


def test_notes_stand_in_the_chart(owner: Page) -> None:
    owner.goto(DASHBOARD)
    owner.get_by_role("button", name="Add a note").click()
    owner.get_by_role("dialog").get_by_label("What happened").fill("A new price list")
    owner.get_by_role("button", name="Add the note").click()
    expect(owner.locator(".plot .note")).to_have_count(1)
    owner.get_by_role("button", name="As a table").click()
    table = owner.get_by_role("region", name="Visitors over time, as a table")
    expect(table.locator("tbody tr")).to_have_count(7)
    expect(table).to_contain_text("A new price list")
    check_accessible(owner)


def test_who_is_here_now_and_what_was_dropped(owner: Page, shop: FootfallServer) -> None:
    send_now(shop, "/here", "8.8.4.4", CHROME)
    send_now(shop, "/here", "8.8.4.5", BOT)
    owner.goto(f"/sites/{LIVE}?view=realtime")
    expect(owner.locator(".big")).to_have_text("1")
    expect_rows(owner, "Pages", "/here1")
    check_looks(owner, "realtime")
    owner.get_by_role("link", name="Dropped hits").click()
    reasons = owner.locator(".reasons tbody tr")
    wait_for(lambda: _has_reason(owner), "no drop is shown")
    expect(reasons.first).to_contain_text("Bots and scripts")
    check_looks(owner, "drops")


def _has_reason(page: Page) -> bool:
    page.goto(f"/sites/{LIVE}?view=drops")
    page.locator(".lead-figures, .empty").first.wait_for()
    return page.locator(".reasons tbody tr").count() == 1


def test_a_keyboard_is_enough(owner: Page) -> None:
    owner.goto(f"/sites/{DOMAIN}")
    expect(owner.locator(".headline").first).to_be_visible()
    keys = owner.keyboard
    for key, found in (("w", "period=7d"), ("y", "period=year_to_date"), ("e", "period=yesterday")):
        keys.press(key)
        expect(owner).to_have_url(re.compile(found))
    keys.press("ArrowLeft")
    expect(owner).to_have_url(re.compile("period=day"))
    keys.press("x")
    expect(owner).to_have_url(re.compile("compare=off"))
    keys.press("w")
    # A filter by keys alone: the dialog takes the focus, Enter chooses, and the focus comes back.
    keys.press("/")
    dialog = owner.get_by_role("dialog", name="Filter")
    expect(dialog.get_by_label("What")).to_be_focused()
    keys.press("Tab")
    keys.press("Tab")
    expect(dialog.get_by_role("combobox", name="Page")).to_be_focused()
    keys.type("pricing")
    expect(dialog.locator(".suggestions li")).to_have_count(1)
    keys.press("ArrowDown")
    keys.press("Enter")
    keys.press("Tab")
    expect(dialog.get_by_role("button", name="Apply")).to_be_focused()
    keys.press("Enter")
    expect(owner).to_have_url(re.compile("f=is,page,/pricing"))
    expect(dialog).to_have_count(0)
    keys.press("Escape")
    expect(owner).not_to_have_url(re.compile("f="))
    # Menus: opened, walked through and left by keys.
    more = owner.get_by_role("button", name="More", exact=True)
    more.focus()
    keys.press("Enter")
    keys.press("ArrowDown")
    expect(owner.get_by_role("link", name="Figures over time, CSV")).to_be_focused()
    keys.press("Escape")
    expect(more).to_be_focused()
    keys.press("?")
    help_dialog = owner.get_by_role("dialog", name="Keyboard shortcuts")
    check_accessible(owner)
    screenshot(owner, "dashboard-shortcuts")
    help_dialog.get_by_label("Single keys act").uncheck()
    keys.press("Escape")
    expect(help_dialog).to_have_count(0)
    before = owner.url
    keys.press("d")
    assert owner.url == before


def test_a_part_that_fails_says_so_and_tries_again(owner: Page) -> None:
    broken = {"is": True}

    def answer(route: Route) -> None:
        if broken["is"] and '"visit:source"' in (route.request.post_data or ""):
            route.fulfill(status=422, json={"error": "The query took longer than it may: choose fewer days."})
        else:
            route.continue_()

    owner.route("**/api/v2/query", answer)
    owner.goto(DASHBOARD)
    sources = owner.get_by_role("region", name="Sources", exact=True)
    expect(sources.get_by_role("alert")).to_contain_text("choose fewer days")
    expect_rows(owner, "Pages", "/20", "/pricing10")
    check_accessible(owner)
    screenshot(owner, "dashboard-failure")
    broken["is"] = False
    sources.get_by_role("button", name="Try again").click()
    expect_rows(owner, "Sources", "Google8", "Direct / None6", "Hacker News6")


def test_the_old_picture_stays_while_the_new_one_loads(owner: Page) -> None:
    held: list[Route] = []
    holds = {"is": False}

    def answer(route: Route) -> None:
        if holds["is"]:
            held.append(route)
        else:
            route.continue_()

    owner.route("**/api/v2/query", answer)
    owner.goto(DASHBOARD)
    expect_figures(owner, Visitors="20")
    expect(rows(owner, "Sources")).to_have_count(3)
    holds["is"] = True
    rows(owner, "Sources").get_by_role("link", name="Google", exact=True).click()
    expect(owner.locator(".figures ul.stale")).to_be_visible()
    expect_figures(owner, Visitors="20")
    expect(rows(owner, "Sources")).to_have_count(3)
    holds["is"] = False
    for route in held:
        route.continue_()
    expect_figures(owner, Visitors="8")
    expect(owner.locator(".figures ul.stale")).to_have_count(0)


def test_a_site_without_hits_says_what_to_do(owner: Page) -> None:
    owner.goto(f"/sites/{EMPTY}")
    expect(owner.get_by_role("region", name="No data yet")).to_contain_text(EMPTY)
    expect_figures(owner, Visitors="0", **{"Bounce rate": "–", "Views per visit": "–"})
    sources = owner.get_by_role("region", name="Sources", exact=True)
    expect(sources).to_contain_text("No sources in this period.")
    expect(sources.get_by_text("All sources")).to_be_hidden()
    show_all(owner)
    check_looks(owner, "empty")
    for screen in ("performance", "realtime", "funnels", "properties", "drops"):
        owner.goto(f"/sites/{EMPTY}?view={screen}")
        expect(owner.locator(".screen .waits")).to_have_count(0)
        expect(owner.locator(".failure")).to_have_count(0)
        check_accessible(owner)
        # What only a screen reader reads makes no page longer than its body, or the window.
        body = "Math.max(innerHeight, Math.ceil(document.body.getBoundingClientRect().height))"
        assert owner.evaluate(f"document.documentElement.scrollHeight <= {body}"), screen
    owner.get_by_role("link", name="Install the snippet and check it").click()
    expect(owner).to_have_url(re.compile(f"/sites/{EMPTY}/install"))


def test_all_sites_at_a_glance(owner: Page) -> None:
    owner.goto("/sites")
    card = owner.locator(f'[data-site="{DOMAIN}"]')
    expect(card.locator("svg")).to_have_count(1)
    expect(card).to_contain_text("in 24 hours")
    check_looks(owner, "sites")
    card.get_by_role("link", name=DOMAIN).click()
    expect(owner.locator(".headline")).to_have_count(6)


@pytest.fixture(scope="module")
def links(shop: FootfallServer, shop_login: Path) -> dict[str, str]:
    """Share links: an open one, and one with a password. Pages of another site may hold them in a frame."""
    engine = open_app_database(load_settings(data_dir=shop.data_dir))
    try:
        with writing(engine) as session:
            site = session.query(Site).filter(Site.domain == DOMAIN).one()
            site.embed_origins = [FRAMES]
            made: list[ShareLink] = [
                add_share_link(session, site, "open", "", 1),
                add_share_link(session, site, "locked", LINK_PASSWORD, 1),
            ]
            session.flush()
            return {link.name: f"/share/{link.slug}" for link in made}
    finally:
        engine.dispose()


def test_a_share_link_shows_figures_and_nothing_else(
    browser: Browser, shop_address: str, links: dict[str, str]
) -> None:
    with urlopen(f"{shop_address}{links['open']}?embed=true", timeout=20) as answer:
        assert f"frame-ancestors {FRAMES}" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Frame-Options"] is None
        assert answer.headers["Set-Cookie"] is None
    with visitor(browser, shop_address) as page:
        page.goto(f"{links['open']}?period=7d")
        expect_figures(page, Visitors="20")
        rows(page, "Sources").get_by_role("link", name="Google", exact=True).click()
        expect_figures(page, Visitors="8")
        expect(page.get_by_role("button", name="Add a note")).to_have_count(0)
        expect(page.get_by_role("button", name="Manage goals")).to_have_count(0)
        show_all(page)
        check_looks(page, "shared")
        with page.expect_download() as downloading:
            page.get_by_role("link", name="All pages").click()
            page.get_by_role("link", name="CSV").click()
        assert "/pricing" in downloading.value.path().read_text(encoding="utf-8")
        assert page.context.cookies() == []
        page.goto(f"{links['open']}?embed=true&theme=dark&period=7d")
        expect(page.get_by_role("banner")).to_have_count(0)
        expect_figures(page, Visitors="20")
        assert page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
        screenshot(page, "dashboard-embedded-dark")


def test_light_or_dark_is_chosen_by_key_and_kept_without_a_cookie(
    browser: Browser, shop_address: str, links: dict[str, str]
) -> None:
    with visitor(browser, shop_address, color_scheme="light") as page:
        # What the page's root has when its first frame is drawn.
        page.add_init_script("""requestAnimationFrame(function look() {
            if (document.body) window.drawn = getComputedStyle(document.documentElement).colorScheme;
            else requestAnimationFrame(look);
        });""")
        page.goto("/login")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        choice = page.get_by_label("Light or dark")
        choice.focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        expect(choice).to_have_value("dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 23, 30)"
        check_accessible(page)
        page.goto(f"{links['open']}?period=7d")
        expect_figures(page, Visitors="20")
        assert page.evaluate("drawn") == "dark"
        expect(page.get_by_label("Light or dark")).to_have_value("dark")
        check_accessible(page)
        screenshot(page, "dashboard-chosen-dark")
        # An address that says how it looks is believed; and the system is followed again once that is chosen.
        page.goto(f"{links['open']}?period=7d&theme=light")
        assert page.evaluate("getComputedStyle(document.body).colorScheme") == "light"
        page.get_by_label("Light or dark").select_option("System")
        page.goto("/login")
        page.emulate_media(color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 23, 30)"
        assert page.evaluate("localStorage.length") == 0
        assert "scheme" not in str(page.context.cookies())


def test_a_share_link_with_a_password_asks_for_it(browser: Browser, shop_address: str, links: dict[str, str]) -> None:
    with visitor(browser, shop_address, viewport=PHONE) as page:
        page.goto(f"{links['locked']}?period=7d")
        check_accessible(page)
        check_fits(page)
        screenshot(page, "dashboard-password-phone")
        page.get_by_label("Password").fill("not this one")
        page.get_by_role("button", name="Show the dashboard").click()
        expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
        page.get_by_label("Password").fill(LINK_PASSWORD)
        page.get_by_role("button", name="Show the dashboard").click()
        expect_figures(page, Visitors="20")
        expect(page).to_have_url(re.compile("period=7d"))
        page.goto("/share/nothing-is-here")
        expect(page.locator("main")).to_contain_text("not valid any more")
