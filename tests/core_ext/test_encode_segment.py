"""Segment → block: equal to the plain twin byte for byte, and to what clickhouse-driver writes for the same rows."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings

from bench.peers.driver_columns import CountingSocket, DriverColumns
from bench.segments import traffic_segment
from bench.suites.encode import driver_values
from core_ext.native import EVENTS_COLUMNS, Block, encode_segment
from tests.core_ext.blocks import BATCH_ID, encode, expected, rows_of, sent
from tests.core_ext.strategies import records as any_records
from tests.reference import native_block
from tests.reference.frames import open_frames
from tests.reference.records import METRIC_NAMES, NOON_MS, Hit, Segment, Short, build_segment


@given(any_records)
def test_equals_the_plain_twin(records: list[Hit | Short]) -> None:
    segment = build_segment(records)
    hits = [record for record in records if isinstance(record, Hit)]
    for form in ("tcp", "file"):
        block = encode(segment, form=form)
        assert block.bad_records == []
        assert block.rows == len(hits)
        assert sent(block) == (expected(records, segment, form=form) if hits else b"")
        assert open_frames(sent(encode(segment, form=form, compress=True))) == sent(block)
    assert block.ledger == native_block.ledger(records)


def test_equals_the_twin_on_traffic() -> None:
    segment, hits = traffic_segment(4000)
    block = encode(segment)
    assert sent(block) == expected(hits, segment)
    assert block.ledger == native_block.ledger(hits)


def test_equals_what_the_driver_writes() -> None:
    segment, hits = traffic_segment(3000)
    socket = CountingSocket(keep=True)
    DriverColumns(EVENTS_COLUMNS, driver_values(rows_of(hits, segment)), compress=False).write(socket)
    assert socket.kept is not None
    assert b"".join(socket.kept) == sent(encode(segment))


def test_columns_are_those_of_the_twin() -> None:
    assert EVENTS_COLUMNS == native_block.COLUMNS


@pytest.mark.parametrize("keys", [1, 255, 256, 257, 65_535, 65_536, 65_537])
def test_row_numbers_widen_with_the_dictionary(keys: int) -> None:
    hits = [Hit(visitor_id=number).with_strings(utm_term=f"t{number}") for number in range(keys)]
    # The first and the last key once more, after the widening; and one empty text, which is a key as well.
    hits += [replace(hits[0], visitor_id=keys), replace(hits[-1], visitor_id=keys + 1)]
    segment = build_segment(hits)
    assert sent(encode(segment)) == expected(hits, segment)


@pytest.mark.parametrize("keys", [256, 257, 65_537])
def test_rows_that_repeat_their_neighbour_cross_a_widening(keys: int) -> None:
    hits = [
        Hit(visitor_id=number, sequence=again).with_strings(utm_term=f"t{number}", browser=f"b{number // 2}")
        for number in range(keys + 2)
        for again in range(1 + number % 3)
    ]
    segment = build_segment(hits)
    assert sent(encode(segment)) == expected(hits, segment)


@pytest.mark.parametrize("size_bytes", [*range(1, 41), 64, 65])
def test_texts_that_differ_in_one_place(size_bytes: int) -> None:
    texts = ["x" * size_bytes]
    for place in range(size_bytes):
        texts += [texts[0][:place] + "y" + texts[0][place + 1 :], texts[0]]
    hits = [
        Hit(visitor_id=number, props=((text.encode(), b""),)).with_strings(hostname=text, timezone=text)
        for number, text in enumerate(texts)
    ]
    segment = build_segment(hits)
    assert sent(encode(segment)) == expected(hits, segment)


@pytest.mark.parametrize("keys", [256, 257, 65_537])
def test_row_numbers_of_prop_keys_widen(keys: int) -> None:
    names = [b"k%d" % number for number in range(keys)]
    hits = [
        Hit(visitor_id=start, props=tuple((name, b"v") for name in names[start : start + 255]))
        for start in range(0, keys, 255)
    ]
    segment = build_segment([*hits, *hits])
    assert sent(encode(segment)) == expected([*hits, *hits], segment)


def test_long_texts() -> None:
    longest = "é" * 32_767
    hits = [
        Hit(props=((longest.encode(), longest.encode()),)).with_strings(
            path=longest, hostname=longest, os=longest[:-1]
        ),
        Hit().with_strings(path="/", hostname=longest[:-1] + "e", os=longest[:-1]),
    ]
    segment = build_segment(hits)
    assert sent(encode(segment)) == expected(hits, segment)


@pytest.mark.parametrize("seed", range(3))
def test_rows_stand_in_the_order_of_the_key(seed: int) -> None:
    rnd = random.Random(seed)
    hits = [
        Hit(
            site_id=rnd.choice((1, 2, 1 << 31)),
            time_ms=NOON_MS + rnd.choice((0, 1, 3_599_999, 3_600_000)),
            visitor_id=rnd.choice((0, 1, 1 << 42, (1 << 42) + 1, (1 << 64) - 1)),
            load_id=number,
        )
        for number in range(3000)
    ]
    segment = build_segment(hits)
    assert sent(encode(segment)) == expected(hits, segment)


def test_one_visitor_with_falling_times_costs_no_more_than_many() -> None:
    """Insertion sort alone would take minutes here."""
    hits = [Hit(time_ms=NOON_MS + 100_000 - number, visitor_id=7) for number in range(100_000)]
    segment = build_segment(hits)
    before_s = time.process_time()
    block = encode(segment)
    assert time.process_time() - before_s < 5
    times = native_block.write_column("DateTime64(3, 'UTC')", sorted(hit.time_ms for hit in hits))
    assert times in sent(block)


def test_metrics_take_numbers_by_first_appearance() -> None:
    hits = [
        Hit(visitor_id=1, metrics=((17, 1.0), (1, 2.0))),
        Hit(visitor_id=2),
        Hit(visitor_id=3, metrics=tuple((code, 0.0) for code in reversed(METRIC_NAMES))),
    ]
    segment = build_segment(hits)
    assert sent(encode(segment)) == expected(hits, segment)


def test_a_segment_without_hits_has_nothing_to_send() -> None:
    records: list[Hit | Short] = [Short(outcome=3), Short(outcome=3, bot_reasons=9)]
    for compress in (False, True):
        block = encode(build_segment(records), compress=compress)
        assert (block.rows, block.parts, block.parts_bytes, block.bare_bytes) == (0, [], 0, 0)
        assert block.ledger == native_block.ledger(records)
    assert encode(build_segment([])).ledger == []


def test_tells_what_the_header_says() -> None:
    segment = build_segment([Hit(retention_class=3)], retention_class=3, segment_id=b"0123456789abcdef")
    block = encode(segment, compress=True)
    assert isinstance(block, Block)
    assert block.segment_id == b"0123456789abcdef"
    assert (block.month, block.retention_class, block.created_at_ms) == (202611, 3, NOON_MS)
    assert block.parts_bytes == block.held_bytes == sum(map(len, block.parts))
    assert block.bare_bytes == len(open_frames(sent(block)))


def test_takes_any_buffer_and_keeps_none() -> None:
    segment = build_segment([Hit().with_strings(path="/a", hostname="h")])
    data = bytearray(segment.data)
    block = encode_segment(
        memoryview(data), bytearray(segment.offsets), memoryview(segment.lengths), batch_id=BATCH_ID, compress=False
    )
    data[:] = bytes(len(data))
    data.clear()  # BufferError if it were still held
    assert sent(block) == expected([Hit().with_strings(path="/a", hostname="h")], segment)


def test_parts_outlive_the_block() -> None:
    segment, hits = traffic_segment(500)
    parts = encode(segment).parts
    first = parts[0]
    assert isinstance(first, memoryview)
    assert first.readonly
    assert b"".join(parts) == expected(hits, segment)


def test_another_process_makes_the_same_block() -> None:
    """The dictionaries' hash seed differs in each process and must not show."""
    program = (
        "import hashlib, sys; from bench.segments import traffic_segment\n"
        "from tests.core_ext.blocks import encode, sent\n"
        "sys.stdout.write(hashlib.sha256(sent(encode(traffic_segment(2000)[0], compress=True))).hexdigest())"
    )
    environment = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-P", "-c", program]
    digests = {subprocess.run(command, capture_output=True, check=True, env=environment).stdout for _ in range(2)}
    assert len(digests) == 1


