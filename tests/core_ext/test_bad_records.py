"""A bad record is named, its neighbours are encoded, and nothing outside the buffers is read."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core_ext.native import RecordFault, SegmentError, SegmentFault, encode_segment
from tests.core_ext.blocks import BATCH_ID, encode, expected, sent
from tests.core_ext.strategies import hits, shorts
from tests.reference import native_block
from tests.reference.record_reader import BadRecord, month_bounds_ms, read_record
from tests.reference.records import NOON_MS, STRING_NAMES, Hit, Short, build_segment

FULL = Hit(props=((b"key", b"value"), (b"k2", "ü".encode())), metrics=((1, 2.5), (17, 1e6))).with_strings(
    **{name: f"{name}-value" for name in STRING_NAMES}
)


def patched(payload: bytes, at: int, patch: bytes) -> bytes:
    return payload[:at] + patch + payload[at + len(patch) :]


BAD: list[tuple[RecordFault, bytes]] = [
    (RecordFault.TRUNCATED, b""),
    (RecordFault.TRUNCATED, b"\x01"),
    (RecordFault.TRUNCATED, FULL.payload()[:-1]),
    (RecordFault.TRUNCATED, Short().payload()[:-1]),
    (RecordFault.TRUNCATED, patched(Hit().payload(), 64, b"\xff\xff")),
    (RecordFault.TRUNCATED, patched(Hit().payload(), 47, b"\x01")),
    (RecordFault.TRUNCATED, patched(Hit().payload(), 48, b"\xff")),
    (RecordFault.TOO_LONG, FULL.payload() + b"\0"),
    (RecordFault.TOO_LONG, Short().payload() + b"\0"),
    (RecordFault.RECORD_KIND, b"\x00" + Hit().payload()[1:]),
    (RecordFault.RECORD_KIND, b"\x03" + Hit().payload()[1:]),
    (RecordFault.CODE, Hit(kind=0).payload()),
    (RecordFault.CODE, Hit(kind=6).payload()),
    (RecordFault.CODE, Hit(device=8).payload()),
    (RecordFault.CODE, Hit(channel=19).payload()),
    (RecordFault.CODE, Hit(interactive=2).payload()),
    (RecordFault.CODE, Hit(scroll_depth_percent=101).payload()),
    (RecordFault.CODE, Hit(metrics=((6, 1.0),)).payload()),
    (RecordFault.CODE, Hit(metrics=((18, 1.0),)).payload()),
    (RecordFault.CODE, Hit(metrics=((0, 1.0),)).payload()),
    (RecordFault.CODE, Short(outcome=0).payload()),
    (RecordFault.CODE, Short(outcome=15).payload()),
    (RecordFault.CODE, Short(outcome=107).payload()),
    (RecordFault.UTF8, replace(Hit(), strings=(b"\xff", *Hit().strings[1:])).payload()),
    # A character that starts in one string and ends in the next.
    (RecordFault.UTF8, replace(Hit(), strings=(b"\xc3", b"\xbc", *Hit().strings[2:])).payload()),
    (RecordFault.UTF8, Hit(props=((b"\xc3", b"\xbc"),)).payload()),
    (RecordFault.PARTITION, Hit(retention_class=2).payload()),
    (RecordFault.PARTITION, Hit(time_ms=NOON_MS + 10 * 86_400_000).payload()),
    (RecordFault.PARTITION, Hit(time_ms=-1).payload()),
    (RecordFault.NUMBER, Hit(metrics=((1, float("nan")),)).payload()),
    (RecordFault.NUMBER, Hit(metrics=((1, float("-inf")),)).payload()),
    (RecordFault.PARTITION, Short(time_ms=NOON_MS + 10 * 86_400_000).payload()),
    (RecordFault.PARTITION, Short(time_ms=-1).payload()),
]


@pytest.mark.parametrize(("fault", "payload"), BAD)
def test_a_bad_record_is_named_and_its_neighbours_are_encoded(fault: RecordFault, payload: bytes) -> None:
    first, last = replace(FULL, visitor_id=1), replace(FULL, visitor_id=2)
    drop = Short(outcome=2)
    block = encode(build_segment([first, payload, drop, last]))
    assert block.bad_records == [(1, fault)]
    assert sent(block) == expected([first, last], build_segment([]))
    assert block.ledger == native_block.ledger([first, drop, last])


@pytest.mark.parametrize(
    ("offset", "length"), [(0xFFFFFFFF, 0), (0, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (64, 1 << 20)]
)
def test_a_place_outside_the_segment_is_named(offset: int, length: int) -> None:
    segment = build_segment([FULL])
    offsets = segment.offsets + struct.pack("<I", offset)
    lengths = segment.lengths + struct.pack("<I", length)
    block = encode_segment(segment.data, offsets, lengths, batch_id=BATCH_ID, compress=False)
    assert block.bad_records == [(1, RecordFault.OUTSIDE)]
    assert sent(block) == expected([FULL], segment)


def test_every_fault_is_shown_here() -> None:
    assert {fault for fault, _ in BAD} | {RecordFault.OUTSIDE} == set(RecordFault)


def judge(payload: bytes) -> Hit | Short | RecordFault:
    try:
        return read_record(payload, month=202611, retention_class=1)
    except BadRecord as bad:
        return RecordFault[str(bad)]


def agrees_with_the_twin(payloads: list[bytes]) -> None:
    segment = build_segment(payloads)
    verdicts = [judge(payload) for payload in payloads]
    sound = [verdict for verdict in verdicts if not isinstance(verdict, RecordFault)]
    block = encode(segment)
    assert block.bad_records == [
        (number, verdict) for number, verdict in enumerate(verdicts) if isinstance(verdict, RecordFault)
    ]
    assert block.ledger == native_block.ledger(sound)
    has_rows = any(isinstance(record, Hit) for record in sound)
    assert sent(block) == (expected(sound, segment) if has_rows else b"")


def test_a_record_cut_at_every_byte() -> None:
    payload = FULL.payload()
    agrees_with_the_twin([payload[:size] for size in range(len(payload) + 1)])


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_record_with_every_byte_changed(flip: int) -> None:
    payload = FULL.payload()
    agrees_with_the_twin([patched(payload, at, bytes([payload[at] ^ flip])) for at in range(len(payload))])


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_random_bytes(payloads: list[bytes]) -> None:
    agrees_with_the_twin(payloads)


@given(
    st.lists(st.one_of(hits, shorts), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4),
)
def test_damaged_records(records: list[Hit | Short], damages: list[tuple[int, bytes]]) -> None:
    payloads = [record.payload() for record in records]
    for number, (at, patch) in enumerate(damages):
        target = number % len(payloads)
        payload = payloads[target]
        payloads[target] = patched(payload, at % len(payload), patch)[: len(payload)]
    agrees_with_the_twin(payloads)


@settings(max_examples=300)
@given(st.binary(max_size=12))
def test_utf8_as_python_sees_it(text: bytes) -> None:
    agrees_with_the_twin([replace(Hit(), strings=(*Hit().strings[:-1], text)).payload()])


@pytest.mark.parametrize("size_bytes", [*range(1, 42), 63, 64, 65, 100])
def test_a_byte_that_is_no_text_is_seen_at_every_place(size_bytes: int) -> None:
    texts = [bytearray(b"x" * size_bytes) for _ in range(size_bytes)]
    for place, text in enumerate(texts):
        text[place] = 0x80
    in_strings = [replace(Hit(), strings=(*Hit().strings[:-1], bytes(text))).payload() for text in texts]
    in_props = [Hit(props=((bytes(text), b""),)).payload() for text in texts]
    block = encode(build_segment([*in_strings, *in_props]))
    assert block.bad_records == [(number, RecordFault.UTF8) for number in range(2 * size_bytes)]


@pytest.mark.parametrize(
    "text",
    [
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xc2\x80",
        b"\xdf\xbf",
        b"\xe0\x9f\xbf",
        b"\xe0\xa0\x80",
        b"\xed\x9f\xbf",
        b"\xed\xa0\x80",
        b"\xef\xbf\xbf",
        b"\xf0\x8f\xbf\xbf",
        b"\xf0\x90\x80\x80",
        b"\xf4\x8f\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\xf5\x80\x80\x80",
        b"\x80",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
    ],
)
def test_utf8_at_its_borders(text: bytes) -> None:
    agrees_with_the_twin([replace(Hit(), strings=(b"padding" * 3, text, *Hit().strings[2:])).payload()])


def header_with(at: int, patch: bytes) -> Callable[[bytes], bytes]:
    return lambda data: patched(data, at, patch)


@pytest.mark.parametrize(
    ("fault", "damage"),
    [
        (SegmentFault.HEADER, lambda data: b""),
        (SegmentFault.HEADER, lambda data: data[:63]),
        (SegmentFault.HEADER, header_with(0, b"X")),
        (SegmentFault.HEADER, header_with(8, b"\x02")),
        (SegmentFault.HEADER, header_with(10, b"\x80")),
        (SegmentFault.MONTH, header_with(40, struct.pack("<I", 202613))),
        (SegmentFault.MONTH, header_with(40, struct.pack("<I", 202600))),
        (SegmentFault.MONTH, header_with(40, struct.pack("<I", 196912))),
        (SegmentFault.MONTH, header_with(40, struct.pack("<I", 210601))),
        (SegmentFault.MONTH, header_with(40, b"\xff\xff\xff\xff")),
        (SegmentFault.CREATED_AT, header_with(32, struct.pack("<q", -1))),
        (SegmentFault.CREATED_AT, header_with(32, struct.pack("<q", (1 << 32) * 1000))),
    ],
)
def test_a_segment_with_a_bad_header_is_refused(fault: SegmentFault, damage: Callable[[bytes], bytes]) -> None:
    segment = build_segment([FULL])
    with pytest.raises(SegmentError) as refused:
        encode_segment(damage(segment.data), segment.offsets, segment.lengths, batch_id=BATCH_ID)
    assert refused.value.fault is fault


def test_a_segment_that_changes_meanwhile_is_refused() -> None:
    """Somebody writes into the buffer: the worst answer is SegmentError, never a read or a write outside."""
    segment = build_segment([replace(FULL, visitor_id=number % 97) for number in range(3000)])
    data = bytearray(segment.data)
    sizes = [int.from_bytes(segment.offsets[at : at + 4], "little") + 64 for at in range(0, len(segment.offsets), 4)]
    stop = threading.Event()

    def scribble() -> None:
        while not stop.is_set():
            for at in sizes[:: len(sizes) // 7]:
                # The first string grows by 256 bytes, and shrinks again.
                data[at + 1] ^= 1

    scribbler = threading.Thread(target=scribble)
    scribbler.start()
    try:
        deadline_s = time.monotonic() + 60
        seen = False
        while not seen and time.monotonic() < deadline_s:
            try:
                encode_segment(data, segment.offsets, segment.lengths, batch_id=BATCH_ID, compress=False)
            except SegmentError as refused:
                seen = refused.fault is SegmentFault.CHANGED
    finally:
        stop.set()
        scribbler.join()
    assert seen


@pytest.mark.parametrize("month", [197001, 210512])
def test_the_first_and_the_last_month(month: int) -> None:
    start_ms, _ = month_bounds_ms(month)
    hit = Hit(time_ms=start_ms)
    segment = build_segment([hit, replace(hit, time_ms=start_ms - 1)], month=month)
    block = encode(segment)
    assert block.bad_records == [(1, RecordFault.PARTITION)]
    assert sent(block) == expected([hit], segment)
