"""The content of a partition's object: its blocks as ClickHouse compressed them, one after the other.

| bytes | what |
|---|---|
| 8 | `FFROWS01` |
| 4 | length of the head (little-endian, like every number here) |
| so many | the head: JSON with `table`, `partition_id`, `columns` (pairs of name and type, in the order of the blocks)
|
| 4 | length of a block, |
| so many | its frames, as on the wire (`core_ext/frames.pyx`); both again for each block |
| 4 | 0: the end |

Blocks are as `server.clickhouse_tcp` receives and sends them, so neither copying nor restoring decodes a row.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import orjson
from clickhouse_cityhash.cityhash import CityHash128

from server.backups.errors import DamagedObject
from server.block_frames import HEADER_BYTES, cityhash_of, is_header

MAGIC = b"FFROWS01"
MOST_BLOCK_BYTES = 1024 * 1024 * 1024
"""ClickHouse cuts blocks at about the bytes that we ask for; no row is that large."""

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class BlockHead:
    """Of which partition the blocks are, and what is in them."""

    table: str
    partition_id: str
    columns: tuple[tuple[str, str], ...]


class BlockFileWriter:
    """Writes one to `write`."""

    def __init__(self, write: Callable[[bytes], None], head: BlockHead) -> None:
        self._write = write
        text = orjson.dumps({"table": head.table, "partition_id": head.partition_id, "columns": head.columns})
        write(MAGIC + _LENGTH.pack(len(text)) + text)
        self.blocks = 0

    def add(self, frames: Sequence[bytes]) -> None:
        """Add a block."""
        self._write(_LENGTH.pack(sum(map(len, frames))))
        for frame in frames:
            self._write(frame)
        self.blocks += 1

    def close(self) -> None:
        """Write the end."""
        self._write(_LENGTH.pack(0))


class BlockFileReader:
    """Reads one from pieces of its content. Raises `DamagedObject` with `path` where it is not one."""

    def __init__(self, content: Iterator[bytes], path: str) -> None:
        self._content = content
        self._path = path
        self._waiting = bytearray()
        if self._take(len(MAGIC)) != MAGIC:
            raise DamagedObject(path, "its content is not that of a partition")
        head = orjson.loads(self._take(*_LENGTH.unpack(self._take(4))))
        columns = tuple((str(name), str(type_)) for name, type_ in head["columns"])
        self.head = BlockHead(head["table"], head["partition_id"], columns)

    def blocks(self) -> Iterator[bytes]:
        """The frames of each block."""
        while True:
            (length,) = _LENGTH.unpack(self._take(4))
            if length == 0:
                break
            if length > MOST_BLOCK_BYTES:
                raise DamagedObject(self._path, "a block has an impossible length")
            yield self._take(length)
        if self._waiting or next(self._content, b""):
            raise DamagedObject(self._path, "something follows its end")

    def check(self, block: bytes) -> None:
        """Hold the frames of a block against their hashes."""
        at = 0
        while at < len(block):
            header = block[at : at + HEADER_BYTES]
            if len(header) < HEADER_BYTES or not is_header(header):
                raise DamagedObject(self._path, "a block is not made of frames")
            end = at + 16 + int.from_bytes(header[17:21], "little")
            if end > len(block) or CityHash128(block[at + 16 : end]) != cityhash_of(header):
                raise DamagedObject(self._path, "a frame is not what ClickHouse sent")
            at = end

    def _take(self, count: int) -> bytes:
        while len(self._waiting) < count:
            piece = next(self._content, None)
            if piece is None:
                raise DamagedObject(self._path, "it ends too early")
            self._waiting += piece
        taken = bytes(self._waiting[:count])
        del self._waiting[:count]
        return taken
