"""Real ClickHouse: frames over native TCP into the migrated tables, and the same bodies as a `.native` file by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.segments import traffic_segment
from core_ext.native import EVENTS_COLUMNS, LEDGER_COLUMNS, encode_ledger
from server.clickhouse_tcp import BlockConnection, Target, canonical_type
from server.clickhouse_url import ClickHouseAddress
from server.migrate import SchemaForm, migrate
from tests.core_ext.blocks import BATCH_ID, encode, rows_of, sent
from tests.core_ext.local_clickhouse import run_local
from tests.reference.native_block import Row
from tests.reference.records import METRIC_NAMES, STRING_NAMES, Hit, Short, build_segment

NO_IMPORT = 0
EVENTS = Target("events", EVENTS_COLUMNS)
LEDGER = Target("ledger", LEDGER_COLUMNS)

# Every column away from its default, and every form of a text.
ODD_HITS = [
    Hit(
        kind=2,
        bot_reasons=65_535,
        site_id=(1 << 32) - 1,
        visitor_id=(1 << 64) - 1,
        load_id=(1 << 64) - 2,
        engaged_ms=(1 << 32) - 3,
        screen_width_px=65_534,
        screen_height_px=65_533,
        sample_weight=65_532,
        device=7,
        channel=18,
        scroll_depth_percent=100,
        interactive=1,
        sequence=65_531,
        revenue_micros=-(1 << 63),
        props=(("ключ".encode(), b"v" * 300), (b"", b"")),
        metrics=tuple((code, float(code)) for code in METRIC_NAMES),
    ).with_strings(**{name: f"{name}-日本" for name in STRING_NAMES}),
    Hit(scroll_depth_percent=255, metrics=((3, 0.0),)),
    Hit(),
]


@pytest.fixture
def store(store_address: ClickHouseAddress) -> Iterator[BlockConnection]:
    migrate(store_address, SchemaForm())
    connection = BlockConnection(store_address)
    yield connection
    connection.close()


def as_float32(value: float) -> float:
    """What is left of a number in a Float32 column."""
    (stored,) = struct.unpack("<f", struct.pack("<f", value))
    return float(stored)


def comparable(values: tuple[Any, ...]) -> str:
    """A row as text in which a map's order does not matter."""
    return repr([sorted(value.items()) if isinstance(value, dict) else value for value in values])


def plain(row: Row) -> dict[str, Any]:
    """A twin's row as ClickHouse's JSON shows it: text as str, maps as objects, numbers as they are."""
    return {
        name: value.decode()
        if isinstance(value, bytes)
        else {key.decode(): entry.decode() if isinstance(entry, bytes) else as_float32(entry) for key, entry in value}
        if isinstance(value, list)
        else value
        for name, value in row.items()
    }


# Numbers for what JSON would show as text, so that they compare with the record's.
READ_ALL = "SELECT * REPLACE (toUInt32(hour) AS hour, toUnixTimestamp64Milli(time) AS time, " + (
    "toInt8(kind) AS kind, toInt8(channel) AS channel, toInt8(device) AS device, toUInt32(batch_time) AS batch_time) "
)


@pytest.mark.parametrize("table", [EVENTS, LEDGER], ids=["events", "ledger"])
def test_block_columns_are_the_tables(store: BlockConnection, table: Target) -> None:
    described = [(name, canonical_type(type_)) for name, type_, *_ in store.select(f"DESCRIBE TABLE {table.table}")]
    ours = [(name, canonical_type(type_)) for name, type_ in table.columns]
    # A live hit is of no import, which is the column's default.
    assert described == [*ours, ("import_id", "UInt32")]


def test_frames_over_tcp_come_back_equal(store: BlockConnection) -> None:
    segment, hits = traffic_segment(5000)
    hits += ODD_HITS
    segment = build_segment(hits, created_at_ms=segment.created_at_ms)
    store.insert_block(EVENTS, encode(segment, compress=True).parts, token="t", query_id="q")
    names = [name for name, _ in EVENTS_COLUMNS]
    read = store.select(f"{READ_ALL} FROM events")
    expected = [(*(plain(row)[name] for name in names), NO_IMPORT) for row in rows_of(hits, segment)]
    assert sorted(map(comparable, read)) == sorted(map(comparable, expected))


