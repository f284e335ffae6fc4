"""What browser tests share. The dashboard's: one installation with three days of a shop, its owner's login, a browser.
The tracker's: another one, a site that it counts, a browser that does not say that it is driven.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from server.clickhouse_url import ClickHouseAddress
from tests.browser.chromium import STEP_TIMEOUT_MS, chromium, visitor
from tests.browser.dashboard_hits import DOMAIN, EMPTY, LIVE, send_days
from tests.browser.tracked_site import DOMAIN as TRACKED_DOMAIN
from tests.browser.tracked_site import EVENT_PATH, SCRIPT_PATH, StoredRows, TrackedSite, tracked_site
from tests.browser.webdriver import BLANK, Tab, driven_chromium
from tests.services.clickhouse import fresh_database, shared_clickhouse
from tests.services.footfall import FootfallServer, running_footfall

# Many tests at once leave a browser and a server little of the machine.
expect.set_options(timeout=STEP_TIMEOUT_MS)

OWNER, PASSWORD = "owner@example.com", "four unrelated words here"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseAddress]:
    """A database for the tests of one module."""
    with shared_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server, fresh_database(server) as address:
        yield address


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FootfallServer]:
    """An installation with three days of the shop, a site without a hit, and one for live hits."""
    with (
        shared_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server,
        fresh_database(server) as address,
        running_footfall(
            tmp_path_factory.mktemp("shop") / "data",
            clickhouse_url=str(address),
            batch_max_age_ms="100",
        ) as running,
    ):
        for domain in (DOMAIN, EMPTY, LIVE):
            added = running.command("sites", "add", domain)
            assert added.returncode == 0, added.stderr
        send_days(running)
        yield running


@pytest.fixture(scope="package")
def shop_address(shop: FootfallServer) -> str:
    """Where the installation is."""
    return f"http://localhost:{shop.port}"


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    """What drives browsers: one, for a thread may not have two."""
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="package")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """Chromium."""
    with chromium(playwright) as running:
        yield running


@pytest.fixture(scope="package")
def shop_login(
    shop: FootfallServer, browser: Browser, shop_address: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The owner's cookies."""
    kept = tmp_path_factory.mktemp("login") / "state.json"
    with visitor(browser, shop_address) as page:
        page.goto(shop.first_run_link())
        page.get_by_label("Mail address").fill(OWNER)
        page.get_by_label("Your name").fill("Olga Owner")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Make the account").click()
        page.wait_for_url(re.compile("/(accounts/1/|sites)"))
        page.context.storage_state(path=kept)
    return kept


@pytest.fixture
def owner(browser: Browser, shop_address: str, shop_login: Path) -> Iterator[Page]:
    """The owner's browser, in a time zone that is not the site's."""
    with visitor(browser, shop_address, storage_state=shop_login, timezone_id="Asia/Kathmandu") as page:
        yield page


@pytest.fixture(scope="package")
def tracked_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseAddress]:
    """A database for the tracker's tests."""
    with shared_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server, fresh_database(server) as address:
        yield address


@pytest.fixture(scope="package")
def tracked_server(
    tmp_path_factory: pytest.TempPathFactory, tracked_store: ClickHouseAddress
) -> Iterator[FootfallServer]:
    """The installation that counts the tracker's site."""
    host, port = tracked_store.hosts[0]
    with running_footfall(
        tmp_path_factory.mktemp("tracked") / "data",
        clickhouse_url=f"clickhouse://{host}:{port}/{tracked_store.database}",
        batch_max_age_ms="100",
        first_site_domain=TRACKED_DOMAIN,
        script_path=SCRIPT_PATH,
        endpoint_aliases=f"{EVENT_PATH}=/api/event",
    ) as server:
        yield server


@pytest.fixture(scope="package")
def tracked_base(tracked_server: FootfallServer) -> str:
    """Where it is."""
    return f"http://localhost:{tracked_server.port}"


@pytest.fixture(scope="package")
def site(tracked_base: str) -> Iterator[TrackedSite]:
    """The site."""
    with tracked_site(tracked_base + SCRIPT_PATH, f'data-local data-api="{EVENT_PATH}"') as served:
        yield served


@pytest.fixture(scope="package")
def stored(tracked_store: ClickHouseAddress) -> Iterator[StoredRows]:
    """What is stored of it."""
    rows = StoredRows(tracked_store)
    yield rows
    rows.close()


@pytest.fixture(scope="package")
def driven() -> Iterator[Tab]:
    """The browser."""
    with driven_chromium() as tab:
        yield tab


@pytest.fixture
def tab(driven: Tab) -> Iterator[Tab]:
    """The browser; what a test leaves open is left."""
    yield driven
    driven.open(BLANK)
