"""The application with a real event store, in which the site `dummy.site` has the visitors of `dummy_site`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import server.stats_api.api_handler
import server.stats_api.overview
from server.clickhouse_url import ClickHouseAddress
from server.config import load_settings
from server.migrate import SchemaForm, migrate
from server.services import Services, open_services
from tests.server.pages.site_host import Host, hosted
from tests.server.stats_api.dummy_site import NOW_MS, make_dummy_site
from tests.services.clickhouse import fresh_database


@pytest.fixture(scope="module")
def event_store(clickhouse: ClickHouseAddress) -> Iterator[ClickHouseAddress]:
    """A database with the schema and nothing in it."""
    with fresh_database(clickhouse) as address:
        migrate(address, SchemaForm())
        yield address


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory, sqlite_to_copy: Path) -> Iterator[Services]:
    """Services on an empty app database."""
    data_dir = tmp_path_factory.mktemp("stats") / "data"
    data_dir.mkdir(mode=0o700)
    shutil.copy(sqlite_to_copy, data_dir / "footfall.sqlite")
    opened = open_services(load_settings(data_dir=data_dir, invite_only=False, api_requests_per_hour=10_000))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def host(services: Services, event_store: ClickHouseAddress) -> Iterator[Host]:
    """The application, at noon on 20 August 2024, with the visitors of `dummy.site`."""
    make_dummy_site(services, event_store)
    patches = pytest.MonkeyPatch()
    for module in (server.stats_api.api_handler, server.stats_api.overview):
        patches.setattr(module, "now_ms", lambda: NOW_MS)
    with hosted(services, lambda: event_store) as running:
        yield running
    patches.undo()
