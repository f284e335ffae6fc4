"""The dashboard in a real browser against a real `footfall serve` with hits whose figures are known (`dashboard_hits`):
the first look, filters, periods, lists, exports. Pictures of all of it are kept.
"""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.chromium import check_accessible, screenshot
from tests.browser.dashboard_hits import DOMAIN, days_ago
from tests.browser.dashboard_page import (
    DASHBOARD,
    check_looks,
    distance_to_places,
    expect_figures,
    expect_rows,
    rows,
    show_all,
)


def test_the_first_look_says_what_happened(owner: Page) -> None:
    owner.goto(DASHBOARD)
    expect_figures(
        owner, Visitors="20", Visits="20", Views="30", Views_per_visit="1.5", Bounce_rate="50%", Visit_duration="0s"
    )
    show_all(owner)
    expect_rows(owner, "Sources", "Google8", "Direct / None6", "Hacker News6")
    expect_rows(owner, "Pages", "/20", "/pricing10")
    expect_rows(owner, "Places", "Germany10", "United States10")
    expect_rows(owner, "Devices", "Chrome10", "Firefox10")
    # Today is no day with hits, and a line says that it is not over.
    plot = owner.get_by_role("slider", name="Visitors over time")
    plot.focus()
    owner.keyboard.press("End")
    expect(plot).to_have_attribute("aria-valuetext", re.compile("so far, Visitors 0"))
    owner.keyboard.press("ArrowLeft")
    expect(plot).to_have_attribute("aria-valuetext", re.compile("Visitors 10"))
    expect(owner).to_have_title(re.compile(rf"^{DOMAIN} · Last 7 days"))
    check_looks(owner, "first-look")


def test_each_tab_of_a_panel_has_its_list(owner: Page) -> None:
    owner.goto(DASHBOARD)
    sources = owner.get_by_role("region", name="Sources", exact=True)
    sources.get_by_role("link", name="Channels").click()
    expect_rows(owner, "Sources", "Organic Search8", "Direct6", "Organic Social6")
    sources.get_by_role("button", name="Campaigns").click()
    sources.get_by_role("link", name="UTM sources").click()
    expect(owner).to_have_url(re.compile("sources=utm_source"))
    pages = owner.get_by_role("region", name="Pages", exact=True)
    pages.get_by_role("link", name="Exit").click()
    expect_rows(owner, "Pages", "/10", "/pricing10")
    pages.get_by_role("link", name="Entry").click()
    expect_rows(owner, "Pages", "/20")
    places = owner.get_by_role("region", name="Places", exact=True)
    places.get_by_role("link", name="Languages").click()
    expect(rows(owner, "Places")).to_have_count(2)
    devices = owner.get_by_role("region", name="Devices", exact=True)
    devices.get_by_role("button", name="Browsers").click()
    devices.get_by_role("link", name="Browser versions").click()
    expect(rows(owner, "Devices")).to_have_text([re.compile("Chrome 145.*10"), re.compile("Firefox 140.*10")])


def test_a_click_filters_everything_and_back_undoes_it(owner: Page) -> None:
    owner.goto(DASHBOARD)
    # What lists say decides nothing about where other panels are: a click during an answer hits what it was aimed at.
    expect(rows(owner, "Sources")).to_have_count(3)
    distance_px = distance_to_places(owner)
    rows(owner, "Sources").get_by_role("link", name="Google", exact=True).click()
    expect(owner).to_have_url(re.compile("f=is,source,Google"))
    expect_figures(owner, Visitors="8", Views="12")
    expect_rows(owner, "Pages", "/8", "/pricing4")
    expect_rows(owner, "Sources", "Google8")
    assert distance_to_places(owner) == distance_px
    rows(owner, "Devices").get_by_role("link", name="Firefox", exact=True).click()
    expect_figures(owner, Visitors="4")
    expect(owner.get_by_role("group", name="Filters")).to_contain_text("Browser is Firefox")
    screenshot(owner, "dashboard-filtered")
    owner.go_back()
    expect_figures(owner, Visitors="8")
    owner.reload()
    expect_figures(owner, Visitors="8")
    owner.get_by_role("link", name="Take away: Source is Google").click()
    expect_figures(owner, Visitors="20")
    # The map is for eyes and mice; the list beside it says and does the same.
    owner.locator("path[data-country=DE]").click()
    expect_figures(owner, Visitors="10")
    # Leaving a value out.
    owner.get_by_role("link", name="Take away: Country is Germany").click()
    row = rows(owner, "Pages").filter(has_text="/pricing")
    row.hover()
    row.get_by_role("link", name="Leave out /pricing").click()
    expect(owner).to_have_url(re.compile("f=is_not,page,/pricing"))


