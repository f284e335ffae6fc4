"""LZ4, CityHash128 and frames, against PyPI's lz4, clickhouse-cityhash and clickhouse-driver's own streams."""

from __future__ import annotations

import random
from io import BytesIO

import lz4.block
import pytest
from clickhouse_driver.bufferedreader import BufferedSocketReader
from clickhouse_driver.streams.compressed import CompressedBlockInputStream
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.peers.driver_columns import CountingSocket, DriverColumns, driver_context
from bench.segments import traffic_segment
from bench.suites.encode import driver_values
from core_ext.frames import frame_block, hash_128, lz4_block
from core_ext.native import EVENTS_COLUMNS
from tests.core_ext.blocks import encode, rows_of, sent
from tests.reference.cityhash import cityhash128
from tests.reference.frames import checksum, open_frames, split_frames
from tests.reference.native_block import Row

# Repetitions of short runs, which is what columns look like, beside plain noise.
compressible = st.lists(st.tuples(st.binary(min_size=1, max_size=12), st.integers(1, 80)), max_size=40).map(
    lambda runs: b"".join(run * times for run, times in runs)
)
raws = st.one_of(st.binary(max_size=400), compressible)


@pytest.mark.parametrize("size", [*range(330), 1023, 1024, 1025, 65_536, 1_000_003])
def test_hash_at_every_length(size: int) -> None:
    data = random.Random(size).randbytes(size)
    assert hash_128(data) == checksum(data)
    if size < 2000:
        assert hash_128(data) == cityhash128(data)


@given(raws)
def test_hash_equals_the_package(data: bytes) -> None:
    assert hash_128(data) == checksum(data) == cityhash128(data)


def decompressed(block: bytes, raw_bytes: int) -> bytes:
    data: bytes = lz4.block.decompress(block, uncompressed_size=raw_bytes)
    return data


@settings(max_examples=400)
@given(raws)
def test_lz4_comes_back(raw: bytes) -> None:
    assert decompressed(lz4_block(raw), len(raw)) == raw


@pytest.mark.parametrize("size", range(70))
@pytest.mark.parametrize("period", [1, 3, 7, 64])
def test_lz4_at_the_borders_of_its_end_rules(size: int, period: int) -> None:
    raw = bytes(number % period for number in range(size))
    assert decompressed(lz4_block(raw), size) == raw


@pytest.mark.parametrize("distance", [4, 65_534, 65_535, 65_536, 70_000])
def test_lz4_at_the_largest_offset(distance: int) -> None:
    noise = random.Random(distance).randbytes(distance)
    raw = noise + noise[:64] + b"tail that ends the block"
    assert decompressed(lz4_block(raw), len(raw)) == raw


@pytest.mark.parametrize("run", [14, 15, 16, 254, 255, 269, 270, 271, 525, 100_000])
def test_lz4_with_long_literals_and_long_matches(run: int) -> None:
    raw = random.Random(run).randbytes(run) + bytes(run) + b"0123456789abcdef"
    assert decompressed(lz4_block(raw), len(raw)) == raw


def test_lz4_is_about_as_tight_as_the_package() -> None:
    raw = sent(encode(traffic_segment(5000)[0]))
    assert len(lz4_block(raw)) < 1.05 * len(lz4.block.compress(raw, store_size=False))


@given(raws, st.integers(1, 200))
def test_frames_come_back_whatever_their_size(raw: bytes, frame_raw_bytes: int) -> None:
    framed = frame_block(raw, frame_raw_bytes=frame_raw_bytes)
    assert open_frames(framed) == raw
    sizes = [size for size, _ in split_frames(framed)]
    assert all(size == frame_raw_bytes for size in sizes[:-1])
    assert sum(sizes) == len(raw)


@pytest.mark.parametrize("frame_raw_bytes", [0, (1 << 20) + 1])
def test_a_frame_has_a_size(frame_raw_bytes: int) -> None:
    with pytest.raises(ValueError, match="frame_raw_bytes"):
        frame_block(b"x", frame_raw_bytes=frame_raw_bytes)


def test_a_block_is_cut_into_frames_of_a_mebibyte() -> None:
    segment, _ = traffic_segment(20_000)
    sizes = [size for size, _ in split_frames(sent(encode(segment, compress=True)))]
    assert len(sizes) > 2
    assert set(sizes[:-1]) == {1 << 20}
    assert sum(sizes) == len(sent(encode(segment)))


class _Replies:
    """The receiving end of a socket that holds these bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = BytesIO(data)

    def recv_into(self, buffer: bytearray) -> int:
        return self._data.readinto(buffer)


def read_by_the_driver(data: bytes) -> list[Row]:
    context = driver_context()
    context.client_settings = {**context.client_settings, "strings_as_bytes": True}
    stream = CompressedBlockInputStream(BufferedSocketReader(_Replies(data), 1 << 16), context)
    block = stream.read()
    assert block.columns_with_types == list(EVENTS_COLUMNS)
    names = [name for name, _ in EVENTS_COLUMNS]
    return [dict(zip(names, values, strict=True)) for values in block.get_rows()]


def test_the_driver_reads_our_frames() -> None:
    segment, hits = traffic_segment(3000)
    read = read_by_the_driver(sent(encode(segment, compress=True)))
    rows = rows_of(hits, segment)
    assert len(read) == len(rows)
    for theirs, ours in zip(read, rows, strict=True):
        for name in ("site_id", "visitor_id", "load_id", "path", "hostname", "browser", "os_version", "batch_id"):
            assert theirs[name] == ours[name]
        assert theirs["props"] == dict(ours["props"])
        assert theirs["metrics"].keys() == dict(ours["metrics"]).keys()
        assert int(theirs["time"].timestamp() * 1000 + 0.5) == ours["time"]


def test_our_frames_hold_what_the_drivers_hold() -> None:
    segment, hits = traffic_segment(3000)
    socket = CountingSocket(keep=True)
    DriverColumns(EVENTS_COLUMNS, driver_values(rows_of(hits, segment)), compress=True).write(socket)
    assert socket.kept is not None
    theirs = b"".join(socket.kept)
    assert open_frames(theirs) == open_frames(sent(encode(segment, compress=True)))
    # Its frame, opened and framed again by us: same head, and the same hash by both implementations.
    assert [size for size, _ in split_frames(frame_block(open_frames(theirs)))] == [
        size for size, _ in split_frames(sent(encode(segment, compress=True)))
    ]
