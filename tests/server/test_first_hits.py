"""A site's first hit, from a real ClickHouse: imports are none, and once it is known nobody asks again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from server.app_database import open_app_database, reading
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.clock import now_ms
from server.config import Settings
from server.first_hits import find_first_hit
from server.migrate import SchemaForm
from server.models import Site
from server.site_counts import count_site
from server.sites import add_site
from server.store import Store


@pytest.fixture
def engine(sqlite_settings: Settings) -> Iterator[Engine]:
    opened = open_app_database(sqlite_settings)
    yield opened
    opened.dispose()


def kept(engine: Engine, site_id: int) -> Site:
    with reading(engine) as session:
        return session.get_one(Site, site_id)


def add_row(address: ClickHouseAddress, site_id: int, hour: datetime, import_id: int) -> None:
    values = {"site": site_id, "hour": int(hour.timestamp()), "import": import_id}
    with closing(BlockConnection(address)) as connection:
        connection.select(
            "INSERT INTO events (site_id, hour, time, retention_class, batch_time, import_id) SELECT %(site)s, "
            "toDateTime(%(hour)s, 'UTC'), toDateTime(%(hour)s, 'UTC'), 1, toDateTime(%(hour)s, 'UTC'), %(import)s",
            values,
        )


def test_imports_are_no_first_hit(engine: Engine, store_address: ClickHouseAddress) -> None:
    store = Store((lambda: store_address,), SchemaForm())
    store.migrate()
    site = add_site(engine, "shop.example")
    count = partial(count_site, store)
    assert find_first_hit(engine, site, count) is None
    add_row(store_address, site.site_id, datetime(2025, 5, 1, tzinfo=UTC), import_id=7)
    assert find_first_hit(engine, site, count) is None
    assert kept(engine, site.site_id).first_hit_at_ms is None
    add_row(store_address, site.site_id, datetime.now(UTC).replace(minute=0, second=0, microsecond=0), import_id=0)
    first_ms = find_first_hit(engine, site, count)
    assert first_ms is not None
    assert site.created_at_ms <= first_ms <= now_ms(), "the store knows the hour, the site when it was made"

    def asked_again(_: int) -> dict[str, Any]:
        raise AssertionError("it is known")

    assert find_first_hit(engine, kept(engine, site.site_id), asked_again) == first_ms
    assert find_first_hit(engine, site, lambda _: {"first_hit": datetime(2030, 1, 1, tzinfo=UTC)}) is not None
    assert kept(engine, site.site_id).first_hit_at_ms == first_ms, "the first one stays"
