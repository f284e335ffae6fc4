"""One migrated database for the tests of this folder; each test, and each random example, is a site of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from clickhouse_driver import Client

from server.clickhouse_url import ClickHouseAddress
from server.migrate import SchemaForm, migrate
from server.queries.event_reader import EventReader
from tests.services.clickhouse import fresh_database

_site_ids = itertools.count(1)


@pytest.fixture(scope="session")
def event_store(clickhouse: ClickHouseAddress) -> Iterator[ClickHouseAddress]:
    """A migrated database."""
    with fresh_database(clickhouse) as address:
        migrate(address, SchemaForm())
        yield address


@pytest.fixture(scope="session")
def client(event_store: ClickHouseAddress) -> Iterator[Client]:
    """A connection to store rows over."""
    host, port = event_store.hosts[0]
    with Client(host=host, port=port, database=event_store.database, settings={"async_insert": 0}) as connected:
        yield connected


@pytest.fixture(scope="session")
def reader(event_store: ClickHouseAddress) -> Iterator[EventReader]:
    """What questions are asked with."""
    asked = EventReader(lambda: event_store)
    yield asked
    asked.close()


@pytest.fixture
def site_id() -> int:
    """A site that has no rows yet."""
    return next(_site_ids)


def new_site_id() -> int:
    """Another one."""
    return next(_site_ids)
