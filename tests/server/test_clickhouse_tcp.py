"""The block connection against a real ClickHouse: what is acknowledged is stored, what fails says why."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from clickhouse_driver import errors as driver_errors

from server.clickhouse_tcp import CLIENT_REVISION, BlockConnection, Target, canonical_type
from server.clickhouse_url import ClickHouseAddress
from server.retry import SchemaMismatch, Verdict, classify
from tests.reference.driver_block import bare_block, block_frames, frames
from tests.services.closed_port import closed_port

COLUMNS = (("site", "UInt32"), ("name", "LowCardinality(String)"), ("kind", "Enum8('a' = 1, 'b' = 2)"))
TARGET = Target("t", COLUMNS)


def block(rows: int, first: int = 0) -> list[bytes]:
    return block_frames(COLUMNS, [list(range(first, first + rows)), [f"n{i % 7}" for i in range(rows)], ["b"] * rows])


@pytest.fixture
def connection(store_address: ClickHouseAddress) -> Iterator[BlockConnection]:
    opened = BlockConnection(store_address)
    opened.command(
        "CREATE TABLE t (site UInt32, name LowCardinality(String), kind Enum8('a' = 1, 'b' = 2)) ENGINE = MergeTree "
        "ORDER BY site PARTITION BY intDiv(site, 1000000) SETTINGS non_replicated_deduplication_window = 100"
    )
    yield opened
    opened.close()


def test_stores_the_frames_as_they_are(connection: BlockConnection) -> None:
    connection.insert_block(TARGET, block(100_000), token="one", query_id="one-events")
    assert connection.select("SELECT count(), sum(site), uniqExact(name), any(kind) FROM t") == [
        (100_000, sum(range(100_000)), 7, "b")
    ]


def test_one_block_is_one_part(connection: BlockConnection) -> None:
    connection.insert_block(TARGET, block(300_000), token="one", query_id="one-events")
    parts = "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 't' AND level = 0"
    assert connection.select(parts) == [(1,)]


def test_a_token_stores_its_rows_once(connection: BlockConnection) -> None:
    for attempt in range(3):
        connection.insert_block(TARGET, block(10), token="same", query_id=f"same-{attempt}")
    connection.insert_block(TARGET, block(10), token="other", query_id="other")
    assert connection.select("SELECT count() FROM t") == [(20,)]


def test_the_revision_stays_pinned_over_reconnects(connection: BlockConnection) -> None:
    for _ in range(2):
        connection.insert_block(TARGET, block(1), token="x", query_id="x")
        assert connection._client.connection.server_info.used_revision == CLIENT_REVISION
        connection.close()


def test_two_partitions_in_one_block_are_refused(connection: BlockConnection) -> None:
    with pytest.raises(driver_errors.ServerException, match="partition"):
        connection.insert_block(TARGET, block(2, first=999_999), token="p", query_id="p")
    assert connection.select("SELECT count() FROM t") == [(0,)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((("site", "UInt64"), *COLUMNS[1:]), r"t\.site is UInt32, this program writes UInt64"),
        ((*COLUMNS[:2], ("kind", "Enum8('a' = 1, 'c' = 2)")), r"t\.kind is Enum8"),
    ],
)
def test_a_differing_column_is_named(
    connection: BlockConnection, columns: tuple[tuple[str, str], ...], message: str
) -> None:
    with pytest.raises(SchemaMismatch, match=message) as caught:
        connection.insert_block(Target("t", columns), block(1), token="m", query_id="m")
    assert classify(caught.value).verdict is Verdict.SCHEMA
    assert connection.select("SELECT count() FROM t") == [(0,)]


def test_a_missing_column_is_a_schema_failure(connection: BlockConnection) -> None:
    with pytest.raises(driver_errors.ServerException) as caught:
        connection.insert_block(Target("t", (*COLUMNS, ("new", "UInt8"))), block(1), token="m", query_id="m")
    assert classify(caught.value).verdict is Verdict.SCHEMA


def test_a_missing_table_is_a_schema_failure(connection: BlockConnection) -> None:
    with pytest.raises(driver_errors.ServerException) as caught:
        connection.insert_block(Target("absent", COLUMNS), block(1), token="m", query_id="m")
    assert classify(caught.value).verdict is Verdict.SCHEMA


def test_a_flipped_bit_is_caught_and_nothing_is_stored(connection: BlockConnection) -> None:
    parts = [bytearray(part) for part in block(1000)]
    parts[0][200] ^= 1
    with pytest.raises(driver_errors.ServerException) as caught:
        connection.insert_block(TARGET, parts, token="f", query_id="f")
    assert classify(caught.value).verdict is Verdict.DOUBTFUL
    assert connection.select("SELECT count() FROM t") == [(0,)]


def test_a_block_cut_short_is_set_aside_in_the_end(connection: BlockConnection) -> None:
    raw = bare_block(COLUMNS, [[1, 2], ["a", "b"], ["a", "b"]])
    with pytest.raises(driver_errors.ServerException) as caught:
        connection.insert_block(TARGET, frames(raw[:-1]), token="cut", query_id="cut")
    assert classify(caught.value).verdict is Verdict.DOUBTFUL
    assert connection.select("SELECT count() FROM t") == [(0,)]


def test_the_next_replica_is_used_when_one_is_down(store_address: ClickHouseAddress) -> None:
    with closed_port() as port:
        address = dataclasses.replace(store_address, hosts=(("127.0.0.1", port), *store_address.hosts))
        opened = BlockConnection(address)
        assert opened.select("SELECT 1") == [(1,)]
        opened.close()


def test_nobody_there_is_retriable() -> None:
    with closed_port() as port:
        opened = BlockConnection(ClickHouseAddress(hosts=(("127.0.0.1", port),), database="x"))
        with pytest.raises(driver_errors.NetworkError) as caught:
            opened.insert_block(TARGET, block(1), token="n", query_id="n")
    assert classify(caught.value).label == "network"


def test_types_are_compared_without_meaningless_spaces() -> None:
    assert canonical_type("Map(LowCardinality(String), String)") == canonical_type("Map(LowCardinality(String),String)")
    assert canonical_type("Enum8('a' = 1, 'b' = 2)") == "Enum8('a'=1,'b'=2)"
