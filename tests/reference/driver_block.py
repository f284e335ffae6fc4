"""A Native block in LZ4 frames, made by clickhouse-driver's own column writers: the oracle for `core_ext`'s blocks, and
what the store's tests insert when they need a block of a table that is not `events`."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import lz4.block
from clickhouse_cityhash.cityhash import CityHash128
from clickhouse_driver.bufferedwriter import CompressedBufferedWriter
from clickhouse_driver.columns.service import write_column
from clickhouse_driver.context import Context
from clickhouse_driver.varint import write_varint
from clickhouse_driver.writer import write_binary_str

FRAME_RAW_BYTES = 1024 * 1024
BLOCK_INFO = bytes.fromhex("010002ffffffff00")


class _Bytes:
    """Where the driver's buffered writer puts what it has gathered, in place of its compressor."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.parts.append(bytes(data))


class _Server:
    """What the column writers ask a context about."""

    used_revision = 54_453

    def get_timezone(self) -> str:
        return "UTC"


def bare_block(columns: Sequence[tuple[str, str]], data: Sequence[Sequence[Any]]) -> bytes:
    """The block's raw bytes at our revision, BlockInfo included."""
    context = Context()
    context.client_settings = {
        "strings_as_bytes": False,
        "strings_encoding": "utf-8",
        "use_numpy": False,
        "input_format_null_as_default": False,
        "namedtuple_as_json": False,
        "server_side_params": False,
    }
    context.server_info = _Server()
    gathered = _Bytes()
    stream = CompressedBufferedWriter(gathered, FRAME_RAW_BYTES)
    stream.write(BLOCK_INFO)
    write_varint(len(columns), stream)
    write_varint(len(data[0]) if data else 0, stream)
    for (name, type_), values in zip(columns, data, strict=True):
        write_binary_str(name, stream)
        write_binary_str(type_, stream)
        if values:
            write_column(context, name, type_, values, stream, types_check=False)
    stream.write_into_stream()
    return b"".join(gathered.parts)


def frames(raw: bytes) -> list[bytes]:
    """`raw` in compressed frames, hash first."""
    made = []
    for start in range(0, len(raw), FRAME_RAW_BYTES):
        piece = raw[start : start + FRAME_RAW_BYTES]
        body = lz4.block.compress(piece, store_size=False)
        framed = struct.pack("<BII", 0x82, len(body) + 9, len(piece)) + body
        digest = CityHash128(framed)
        made.append(struct.pack("<QQ", digest >> 64, digest & (2**64 - 1)) + framed)
    return made


def block_frames(columns: Sequence[tuple[str, str]], data: Sequence[Sequence[Any]]) -> list[bytes]:
    """The frames of one block."""
    return frames(bare_block(columns, data))
