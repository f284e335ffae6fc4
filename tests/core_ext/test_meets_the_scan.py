"""rust_ext and core_ext meet only in bytes: what the scan hands over, the encoder takes, and both judge alike."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_ext.native import RecordFault, SegmentError, encode_segment
from rust_ext import scan_segment
from tests.core_ext.blocks import BATCH_ID, encode, expected, sent
from tests.core_ext.strategies import hits, records, shorts
from tests.reference.crc32c import with_checksums
from tests.reference.records import Hit, Segment, Short, build_segment

# What only the encoder can know, as the scan looks at one record at a time, or what it leaves to the encoder.
ONLY_THE_ENCODERS = {RecordFault.PARTITION, RecordFault.NUMBER}


def sealed(segment: Segment) -> bytes:
    return with_checksums(segment.data, segment.offsets, segment.lengths)


@given(records)
def test_the_scan_finds_what_the_twin_wrote(made: list[Hit | Short]) -> None:
    segment = build_segment(made)
    data = sealed(segment)
    scan = scan_segment(data)
    assert (scan.offsets, scan.lengths) == (segment.offsets, segment.lengths)
    assert (scan.month, scan.retention_class, scan.created_at_ms, scan.segment_id) == (
        segment.month,
        segment.retention_class,
        segment.created_at_ms,
        segment.segment_id.hex(),
    )
    block = encode_segment(data, scan.offsets, scan.lengths, batch_id=BATCH_ID, compress=False)
    has_rows = any(isinstance(record, Hit) for record in made)
    assert sent(block) == (expected(made, segment) if has_rows else b"")


@given(
    st.lists(st.one_of(hits, shorts), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=2)), min_size=1, max_size=3),
)
def test_both_judge_alike(made: list[Hit | Short], damages: list[tuple[int, bytes]]) -> None:
    """Records that a faulty writer sealed with a right CRC."""
    payloads = [bytearray(record.payload()) for record in made]
    for number, (at, patch) in enumerate(damages):
        payload = payloads[number % len(payloads)]
        at %= len(payload)
        payload[at : at + len(patch)] = patch[: len(payload) - at]
    segment = build_segment([bytes(payload) for payload in payloads])
    scan = scan_segment(sealed(segment))
    alone = encode(segment).bad_records
    refused = {position for position, fault in alone if fault not in ONLY_THE_ENCODERS}
    places = [segment.offsets[4 * number : 4 * number + 4] for number in range(len(payloads))]
    assert scan.offsets == b"".join(place for number, place in enumerate(places) if number not in refused)


def test_takes_a_mapped_file_and_lets_it_go(tmp_path: Path) -> None:
    """Also after a refusal: a view that were still held would make `close` fail."""
    path = tmp_path / "segment"
    hit = Hit().with_strings(path="/")
    segment = build_segment([hit])
    path.write_bytes(sealed(segment))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        scan = scan_segment(data)
        block = encode_segment(data, scan.offsets, scan.lengths, batch_id=BATCH_ID, compress=False)
        with pytest.raises(ValueError, match="offsets and lengths"):
            encode_segment(data, scan.offsets, b"", batch_id=BATCH_ID)
    assert sent(block) == expected([hit], segment)

    path.write_bytes(bytes(64))
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        pytest.raises(SegmentError),
    ):
        encode_segment(data, b"", b"", batch_id=BATCH_ID)
