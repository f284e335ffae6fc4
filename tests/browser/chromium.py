"""Debian's Chromium, driven by Playwright, with axe for accessibility and a folder for screenshots.

Screenshots are kept in `.screenshots/` of the checkout, named after what they show, for people to look at.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    ViewportSize,
    expect,
)

from tests.services import program
from tests.services.footfall import CHECKOUT

SCREENSHOTS = CHECKOUT / ".screenshots"

# Nothing here may look for Google's hosts: the machine may have no network but loopback.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PHONE = ViewportSize(width=360, height=780)
DESKTOP = ViewportSize(width=1280, height=800)

PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36"

LOOPBACK = ("localhost", "127.0.0.1")

STEP_TIMEOUT_MS = 30_000

# Six hundred time zones cost axe seconds on each page that has them. One loop of a template writes them all.
MORE_OPTIONS = "option:nth-child(n+10)"

# Light and dark differ in colours alone, and the other rules take most of the time.
ALL_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOUR_RULES = ["color-contrast", "link-in-text-block"]


@contextlib.contextmanager
def chromium(playwright: Playwright, *arguments: str) -> Iterator[Browser]:
    """A browser without windows; `arguments` of its own beside ours."""
    browser = playwright.chromium.launch(executable_path=str(program("chromium")), args=[*ARGUMENTS, *arguments])
    try:
        yield browser
    finally:
        browser.close()


@contextlib.contextmanager
def visitor(browser: Browser, base_url: str, *, hosts: Collection[str] = LOOPBACK, **options: Any) -> Iterator[Page]:
    """A person with a browser profile of their own. Errors on a page, and requests to other `hosts`, fail the test."""
    settings: dict[str, Any] = {
        "viewport": DESKTOP,
        "base_url": base_url,
        "locale": "en-GB",
        "timezone_id": "Europe/Berlin",
        # Chromium names itself headless otherwise, and hits of such a browser are a bot's.
        "user_agent": PERSON,
    }
    context = browser.new_context(**{**settings, **options})
    context.set_default_timeout(STEP_TIMEOUT_MS)
    errors: list[str] = []
    page = context.new_page()

    def read_console(message: ConsoleMessage) -> None:
        # A page that answers 4xx on purpose is told by the browser as an error too.
        if message.type == "error" and "the server responded with a status of 4" not in message.text:
            errors.append(f"console: {message.text}")

    def check_host(request: Request) -> None:
        if urlsplit(request.url).scheme in ("http", "https") and urlsplit(request.url).hostname not in hosts:
            errors.append(f"a request left this machine: {request.url}")

    page.on("pageerror", lambda error: errors.append(f"page: {error}"))
    page.on("console", read_console)
    page.on("request", check_host)
    try:
        yield page
        assert errors == [], errors
    finally:
        context.close()


def check_accessible(page: Page) -> None:
    """Axe finds nothing against WCAG 2.2 AA, in light and in dark."""
    # What is dimmed until the next answer comes has less contrast, and is not what is meant to be read.
    expect(page.locator(".stale")).to_have_count(0)
    page.evaluate((CHECKOUT / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8"))
    checks: tuple[tuple[Literal["light", "dark"], list[str]], ...] = (("light", ALL_RULES), ("dark", COLOUR_RULES))
    for scheme, rules in checks:
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate(
            "([context, rules]) => axe.run(context, {runOnly: rules})", [{"exclude": [MORE_OPTIONS]}, rules]
        )
        problems = [
            f"{problem['id']}: {problem['help']}: {node['html'][:200]}"
            for problem in found["violations"]
            for node in problem["nodes"]
        ]
        assert problems == [], f"{page.url} ({scheme}): {problems}"
    page.emulate_media(color_scheme="light")


def screenshot(page: Page, name: str) -> None:
    """Keep a picture of the whole page."""
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def check_fits(page: Page) -> None:
    """Nothing sticks out of a phone's width. A chart is drawn again for another width, a moment after that."""
    size = page.viewport_size
    assert size is not None
    deadline_s = time.monotonic() + STEP_TIMEOUT_MS / 1000
    while (width := page.evaluate("document.documentElement.scrollWidth")) > size["width"]:
        assert time.monotonic() < deadline_s, f"{page.url} is {width} px wide"
        page.wait_for_timeout(50)
