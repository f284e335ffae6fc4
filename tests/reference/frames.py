"""ClickHouse's frames opened by PyPI's clickhouse-cityhash and lz4: the twin of core_ext/frames.pyx, backwards."""

from __future__ import annotations

import struct

import lz4.block
from clickhouse_cityhash.cityhash import CityHash128

_HEAD = struct.Struct("<BII")
_HASH_BYTES = 16
_LOW_64 = (1 << 64) - 1


def checksum(data: bytes) -> bytes:
    """The 16 bytes before a frame; the package returns one integer, its high half is the first word."""
    value = CityHash128(data)
    return struct.pack("<QQ", value >> 64, value & _LOW_64)


def split_frames(data: bytes) -> list[tuple[int, bytes]]:
    """(raw size, LZ4 block) of each frame; AssertionError when a checksum or a size is wrong."""
    frames = []
    at = 0
    while at < len(data):
        method, packed_bytes, raw_bytes = _HEAD.unpack_from(data, at + _HASH_BYTES)
        assert method == 0x82, f"method {method:#x} at {at}"
        framed = data[at + _HASH_BYTES : at + _HASH_BYTES + packed_bytes]
        assert len(framed) == packed_bytes, "the last frame is cut"
        assert checksum(framed) == data[at : at + _HASH_BYTES], f"checksum at {at}"
        frames.append((raw_bytes, framed[_HEAD.size :]))
        at += _HASH_BYTES + packed_bytes
    return frames


def open_frames(data: bytes) -> bytes:
    """The bytes that were framed."""
    return b"".join(lz4.block.decompress(body, uncompressed_size=raw_bytes) for raw_bytes, body in split_frames(data))
