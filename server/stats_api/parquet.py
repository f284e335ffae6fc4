"""Parquet files, written row group by row group: flat columns, each value there, PLAIN encoding, GZIP pages.

A row group is kept in memory until it has `ROW_GROUP_ROWS` rows; of those before it only where they stand. The format:
github.com/apache/parquet-format (README.md, Encodings.md, src/main/thrift/parquet.thrift), Thrift's compact protocol:
github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

ROW_GROUP_ROWS = 65_536

MAGIC = b"PAR1"
CREATED_BY = "Footfall"

# parquet.thrift: Type, Encoding, CompressionCodec, ConvertedType, PageType, FieldRepetitionType.
_INT32, _INT64, _BYTE_ARRAY = 1, 2, 6
_PLAIN, _RLE = 0, 3
_GZIP = 2
_REQUIRED = 0

_GZIP_WBITS = 31
_GZIP_LEVEL = 1


class ColumnType(Enum):
    """What a column holds: physical type, converted type, logical type of parquet.thrift."""

    TEXT = (_BYTE_ARRAY, 0)
    JSON = (_BYTE_ARRAY, 19)
    TIME_MS = (_INT64, 9)
    UINT64 = (_INT64, 14)
    # Also of unsigned numbers of 32 bits: INT32 has no room for them, and readers differ about UINT_32.
    INT64 = (_INT64, None)
    UINT8 = (_INT32, 11)
    UINT16 = (_INT32, 12)

    def __init__(self, physical: int, converted: int | None) -> None:
        self.physical = physical
        self.converted = converted


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the file."""

    name: str
    type: ColumnType


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Where a column of a row group stands in the file."""

    offset: int
    plain_bytes: int
    stored_bytes: int


class ParquetWriter:
    """Makes one file. Every method returns the bytes to send next, in order. Not thread-safe."""

    def __init__(self, columns: Sequence[Column], *, row_group_rows: int = ROW_GROUP_ROWS) -> None:
        self._columns = tuple(columns)
        self._row_group_rows = row_group_rows
        self._pages = [bytearray() for _ in self._columns]
        self._rows = 0
        self._offset = 0
        self._groups: list[tuple[int, list[_Chunk]]] = []

    def begin(self) -> bytes:
        """The first bytes of the file."""
        self._offset = len(MAGIC)
        return MAGIC

    def add(self, rows: Sequence[Sequence[object]]) -> bytes:
        """Take rows; the bytes of a row group once one is full, else nothing."""
        if not rows:
            return b""
        for column, page, values in zip(self._columns, self._pages, zip(*rows, strict=True), strict=True):
            page += _plain(column.type, values)
        self._rows += len(rows)
        return self._row_group() if self._rows >= self._row_group_rows else b""

    def end(self) -> bytes:
        """The last row group, and where everything stands."""
        data = self._row_group() if self._rows else b""
        footer = self._footer()
        return data + footer + struct.pack("<I", len(footer)) + MAGIC

    def _row_group(self) -> bytes:
        parts = []
        chunks = []
        for page in self._pages:
            compress = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WBITS)
            stored = compress.compress(page) + compress.flush()
            header = _page_header(self._rows, len(page), len(stored))
            parts += [header, stored]
            chunks.append(_Chunk(self._offset, len(header) + len(page), len(header) + len(stored)))
            self._offset += len(header) + len(stored)
            page.clear()
        self._groups.append((self._rows, chunks))
        self._rows = 0
        return b"".join(parts)

    def _footer(self) -> bytes:
        root = _Struct().text(4, "events").i32(5, len(self._columns))
        schema = [root, *(_schema_element(column) for column in self._columns)]
        groups = [self._group(rows, chunks) for rows, chunks in self._groups]
        total = sum(rows for rows, _ in self._groups)
        return _Struct().i32(1, 1).structs(2, schema).i64(3, total).structs(4, groups).text(6, CREATED_BY).encoded()

    def _group(self, rows: int, chunks: Sequence[_Chunk]) -> _Struct:
        columns = []
        for column, chunk in zip(self._columns, chunks, strict=True):
            about = (
                _Struct()
                .i32(1, column.type.physical)
                .i32s(2, [_PLAIN])
                .texts(3, [column.name])
                .i32(4, _GZIP)
                .i64(5, rows)
                .i64(6, chunk.plain_bytes)
                .i64(7, chunk.stored_bytes)
                .i64(9, chunk.offset)
            )
            columns.append(_Struct().i64(2, chunk.offset).struct(3, about))
        return _Struct().structs(1, columns).i64(2, sum(chunk.plain_bytes for chunk in chunks)).i64(3, rows)


def _plain(type_: ColumnType, values: Sequence[object]) -> bytes:
    if type_.physical == _BYTE_ARRAY:
        parts: list[bytes] = []
        for value in values:
            text = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]
            parts += (len(text).to_bytes(4, "little"), text)
        return b"".join(parts)
    # An unsigned number of 64 bits is stored as the signed one with the same bits.
    code = {_INT32: "i", _INT64: "Q" if type_ is ColumnType.UINT64 else "q"}[type_.physical]
    return struct.pack(f"<{len(values)}{code}", *values)


def _page_header(rows: int, plain_bytes: int, stored_bytes: int) -> bytes:
    data_page = _Struct().i32(1, rows).i32(2, _PLAIN).i32(3, _RLE).i32(4, _RLE)
    return _Struct().i32(1, 0).i32(2, plain_bytes).i32(3, stored_bytes).struct(5, data_page).encoded()


def _schema_element(column: Column) -> _Struct:
    element = _Struct().i32(1, column.type.physical).i32(3, _REQUIRED).text(4, column.name)
    if column.type.converted is not None:
        element.i32(6, column.type.converted)
    match column.type:
        case ColumnType.TEXT:
            element.struct(10, _Struct().struct(1, _Struct()))
        case ColumnType.JSON:
            element.struct(10, _Struct().struct(12, _Struct()))
        case ColumnType.TIME_MS:
            unit = _Struct().struct(1, _Struct())
            element.struct(10, _Struct().struct(8, _Struct().true(1).struct(2, unit)))
        case _:
            pass
    return element


class _Struct:
    """A Thrift struct in the compact protocol; fields are added in ascending order."""

    _TRUE, _I32, _I64, _BINARY, _LIST, _STRUCT = 1, 5, 6, 8, 9, 12

    def __init__(self) -> None:
        self._data = bytearray()
        self._last = 0

    def i32(self, number: int, value: int) -> _Struct:
        return self._field(number, self._I32, _zigzag(value))

    def i64(self, number: int, value: int) -> _Struct:
        return self._field(number, self._I64, _zigzag(value))

    def true(self, number: int) -> _Struct:
        return self._field(number, self._TRUE, b"")

    def text(self, number: int, value: str) -> _Struct:
        return self._field(number, self._BINARY, _binary(value))

    def struct(self, number: int, value: _Struct) -> _Struct:
        return self._field(number, self._STRUCT, value.encoded())

    def i32s(self, number: int, values: Iterable[int]) -> _Struct:
        return self._list(number, self._I32, [_zigzag(value) for value in values])

    def texts(self, number: int, values: Iterable[str]) -> _Struct:
        return self._list(number, self._BINARY, [_binary(value) for value in values])

    def structs(self, number: int, values: Iterable[_Struct]) -> _Struct:
        return self._list(number, self._STRUCT, [value.encoded() for value in values])

    def encoded(self) -> bytes:
        return bytes(self._data) + b"\0"

    def _list(self, number: int, type_: int, items: Sequence[bytes]) -> _Struct:
        size = bytes([len(items) << 4 | type_]) if len(items) < 15 else bytes([0xF0 | type_]) + _varint(len(items))
        return self._field(number, self._LIST, size + b"".join(items))

    def _field(self, number: int, type_: int, value: bytes) -> _Struct:
        self._data.append((number - self._last) << 4 | type_)
        self._data += value
        self._last = number
        return self


def _binary(value: str) -> bytes:
    data = value.encode()
    return _varint(len(data)) + data


def _zigzag(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)
