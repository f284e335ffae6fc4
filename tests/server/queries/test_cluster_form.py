"""Statements in the form of a cluster: `events` lies over several shards, and a subquery of it is asked once for all.

There is one server here; it stands in for two shards that hold the same rows, so what is counted by visitor is the same
and everything else twice as much.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime

import pytest
from clickhouse_driver import Client

from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.closed_days import version_of
from server.closed_months import month_version_of
from server.migrate import SchemaForm, migrate
from server.queries.closing_months import sums_agree, write_month
from server.queries.event_reader import EventReader
from server.queries.parameters import Parameters
from server.queries.stitching import Returned
from tests.server.queries.traffic import event, store_with
from tests.services.clickhouse import fresh_database

SITE = 1
NOON_MS = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp() * 1000)
MINUTE_MS = 60_000


@pytest.fixture(scope="module", params=["one server", "two shards"])
def store(request: pytest.FixtureRequest, clickhouse: ClickHouseAddress) -> Iterator[ClickHouseAddress]:
    """Visitors 0 to 9, a minute apart; 7 to 9 came once more later on."""
    with fresh_database(clickhouse) as address:
        migrate(address, SchemaForm())
        host, port = address.hosts[0]
        with Client(host=host, port=port, database=address.database, settings={"async_insert": 0}) as client:
            store_with(
                client,
                SITE,
                [
                    *(event(time_ms=NOON_MS + number * MINUTE_MS, visitor_id=number) for number in range(10)),
                    *(event(time_ms=NOON_MS + number * 10 * MINUTE_MS, visitor_id=number) for number in (7, 8, 9)),
                ],
            )
            if request.param == "two shards":
                client.execute("RENAME TABLE events TO events_local")
                shards = f"remote('127.0.0.1:{port},localhost:{port}', currentDatabase(), 'events_local')"
                client.execute(f"CREATE TABLE events AS {shards}")
        yield address


def returned(store: ClickHouseAddress) -> list[int]:
    """Who came back since an hour after noon: all that a condensed open day is completed with."""
    parameters = Parameters()
    until_ms = NOON_MS + 720 * MINUTE_MS
    condition = Returned(NOON_MS + 60 * MINUTE_MS).sql(parameters, SITE, until_ms)
    reader = EventReader(lambda: store)
    try:
        # The condition stands where `server/queries/stitched_visits.sql` has it.
        statement = f"SELECT DISTINCT visitor_id FROM events PREWHERE {condition} WHERE site_id = {SITE} ORDER BY 1"
        return [int(visitor) for (visitor,) in reader.rows(statement, parameters.values)]
    finally:
        reader.close()


def test_who_came_back_is_asked_of_all_shards(store: ClickHouseAddress) -> None:
    assert returned(store) == [7, 8, 9]


def test_a_subquery_of_a_distributed_table_is_sent_along_rather_than_refused(store: ClickHouseAddress) -> None:
    """The server's own default is to refuse it ("Double-distributed IN/JOIN subqueries is denied", code 288)."""
    reader = EventReader(lambda: store)
    try:
        assert reader.rows("SELECT getSetting('distributed_product_mode')", {}) == [("global",)]
    finally:
        reader.close()


def test_months_are_summed_through_a_distributed_table(clickhouse: ClickHouseAddress) -> None:
    """All rows of a site are on one shard, so its month's are sums of what is there; and they are stored at once."""
    days = {date(2026, 2, day): version_of(1, date(2026, 2, day), has_values=day < 28) for day in range(1, 29)}
    version = month_version_of(2, date(2026, 2, 1))
    with fresh_database(clickhouse) as address:
        migrate(address, SchemaForm())
        host, port = address.hosts[0]
        with (
            Client(host=host, port=port, database=address.database, settings={"async_insert": 0}) as client,
            closing(BlockConnection(address)) as connection,
        ):
            for table in ("daily", "closings"):
                client.execute(f"RENAME TABLE {table} TO {table}_local")
                shard = f"remote('127.0.0.1:{port}', currentDatabase(), '{table}_local')"
                client.execute(f"CREATE TABLE {table} AS {shard}")
            columns = "(site_id, dimension, value_id, day, version, visitors, pageviews)"
            rows = [
                (SITE, dimension, number, day, of_day, 1, 1)
                for day, of_day in days.items()
                for dimension, number in (
                    ("total", 0),
                    ("path", 7),
                    ("entry_page", 7),
                    ("exit_page", 7),
                    ("referrer", 0),
                )
            ]
            client.execute(f"INSERT INTO daily_local {columns} VALUES", rows)
            write_month(connection, date(2026, 2, 1), version, {SITE: days})
            stored = f"SELECT visitors FROM daily_local WHERE version = {version} AND dimension = 'path'"
            assert client.execute(stored) == [(27,)], "of the days that have values"
            assert sums_agree(connection, date(2026, 2, 1), version, {SITE: days}) == [SITE]
            fewer = {day: of_day for day, of_day in days.items() if day.day != 5}
            assert sums_agree(connection, date(2026, 2, 1), version, {SITE: fewer}) == []
