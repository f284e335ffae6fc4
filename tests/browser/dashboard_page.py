"""The dashboard as its tests see it: figures, lists, and how a screen looks."""

from __future__ import annotations

import re
from typing import Literal

from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import DESKTOP, PHONE, check_accessible, check_fits, screenshot
from tests.browser.dashboard_hits import DOMAIN

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

DASHBOARD = f"/sites/{DOMAIN}?period=7d"


def figure(page: Page, label: str) -> Locator:
    """A headline figure."""
    return (
        page.locator(".headline")
        .filter(has=page.locator(".label", has_text=re.compile(f"^{label}( sum of daily)?$")))
        .locator(".value")
    )


def expect_figures(page: Page, **expected: str) -> None:
    """The headline figures by their labels; `_` stands for a space."""
    for label, text in expected.items():
        expect(figure(page, label.replace("_", " "))).to_have_text(text)


def rows(page: Page, panel: str) -> Locator:
    """The rows of a panel's list."""
    return page.get_by_role("region", name=panel, exact=True).locator("tbody tr")


def expect_rows(page: Page, panel: str, *expected: str) -> None:
    """What the rows of a list say, without what only screen readers are told."""
    expect(rows(page, panel)).to_have_text([re.compile(rf"^\s*{re.escape(each)}\s*$") for each in expected])


def distance_to_places(page: Page) -> float:
    """How far below the panel of sources the panel of places begins, in CSS pixels."""
    tops = [page.get_by_role("region", name=panel, exact=True).bounding_box() for panel in ("Sources", "Places")]
    above, below = (box["y"] for box in tops if box is not None)
    return below - above


def show_all(page: Page) -> None:
    """Bring every panel near the window once, as scrolling does: those further down load only then."""
    for panel in page.locator("section.panel").all():
        panel.scroll_into_view_if_needed()
        # A panel that leaves the window within a frame was not seen, and does not load.
        expect(panel.locator(".waits")).to_have_count(0)
    expect(page.locator(".waits")).to_have_count(0)
    page.evaluate("scrollTo(0, 0)")


def check_looks(page: Page, name: str) -> None:
    """Accessible in both schemes and at both widths; pictures of each."""
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        screenshot(page, f"dashboard-{name}-{scheme}")
    check_accessible(page)
    page.set_viewport_size(PHONE)
    check_fits(page)
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        screenshot(page, f"dashboard-{name}-phone-{scheme}")
    check_accessible(page)
    page.set_viewport_size(DESKTOP)