def test_a_filter_is_made_by_hand_and_kept_as_a_segment(owner: Page) -> None:
    owner.goto(DASHBOARD)
    owner.get_by_role("button", name="Filter", exact=True).click()
    owner.get_by_role("button", name="New filter").click()
    dialog = owner.get_by_role("dialog", name="Filter")
    dialog.get_by_label("What").select_option("Entry page")
    dialog.get_by_label("How").select_option("contains")
    dialog.get_by_role("combobox", name="Entry page").fill("/")
    expect(dialog.locator(".suggestions li")).to_have_count(1)
    check_accessible(owner)
    screenshot(owner, "dashboard-filter-dialog")
    dialog.get_by_role("button", name="Apply").click()
    expect(owner.get_by_role("group", name="Filters")).to_contain_text("Entry page contains /")
    expect_figures(owner, Visitors="20")
    owner.get_by_role("button", name="Save as a segment").click()
    owner.get_by_role("dialog").get_by_label("Name").fill("Came by the front door")
    owner.get_by_role("button", name="Save", exact=True).click()
    expect(owner.get_by_role("dialog")).to_have_count(0)
    owner.goto(DASHBOARD)
    owner.get_by_role("button", name="Filter", exact=True).click()
    owner.get_by_role("link", name="Came by the front door").click()
    expect(owner).to_have_url(re.compile(r"segment=\d+"))
    expect(owner.get_by_role("group", name="Filters")).to_contain_text("Came by the front door")
    expect_figures(owner, Visitors="20")


def test_periods_are_compared(owner: Page) -> None:
    owner.goto(f"/sites/{DOMAIN}?period=yesterday")
    expect_figures(owner, Visitors="10")
    visitors = owner.locator(".headline").first
    # Ten against six of the same site's day before.
    owner.get_by_role("button", name="Compare").click()
    owner.get_by_role("link", name="Same dates").click()
    expect(visitors.locator(".change")).to_contain_text("+67%")
    owner.get_by_role("button", name="Compare").click()
    owner.get_by_role("link", name="Year before").click()
    expect(visitors.locator(".change")).to_have_text("new")
    owner.get_by_role("button", name="Compare").click()
    owner.get_by_role("button", name="Other days").click()
    owner.get_by_label("First day").fill(days_ago(3).isoformat())
    owner.get_by_label("Last day").fill(days_ago(3).isoformat())
    owner.get_by_role("button", name="Show these days").click()
    expect(visitors.locator(".change")).to_contain_text("+150%")
    screenshot(owner, "dashboard-compared")
    owner.get_by_role("button", name="Compare").click()
    owner.get_by_role("link", name="Nothing").click()
    expect(visitors.locator(".change")).to_have_count(0)
    owner.get_by_role("link", name=re.compile("The period before")).click()
    expect(owner).to_have_url(re.compile(f"period=day&date={days_ago(2)}"))
    expect_figures(owner, Visitors="6")


def test_lists_are_searched_sorted_and_exported(owner: Page) -> None:
    owner.goto(DASHBOARD)
    owner.get_by_role("link", name="All pages").click()
    dialog = owner.get_by_role("dialog", name="Pages")
    expect(dialog.locator("tbody tr")).to_have_count(2)
    check_accessible(owner)
    screenshot(owner, "dashboard-all-pages")
    dialog.get_by_role("link", name="Bounce rate").click()
    expect(owner).to_have_url(re.compile("sort=-bounce_rate"))
    with owner.expect_download() as downloading:
        dialog.get_by_role("link", name="CSV").click()
    lines = downloading.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("event:page,visitors") or lines[0].startswith("page,visitors"), lines
    assert len(lines) == 3
    dialog.get_by_role("searchbox").fill("pric")
    expect(dialog.locator("tbody tr")).to_have_count(1)
    # The first one empties the field, as browsers do.
    owner.keyboard.press("Escape")
    owner.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(owner).not_to_have_url(re.compile("detail="))
    owner.get_by_role("button", name="More", exact=True).click()
    with owner.expect_download() as downloading:
        owner.get_by_role("link", name="Figures over time, CSV").click()
    text = downloading.value.path().read_text(encoding="utf-8")
    assert re.search(rf"^{days_ago(1)},10,10,15,", text, re.MULTILINE), text
