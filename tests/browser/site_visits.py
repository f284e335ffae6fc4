"""Visits to a page that carries a site's snippet, by a person with a browser of their own."""

from __future__ import annotations

import time

from playwright.sync_api import Browser

from tests.browser.chromium import visitor

CHANGE_TIMEOUT_S = 30.0
"""A change holds within seconds; a visit on a busy machine may take as long."""


def visit(browser: Browser, base: str, snippet: str, path: str = "/page") -> str:
    """Open a page of the site that carries the snippet; why its view was dropped, empty when it was counted."""
    with visitor(browser, base) as guest:
        document = f"<!doctype html><title>Shop</title>{snippet}"
        guest.route(f"{base}{path}", lambda route: route.fulfill(body=document, content_type="text/html"))
        guest.add_init_script("Object.defineProperty(Navigator.prototype, 'webdriver', {get: () => false})")
        with guest.expect_response("**/api/event") as sent:
            guest.goto(path)
        assert sent.value.status == 202
        return sent.value.all_headers().get("x-footfall-dropped", "")


def visit_until(browser: Browser, base: str, snippet: str, expected: str) -> None:
    """Open the page until the answer is the expected one: a change holds within seconds."""
    deadline_s = time.monotonic() + CHANGE_TIMEOUT_S
    while (outcome := visit(browser, base, snippet)) != expected:
        assert time.monotonic() < deadline_s, f"hits were answered {outcome!r}, not {expected!r}"
        time.sleep(0.2)
