"""Segment → block, against clickhouse-driver's columnar insert path: client CPU for the same rows.

The driver has every advantage: its columns are ready lists, in the order of the table's key, with times as integers,
and it never reaches a kernel. Ours starts from the segment: it checks, sorts and encodes. Before anything is measured,
both blocks are compared byte for byte, and the frames of both are opened again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import lz4.block

from bench.harness import Result, Run, cpu_cost, cpu_rate
from bench.peers.driver_columns import CountingSocket, DriverColumns
from bench.segments import traffic_segment
from core_ext.frames import lz4_block
from core_ext.native import EVENTS_COLUMNS, Block, build_profile, encode_segment
from tests.reference.frames import open_frames
from tests.reference.native_block import Row, sorted_rows
from tests.reference.records import Segment

# The default batch.
ROWS = 100_000
QUICK_ROWS = 5_000
BATCH_ID = "0123456789abcdef" * 2
NS_PER_US = 1000


def driver_values(rows: list[Row]) -> list[list[Any]]:
    """The rows as the driver takes them: a list for each column, text as str, maps as dicts."""

    def value(item: Any) -> Any:
        if isinstance(item, bytes):
            return item.decode()
        if isinstance(item, list):
            return {value(key): value(entry) for key, entry in item}
        return item

    return [[value(row[name]) for row in rows] for name, _ in EVENTS_COLUMNS]


def measure(run: Run) -> Iterator[Result]:
    """Bare, then framed, then what they cost per row, then the LZ4 inside against PyPI's lz4."""
    assert build_profile() == "release", "core_ext is a checked build: nothing to measure"
    rows = QUICK_ROWS if run.quick else ROWS
    segment, hits = traffic_segment(rows)
    columns = driver_values(sorted_rows(hits, batch_id=BATCH_ID, batch_time_s=segment.created_at_ms // 1000))
    del hits
    bare_bytes = check_same_block(segment, DriverColumns(EVENTS_COLUMNS, columns, compress=False))
    check_same_frames(segment, DriverColumns(EVENTS_COLUMNS, columns, compress=True), bare_bytes)

    for name, compress, at_least in (
        ("encode_vs_clickhouse_driver", False, 15),
        ("encode_framed_vs_clickhouse_driver", True, 8),
    ):
        yield run.compare(
            name,
            partial(cpu_rate, ours(segment, rows, compress=compress)),
            partial(cpu_rate, theirs(DriverColumns(EVENTS_COLUMNS, columns, compress=compress), rows)),
            unit="rows/CPU s",
            at_least=at_least,
            notes={"rows": rows, "bare_bytes": len(bare_bytes)},
        )
    for name, compress, at_most in (("encode_us", False, 0.35), ("encode_framed_us", True, 0.8)):
        work = ours(segment, rows, compress=compress)
        yield run.figure(name, partial(cpu_cost, work, unit_ns=NS_PER_US), unit="us/row", at_most=at_most)
    yield run.compare(
        "lz4_vs_pypi_lz4",
        lambda: cpu_rate(lambda: len(bare_bytes) * bool(lz4_block(bare_bytes))) / 1e6,
        lambda: cpu_rate(lambda: len(bare_bytes) * bool(lz4.block.compress(bare_bytes, store_size=False))) / 1e6,
        unit="MB/CPU s",
        notes={
            "ours_bytes": len(lz4_block(bare_bytes)),
            "theirs_bytes": len(lz4.block.compress(bare_bytes, store_size=False)),
        },
    )


def encode(segment: Segment, *, compress: bool) -> Block:
    """The block of the whole segment."""
    return encode_segment(segment.data, segment.offsets, segment.lengths, batch_id=BATCH_ID, compress=compress)


def ours(segment: Segment, rows: int, *, compress: bool) -> Callable[[], int]:
    """A round of our work."""

    def work() -> int:
        block = encode(segment, compress=compress)
        assert block.rows == rows
        assert not block.bad_records
        return block.rows

    return work


def theirs(driver: DriverColumns, rows: int) -> Callable[[], int]:
    """A round of the driver's work."""

    def work() -> int:
        socket = CountingSocket()
        driver.write(socket)
        assert socket.sent_bytes > rows
        return rows

    return work


def sent_by(driver: DriverColumns) -> bytes:
    """What the driver sends for its block."""
    socket = CountingSocket(keep=True)
    driver.write(socket)
    assert socket.kept is not None
    return b"".join(socket.kept)


def check_same_block(segment: Segment, driver: DriverColumns) -> bytes:
    """Both make the same bytes; they are returned."""
    bare = b"".join(encode(segment, compress=False).parts)
    assert sent_by(driver) == bare, "the driver's block differs from ours"
    return bare


def check_same_frames(segment: Segment, driver: DriverColumns, bare: bytes) -> None:
    """Both frame the same bytes."""
    assert open_frames(b"".join(encode(segment, compress=True).parts)) == bare
    assert open_frames(sent_by(driver)) == bare
