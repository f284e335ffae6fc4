"""Parquet files as ClickHouse reads them."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

from clickhouse_driver import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from server.clickhouse_url import ClickHouseAddress
from server.stats_api.parquet import Column, ColumnType, ParquetWriter

COLUMNS = (
    Column("text", ColumnType.TEXT),
    Column("json", ColumnType.JSON),
    Column("time", ColumnType.TIME_MS),
    Column("big", ColumnType.UINT64),
    Column("signed", ColumnType.INT64),
    Column("small", ColumnType.UINT8),
    Column("middle", ColumnType.UINT16),
)

ROWS = st.lists(
    st.tuples(
        st.text(max_size=20),
        st.sampled_from(('{"a": "ß"}', "{}")),
        st.integers(0, 4_102_444_800_000),
        st.integers(0, 2**64 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 255),
        st.integers(0, 65_535),
    ),
    min_size=1,
    max_size=40,
)


def read(client: Client, data: bytes) -> list[Any]:
    """What ClickHouse finds in a file."""
    columns = "text, json, toUnixTimestamp64Milli(time), big, signed, small, middle"
    rows: list[Any] = client.execute(f"SELECT {columns} FROM format(Parquet, unhex('{data.hex()}'))")
    return rows


def written(rows: list[Any], *, group_rows: int, step_rows: int) -> bytes:
    """A file made of rows that come in steps."""
    writer = ParquetWriter(COLUMNS, row_group_rows=group_rows)
    data = writer.begin()
    for start in range(0, len(rows), step_rows):
        data += writer.add(rows[start : start + step_rows])
    return data + writer.end()


def test_clickhouse_reads_what_was_written(clickhouse: ClickHouseAddress) -> None:
    host, port = clickhouse.hosts[0]
    client = Client(host=host, port=port)

    @given(ROWS, st.integers(1, 50), st.integers(1, 50))
    @settings(max_examples=40, deadline=None)
    def check(rows: list[Any], group_rows: int, step_rows: int) -> None:
        found = read(client, written(rows, group_rows=group_rows, step_rows=step_rows))
        assert found == [(text, json.loads(document), *numbers) for text, document, *numbers in rows]

    try:
        check()
        # Of a file without rows `format()` gives no block to select from; what it holds is there.
        empty = written([], group_rows=1, step_rows=1).hex()
        described = client.execute(f"DESCRIBE format(Parquet, unhex('{empty}'))")
        assert [(name, kind) for name, kind, *_ in described][:4] == [
            ("text", "String"),
            ("json", "JSON"),
            ("time", "DateTime64(3, 'UTC')"),
            ("big", "UInt64"),
        ]
    finally:
        client.disconnect()


def test_memory_does_not_grow_with_the_file() -> None:
    writer = ParquetWriter(COLUMNS, row_group_rows=1000)
    step = [("x" * 200, "{}", 1, 2, 3, 4, 5)] * 1000
    writer.add(step)
    tracemalloc.start()
    size = sum(len(writer.add(step)) for _ in range(50))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 50 * 1000
    assert peak < 4 * 1000 * 250, "four groups at most, of fifty"