def test_one_block_is_one_part_in_the_tables_order(store: BlockConnection) -> None:
    segment, hits = traffic_segment(20_000)
    store.insert_block(EVENTS, encode(segment, compress=True).parts, token="t", query_id="q")
    parts = (
        "SELECT rows, partition FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active"
    )
    assert store.select(parts) == [(len(hits), "(1,202611)")]


def test_metrics_and_props_are_read_by_name(store: BlockConnection) -> None:
    hits = [
        Hit(visitor_id=1, metrics=((1, 0.0),), props=((b"plan", b"pro"),)),
        Hit(visitor_id=2, metrics=((3, 0.25),)),
    ]
    store.insert_block(EVENTS, encode(build_segment(hits), compress=True).parts, token="t", query_id="q")
    query = "SELECT metrics['lcp_ms'], mapContains(metrics, 'lcp_ms'), metrics['cls'], props['plan'] FROM events"
    assert store.select(f"{query} ORDER BY visitor_id") == [(0.0, 1, 0.0, "pro"), (0.0, 0, 0.25, "")]


def test_the_ledger_adds_up(store: BlockConnection) -> None:
    records: list[Hit | Short] = [Hit()] * 3 + [Short(outcome=2)] * 5 + [Short(outcome=100, site_id=0)]
    block = encode(build_segment(records))
    ledger = encode_ledger(block.ledger, batch_id=BATCH_ID, batch_time_s=block.created_at_ms // 1000)
    store.insert_block(LEDGER, ledger.parts, token="t-ledger", query_id="q-ledger")
    query = "SELECT site_id, toString(outcome), sum(count) FROM ledger GROUP BY ALL ORDER BY ALL"
    assert store.select(query) == [(0, "json", 1), (1, "accepted", 3), (1, "prefetch", 5)]


def test_a_native_file_is_inserted_by_hand(tmp_path: Path) -> None:
    """What README tells an operator with a quarantined segment to do."""
    segment, hits = traffic_segment(2000)
    hits += ODD_HITS
    segment = build_segment(hits, created_at_ms=segment.created_at_ms)
    (tmp_path / "block.native").write_bytes(sent(encode(segment, form="file")))
    columns = ", ".join(f"{name} {type_}" for name, type_ in EVENTS_COLUMNS)
    read = run_local(
        tmp_path,
        f"CREATE TABLE events ({columns}) ENGINE = MergeTree ORDER BY (site_id, hour, visitor_id, time); "
        "INSERT INTO events FROM INFILE 'block.native' FORMAT Native; "
        f"{READ_ALL} FROM events ORDER BY site_id, hour, visitor_id, time, load_id FORMAT JSONEachRow "
        "SETTINGS output_format_json_quote_64bit_integers = 0",
    )
    rows = [json.loads(line) for line in read.splitlines()]
    assert len(rows) == len(hits)
    key = ("site_id", "hour", "visitor_id", "time", "load_id")
    expected = sorted(map(plain, rows_of(hits, segment)), key=lambda row: tuple(row[name] for name in key))
    for theirs, ours in zip(rows, expected, strict=True):
        theirs["metrics"] = {name: as_float32(value) for name, value in theirs["metrics"].items()}
        assert ours == theirs


def test_a_file_block_describes_itself(tmp_path: Path) -> None:
    segment = build_segment(ODD_HITS)
    (tmp_path / "block.native").write_bytes(sent(encode(segment, form="file")))
    read = run_local(tmp_path, "DESCRIBE TABLE file('block.native', Native) FORMAT TSV")
    described = [tuple(line.split("\t")[:2]) for line in read.splitlines()]
    assert [(name, canonical_type(type_.replace("\\'", "'"))) for name, type_ in described] == [
        (name, canonical_type(type_)) for name, type_ in EVENTS_COLUMNS
    ]
