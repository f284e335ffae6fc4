"""Limits of a query, each reached: the error says which it was and how to narrow; and a store that is away."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clickhouse_driver import Client

from server.clickhouse_url import ClickHouseAddress
from server.queries.answers import Answerer
from server.queries.errors import (
    InvalidPattern,
    QueryCancelled,
    QueryRefused,
    StoreAway,
    TooBusy,
    TooManyRows,
    TooMuchMemory,
    TooSlow,
)
from server.queries.event_reader import EventReader, ReadLimits, Ticket
from server.queries.parsing import SiteFacts, parse_query
from server.queries.periods import SiteCalendar
from tests.server.queries.traffic import event, store_with
from tests.services.closed_port import closed_port

SLOW = (
    "SELECT sleepEachRow(0.1) FROM numbers(100) "
    "SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0"
)


@contextmanager
def reading(address: ClickHouseAddress, limits: ReadLimits) -> Iterator[EventReader]:
    reader = EventReader(lambda: address, limits)
    try:
        yield reader
    finally:
        reader.close()


def test_time(event_store: ClickHouseAddress) -> None:
    with (
        reading(event_store, ReadLimits(execution_s=0.2)) as reader,
        pytest.raises(TooSlow, match="shorter range") as caught,
    ):
        reader.rows(SLOW, {})
    assert caught.value.limit == "0.2 s per query"
    assert "limit: 0.2 s per query" in str(caught.value)


def test_memory(event_store: ClickHouseAddress) -> None:
    statement = "SELECT length(groupArray(toString(number))) FROM numbers(3000000)"
    with reading(event_store, ReadLimits(memory_bytes=20_000_000)) as reader, pytest.raises(TooMuchMemory) as caught:
        reader.rows(statement, {})
    assert caught.value.limit == "19 MiB of memory per query"


def test_rows_read_and_rows_returned(event_store: ClickHouseAddress) -> None:
    with (
        reading(event_store, ReadLimits(rows_read=1_000)) as reader,
        pytest.raises(TooManyRows, match="1,000 rows read"),
    ):
        reader.rows("SELECT sum(number) FROM numbers(100000)", {})
    with (
        reading(event_store, ReadLimits(result_rows=10)) as reader,
        pytest.raises(QueryRefused, match="10 rows returned"),
    ):
        reader.rows("SELECT number FROM numbers(100)", {})


def test_nothing_can_be_written(event_store: ClickHouseAddress, reader: EventReader) -> None:
    with pytest.raises(StoreAway):
        reader.rows("INSERT INTO ledger (site_id) SELECT 1", {})
    with pytest.raises(StoreAway):
        reader.rows("DROP TABLE ledger", {})


def test_queries_at_once(event_store: ClickHouseAddress) -> None:
    with reading(event_store, ReadLimits(queries=1, queue_wait_s=0.05)) as reader:
        ticket, started = Ticket(), threading.Event()

        def occupy() -> None:
            started.set()
            with pytest.raises(QueryCancelled):
                reader.rows(SLOW, {}, ticket)

        thread = threading.Thread(target=occupy)
        thread.start()
        started.wait(1)
        time.sleep(0.1)
        with pytest.raises(TooBusy, match="try again"):
            reader.rows("SELECT 1", {})
        reader.revoke(ticket)
        thread.join(5)
        assert not thread.is_alive()
        assert reader.rows("SELECT 1", {}) == [(1,)]


def test_a_revoked_query_does_not_start(reader: EventReader) -> None:
    ticket = Ticket()
    reader.revoke(ticket)
    with pytest.raises(QueryCancelled, match="nobody waits"):
        reader.rows("SELECT 1", {}, ticket)


def test_a_store_that_is_away() -> None:
    with closed_port() as port:
        address = ClickHouseAddress(hosts=(("127.0.0.1", port),), database="x", connect_timeout_s=0.2)
        with reading(address, ReadLimits()) as reader, pytest.raises(StoreAway, match="try again"):
            reader.rows("SELECT 1", {})


def test_a_pattern_that_is_none(client: Client, reader: EventReader, site_id: int) -> None:
    calendar = SiteCalendar.of("UTC")
    store_with(client, site_id, [event(visitor_id=1, time_ms=1_773_144_000_000)])
    facts = SiteFacts(site_id, calendar, 1_773_144_000_000)
    query = parse_query(
        {"metrics": ["visitors"], "date_range": "7d", "filters": [["matches", "event:page", ["(("]]]}, facts
    )
    with pytest.raises(InvalidPattern, match="RE2"):
        Answerer(reader).answer(query)
