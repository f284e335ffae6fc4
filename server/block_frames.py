"""Blocks of an answer as the server compressed them, without decoding: what a backup keeps and a restore sends back.

On the wire a block is one or more frames (the byte table is in `core_ext/frames.pyx`) and nothing says how many. The
server ends a frame when it holds `FULL_FRAME_BYTES` of content, or with the block. So a frame that is not full ends its
block. A full one may too, by chance: then what follows is no frame but the next packet, and there always is one of more
than a frame's header, because an answer ends with an empty block. Each frame's CityHash128 is checked, so a misjudged
boundary, like damage on the way, raises and is never stored.

A block without rows, which opens every answer, tells of columns only; the one that ends it does not even that. Both are
known by their place: `is_bare`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Protocol

from clickhouse_cityhash.cityhash import CityHash128

FULL_FRAME_BYTES = 1_048_576
"""Content of a frame that is full: ClickHouse's DBMS_DEFAULT_BUFFER_SIZE."""
HEADER_BYTES = 25
MOST_FRAME_BYTES = 2 * FULL_FRAME_BYTES
"""No codec makes more of a full frame."""
METHODS = (0x02, 0x82, 0x90)
"""Uncompressed, LZ4, ZSTD."""
EMPTY_BLOCK_BYTES = 10
"""Content of a block with neither columns nor rows: its BlockInfo and two zeros."""

_SIZES = struct.Struct("<II")
_HASH = struct.Struct("<QQ")


class FrameDamaged(ConnectionError):
    """What came is no frame, or not the one that was sent. The connection is of no use any more; may be tried again."""


@dataclass(frozen=True, slots=True)
class FramedBlock:
    """One block. `is_bare`: it has no rows."""

    frames: list[bytes]
    is_bare: bool


class _Source(Protocol):
    def read(self, count: int) -> bytes: ...

    def read_one(self) -> int: ...


class FrameReader:
    """Takes the place of a driver connection's `block_in` for the length of one answer."""

    def __init__(self, connection: Any) -> None:
        """`connection`: of clickhouse-driver; its `fin` is read, and replaced where something was read too early."""
        self._connection = connection
        self._blocks = 0

    def read(self, use_numpy: bool | None = None) -> FramedBlock:
        """The next block; the driver calls it with an argument that does not matter here."""
        source: _Source = self._connection.fin
        frames = []
        header = source.read(HEADER_BYTES)
        while True:
            if not is_header(header):
                raise FrameDamaged("ClickHouse sent what is no frame of a block")
            size, content_bytes = _SIZES.unpack_from(header, 17)
            body = source.read(size - 9)
            if CityHash128(header[16:] + body) != cityhash_of(header):
                raise FrameDamaged("a frame of a block is not what ClickHouse sent")
            frames.append(header + body)
            if content_bytes < FULL_FRAME_BYTES:
                break
            header = source.read(HEADER_BYTES)
            if not is_header(header):
                self._connection.fin = ReadAgain(header, source)
                break
        self._blocks += 1
        ends = len(frames) == 1 and content_bytes == EMPTY_BLOCK_BYTES
        return FramedBlock(frames, is_bare=self._blocks == 1 or ends)


class ReadAgain:
    """Gives some bytes again before the rest of a source."""

    def __init__(self, head: bytes, rest: _Source) -> None:
        self._head = head
        self._rest = rest

    def read(self, count: int) -> bytes:
        """The next so many bytes."""
        taken, self._head = self._head[:count], self._head[count:]
        return taken if len(taken) == count else taken + self._rest.read(count - len(taken))

    def read_one(self) -> int:
        """The next byte."""
        return self.read(1)[0]


def is_header(header: bytes) -> bool:
    """Whether these 25 bytes can be a frame's header."""
    size, content_bytes = _SIZES.unpack_from(header, 17)
    return header[16] in METHODS and 9 < size <= MOST_FRAME_BYTES and 0 < content_bytes <= FULL_FRAME_BYTES


def cityhash_of(header: bytes) -> int:
    """The hash in a frame's header, as `CityHash128` gives it."""
    high, low = _HASH.unpack_from(header)
    return int(high) << 64 | int(low)
