"""Fixtures of the server's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.clickhouse_url import ClickHouseAddress
from tests.services.clickhouse import fresh_database, shared_clickhouse


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseAddress]:
    """A ClickHouse for the whole session."""
    with shared_clickhouse(tmp_path_factory.mktemp("clickhouse")) as address:
        yield address


@pytest.fixture
def store_address(clickhouse: ClickHouseAddress) -> Iterator[ClickHouseAddress]:
    """A database of this test's own on it."""
    with fresh_database(clickhouse) as address:
        yield address
