"""Fixtures of the tests of imports."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.clickhouse_url import ClickHouseAddress
from server.config import Settings
from tests.server.imports.desk import Desk, open_desk


@pytest.fixture
def desk(sqlite_settings: Settings, store_address: ClickHouseAddress) -> Iterator[Desk]:
    """A site in Berlin, without hits."""
    with open_desk(sqlite_settings, store_address) as opened:
        yield opened
