"""Segment → block by kinds of columns, against clickhouse-driver and clickhouse-connect from ready columns.

Every row of a group makes the same whole block, in which only columns of one kind hold something: `encode_bare` has
none, so a kind costs what its group takes more than that one. `encode_traffic` is the realistic mix. Ours starts from
the segment's bytes and checks and sorts them, both peers start from sorted lists; all three are held byte for byte
against each other.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.children import cpu_clock_s
from bench.peers.connect_columns import ConnectColumns
from bench.peers.driver_columns import DriverColumns
from bench.segments import traffic_segment
from bench.suites.encode import BATCH_ID, driver_values, encode, sent_by
from core_ext.native import EVENTS_COLUMNS, encode_segment
from tests.reference.native_block import sorted_rows
from tests.reference.records import NOON_MS, Hit, Segment, build_segment

ROWS = 5_000
# As in traffic: few browsers, some campaigns; pages by the thousand.
DISTINCT_NAMES = 40
DISTINCT_PATHS = 3_000


def numbers(hit: Hit, rnd: random.Random) -> Hit:
    """Plain integers."""
    return replace(
        hit,
        visitor_id=rnd.getrandbits(64),
        load_id=rnd.getrandbits(48),
        engaged_ms=rnd.randrange(60_000),
        screen_width_px=rnd.randrange(4_000),
        screen_height_px=rnd.randrange(4_000),
        sequence=rnd.randrange(9),
    )


def enums(hit: Hit, rnd: random.Random) -> Hit:
    """Enum8."""
    return replace(hit, kind=rnd.randrange(1, 6), device=rnd.randrange(1, 4), channel=rnd.randrange(19))


def names(hit: Hit, rnd: random.Random) -> Hit:
    """LowCardinality(String)."""
    columns = ("hostname", "country", "language", "browser", "browser_version", "os", "utm_source", "utm_campaign")
    return hit.with_strings(**{name: f"{name}-{rnd.randrange(DISTINCT_NAMES)}" for name in columns})


def texts(hit: Hit, rnd: random.Random) -> Hit:
    """String."""
    page = rnd.randrange(DISTINCT_PATHS)
    return hit.with_strings(
        path=f"/blog/{page}-a-page-about-something", referrer=f"www.example.org/{page % 97}/some/page"
    )


def props(hit: Hit, rnd: random.Random) -> Hit:
    """Map(LowCardinality(String), String)."""
    plan = rnd.choice((b"free", b"pro", b"enterprise"))
    return replace(hit, props=((b"plan", plan), (b"url", b"https://a.example/%d" % rnd.randrange(99))))


def metrics(hit: Hit, rnd: random.Random) -> Hit:
    """Map(LowCardinality(String), Float32)."""
    return replace(hit, metrics=tuple((code, rnd.uniform(0, 900)) for code in (1, 2, 3, 4, 5)))


KINDS: dict[str, Callable[[Hit, random.Random], Hit]] = {
    "bare": lambda hit, _: hit,
    "numbers": numbers,
    "enums": enums,
    "names": names,
    "texts": texts,
    "props": props,
    "metrics": metrics,
}


@cache
def filled(kind: str) -> tuple[Segment, list[Hit]]:
    """A segment of which columns of one kind hold something, and its hits."""
    if kind == "traffic":
        return traffic_segment(ROWS)
    rnd = random.Random(31)
    hits = [KINDS[kind](Hit(time_ms=NOON_MS + number * 100), rnd) for number in range(ROWS)]
    return build_segment(hits), hits


@cache
def columns(kind: str) -> list[list[object]]:
    """The same rows as the peers take them."""
    segment, hits = filled(kind)
    return driver_values(sorted_rows(hits, batch_id=BATCH_ID, batch_time_s=segment.created_at_ms // 1000))


def of_each_kind(name: str) -> pytest.MarkDecorator:
    """A case per kind, each in the group of its kind."""
    cases = [pytest.param(kind, id=kind, marks=group_of(kind)) for kind in (*KINDS, "traffic")]
    return pytest.mark.parametrize(name, cases)


def group_of(kind: str) -> pytest.MarkDecorator:
    """The group that a kind's rows share."""
    return pytest.mark.benchmark(group=f"encode_{kind}", timer=cpu_clock_s)


@of_each_kind("kind")
def test_encode(benchmark: BenchmarkFixture, kind: str) -> None:
    benchmark.extra_info["items"] = ROWS
    segment, _ = filled(kind)
    block = benchmark(encode, segment, compress=False)
    assert (block.rows, block.bad_records) == (ROWS, [])


@of_each_kind("kind")
def test_encode_by_clickhouse_driver(benchmark: BenchmarkFixture, kind: str) -> None:
    benchmark.extra_info["items"] = ROWS
    driver = DriverColumns(EVENTS_COLUMNS, columns(kind), compress=False)
    assert benchmark(sent_by, driver) == b"".join(encode(filled(kind)[0], compress=False).parts)


@of_each_kind("kind")
def test_encode_by_clickhouse_connect(benchmark: BenchmarkFixture, kind: str) -> None:
    benchmark.extra_info["items"] = ROWS
    segment, _ = filled(kind)
    connect = ConnectColumns(EVENTS_COLUMNS, columns(kind), compression=False)
    ours = encode_segment(
        segment.data, segment.offsets, segment.lengths, batch_id=BATCH_ID, form="file", compress=False
    )
    assert benchmark(connect.block) == b"".join(ours.parts)
