"""Imports in a real browser against a real `footfall serve` with its worker: a file is refused, one goes through, a
large one comes in pieces, the figures are readers', and they go again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, FilePayload, Page, expect

from server.clickhouse_url import ClickHouseAddress
from server.config import load_settings
from server.services import open_services
from server.sites import add_site
from tests.browser.chromium import visitor
from tests.browser.test_accounts import check_page, log_in
from tests.server.accounts.people import PASSWORD, make_owner
from tests.server.imports.desk import csv, zipped
from tests.server.imports.test_access_logs import DAY, line
from tests.server.imports.test_plausible import D1, D2, EXPORT
from tests.services.footfall import FootfallServer, running_footfall

OWNER = "owner@example.com"
SITE = "shop.example"
PAGE = f"/sites/{SITE}/imports"
WORKS_WITHIN_MS = 60_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, store: ClickHouseAddress) -> Iterator[FootfallServer]:
    """An installation with an owner and a site."""
    with running_footfall(tmp_path_factory.mktemp("footfall") / "data", clickhouse_url=str(store)) as running:
        services = open_services(load_settings(data_dir=running.data_dir))
        make_owner(services, OWNER)
        add_site(services.engine, SITE, "Europe/Berlin", account_id=1)
        services.close()
        yield running


def choose(page: Page, name: str, content: bytes) -> None:
    """Choose a file and send it."""
    page.get_by_label("File", exact=True).set_input_files(FilePayload(name=name, mimeType="", buffer=content))
    page.get_by_role("button", name="Import", exact=True).click()


def asked(page: Page, metrics: list[str], first: str, last: str) -> list[int]:
    """What the stats API answers."""
    document = {"site_id": SITE, "metrics": metrics, "date_range": [first, last], "include": {"imports": True}}
    headers = {"Content-Type": "application/json"}
    answer = page.request.post("/api/v2/query", data=json.dumps(document), headers=headers)
    assert answer.ok, answer.text()
    numbers: list[int] = answer.json()["results"][0]["metrics"]
    return numbers


def test_files_come_are_read_and_go(server: FootfallServer, browser: Browser) -> None:
    with visitor(browser, f"http://localhost:{server.port}") as page:
        page.goto("/login")
        log_in(page, OWNER, PASSWORD)
        page.wait_for_url("**/sites")
        page.goto(PAGE)
        expect(page.get_by_text("Nothing was imported yet")).to_be_visible()
        check_page(page, "imports-empty")
        choose(page, "notes.csv", b"hello\n" * 20)
        expect(page.locator("[data-upload-progress]")).to_contain_text("Nothing in it tells what it is")

        wrong_row = csv("date,device,visitors,visits,visit_duration,bounces,pageviews", "yesterday,Desktop,1,1,1,1,1")
        choose(page, "plausible.zip", zipped({**EXPORT, "imported_devices.csv": wrong_row}))
        done = page.locator("li[data-state=done]")
        expect(done).to_contain_text(f"from {D1} to {D2}", timeout=WORKS_WITHIN_MS)
        done.locator("summary").click()
        expect(done.get_by_role("table")).to_contain_text("'yesterday' is no date")
        check_page(page, "imports-done")
        assert asked(page, ["visitors", "visits", "pageviews"], D1, D2) == [8, 9, 16]

        # More than one piece; nearly all of it is pictures, which are left out.
        log = line(600, "/") + line(601, "/mug") + line(602, "/picture.png") * 50_000
        assert len(log) > 8 * 1024 * 1024
        choose(page, "access.log", log.encode())
        expect(page.locator("li[data-state=done]")).to_have_count(2, timeout=WORKS_WITHIN_MS)
        day = str(DAY.date())
        assert asked(page, ["visitors", "pageviews"], day, day) == [1, 2]

        page.on("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Remove plausible.zip").click()
        expect(page.locator("li[data-import]")).to_have_count(1, timeout=WORKS_WITHIN_MS)
        assert asked(page, ["visitors", "pageviews"], D1, D2) == [0, 0]
        assert asked(page, ["visitors", "pageviews"], day, day) == [1, 2]
        page.get_by_role("button", name="Remove access.log").click()
        expect(page.get_by_text("Nothing was imported yet")).to_be_visible(timeout=WORKS_WITHIN_MS)
        assert asked(page, ["visitors", "pageviews"], day, day) == [0, 0]
