"""CRC32C (Castagnoli), one byte at a time, and the checksums that it puts into a segment."""

from __future__ import annotations

import struct
from array import array

POLYNOMIAL = 0x82F63B78  # reversed


def _table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """The checksum of `data`."""
    value = 0xFFFFFFFF
    for byte in data:
        value = (value >> 8) ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def with_checksums(segment: bytes, offsets: bytes, lengths: bytes, *, shard: int = 0) -> bytes:
    """A segment of `tests.reference.records` with its shard and all of its CRCs filled in."""
    data = bytearray(segment)
    struct.pack_into("<I", data, 12, shard)
    struct.pack_into("<I", data, 60, crc32c(bytes(data[:60])))
    segment_id = bytes(data[16:32])
    for offset, length in zip(array("I", offsets), array("I", lengths), strict=True):
        frame = offset - 16
        checked = segment_id + data[frame + 4 : frame + 12] + data[offset : offset + length]
        struct.pack_into("<I", data, frame + 12, crc32c(bytes(checked)))
    return bytes(data)
