"""Blocks as the server compressed them: where one ends is known without decoding it, and damage is found."""

from __future__ import annotations

import io
import struct
from types import SimpleNamespace

import pytest
from clickhouse_cityhash.cityhash import CityHash128
from hypothesis import given
from hypothesis import strategies as st

from server.block_frames import FULL_FRAME_BYTES, FrameDamaged, FrameReader, ReadAgain


class Source(io.BytesIO):
    """The driver's buffered reader: never gives less than was asked for."""

    def read(self, count: int | None = -1, /) -> bytes:
        data = super().read(count)
        if count is not None and len(data) < count:
            raise EOFError("the reader would wait for ever")
        return data

    def read_one(self) -> int:
        return self.read(1)[0]


def frame(content_bytes: int, body: bytes = b"body", method: int = 0x90) -> bytes:
    rest = struct.pack("<BII", method, len(body) + 9, content_bytes) + body
    hashed = CityHash128(rest)
    return struct.pack("<QQ", hashed >> 64, hashed & (2**64 - 1)) + rest


def reader_of(data: bytes) -> tuple[FrameReader, SimpleNamespace]:
    connection = SimpleNamespace(fin=Source(data))
    return FrameReader(connection), connection


PACKET = b"\x03" + bytes(40)  # a packet of progress, and what comes after it


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=4), st.integers(1, FULL_FRAME_BYTES))
def test_a_block_ends_with_its_frames(full: list[bytes], last_bytes: int) -> None:
    frames = [frame(FULL_FRAME_BYTES, body) for body in full] + [frame(last_bytes)]
    reader, connection = reader_of(frame(30) + b"".join(frames) + PACKET)
    assert reader.read().is_bare
    block = reader.read(use_numpy=None)
    assert block.frames == frames
    assert block.is_bare == (len(frames) == 1 and last_bytes == 10)
    assert connection.fin.read_one() == 3
    assert connection.fin.read(40) == bytes(40)


def test_a_last_frame_that_is_full_ends_where_the_next_packet_begins() -> None:
    # An empty block: its packet, no name of a table, and its frame.
    following = b"\x01\x00" + frame(10)
    reader, connection = reader_of(frame(30) + frame(FULL_FRAME_BYTES) + following)
    reader.read()
    assert len(reader.read().frames) == 1
    assert isinstance(connection.fin, ReadAgain)
    assert connection.fin.read_one() == 1
    assert connection.fin.read_one() == 0
    assert reader.read().is_bare


@given(st.data())
def test_a_flipped_bit_is_found(choice: st.DataObject) -> None:
    data = bytearray(frame(500, b"some bytes that were compressed") + PACKET)
    place = choice.draw(st.integers(0, len(data) - len(PACKET) - 1))
    data[place] ^= 1 << choice.draw(st.integers(0, 7))
    with pytest.raises((FrameDamaged, EOFError)):
        reader_of(bytes(data))[0].read()