def test_the_gil_is_released() -> None:
    segment, _ = traffic_segment(20_000)
    entered_ns: list[int] = []
    left_ns: list[int] = []

    def work() -> None:
        for _ in range(20):
            entered_ns.append(time.monotonic_ns())
            encode(segment, compress=True)
            left_ns.append(time.monotonic_ns())

    worker = threading.Thread(target=work)
    worker.start()
    seen_ns = []
    while worker.is_alive():
        seen_ns.append(time.monotonic_ns())
    worker.join()
    inside = sum(
        any(start < moment < end for moment in seen_ns) for start, end in zip(entered_ns, left_ns, strict=True)
    )
    assert inside > 10


def test_threads_do_not_disturb_each_other() -> None:
    segments = [traffic_segment(1500, seed=seed)[0] for seed in range(4)]
    alone = [sent(encode(segment)) for segment in segments]
    differing: list[int] = []

    def work(number: int) -> None:
        differing.extend(number for _ in range(30) if sent(encode(segments[number])) != alone[number])

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert differing == []


@settings(max_examples=20)
@given(any_records)
def test_offsets_choose_the_records(records: list[Hit | Short]) -> None:
    """A scan leaves damaged records out; what is not listed is not there."""
    segment = build_segment(records)
    kept = records[::2]
    chosen = Segment(
        **{
            **vars(segment),
            "offsets": b"".join(segment.offsets[at : at + 4] for at in range(0, len(segment.offsets), 8)),
            "lengths": b"".join(segment.lengths[at : at + 4] for at in range(0, len(segment.lengths), 8)),
        }
    )
    hits = [record for record in kept if isinstance(record, Hit)]
    assert sent(encode(chosen)) == (expected(kept, segment) if hits else b"")


def test_refuses_an_unknown_form_and_uneven_lists() -> None:
    segment = build_segment([Hit()])
    with pytest.raises(ValueError, match="form: 'csv' is not"):
        encode(segment, form="csv")  # type: ignore[arg-type]  # that is the point
    for offsets, lengths in ((segment.offsets, b""), (segment.offsets[:3], segment.lengths[:3])):
        with pytest.raises(ValueError, match="offsets and lengths"):
            encode_segment(segment.data, offsets, lengths, batch_id=BATCH_ID)
