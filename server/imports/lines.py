"""The lines of a member, numbered, each with the offset at which the next one starts.

Byte order marks are taken off, UTF-16 is read as well as UTF-8, and a line that is neither is read as Windows-1252,
which takes every byte: no line is lost to its encoding, and those that were read so are marked. Lines end with LF or CR
LF. Of a line that is longer than any export's only the beginning is kept, and reading goes on behind it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

from server.imports.members import MemberStream

# A custom event with 30 props of 2,000 bytes, quoted, is a tenth of it.
MAX_LINE_BYTES = 1024 * 1024

_READ_BYTES = 256 * 1024
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its end. `number` counts from 1, `end_bytes` is where the next line starts."""

    number: int
    text: str
    end_bytes: int
    is_guessed: bool = False
    """It was neither UTF-8 nor UTF-16."""
    is_too_long: bool = False
    """Only its beginning is in `text`."""


class Lines:
    """The lines of a stream that was opened at `offset_bytes`, of which `number` came before it.

    `offset_bytes` counts what `MemberStream` gives, so it is where a later stream may be opened; `encoding` is what the
    first line's byte order mark said, and must be given when reading starts behind it.
    """

    def __init__(self, stream: MemberStream, *, offset_bytes: int = 0, number: int = 0, encoding: str = "") -> None:
        self._stream = stream
        self.offset_bytes = offset_bytes
        self.number = number
        self.encoding = encoding
        self._buffer = bytearray()
        self._is_at_end = False
        if offset_bytes == 0:
            self._read_bom()

    def __iter__(self) -> Iterator[Line]:
        end = "\n".encode(self.encoding or "utf-8")
        while True:
            position = _find_end(self._buffer, end)
            if position < 0 and not self._is_at_end and len(self._buffer) <= MAX_LINE_BYTES:
                self._fill()
                continue
            if position < 0 and not self._buffer:
                return
            self.number += 1
            if position < 0 and not self._is_at_end:
                yield self._too_long(end)
                continue
            size = len(self._buffer) if position < 0 else position
            data = bytes(self._buffer[:size])
            taken = size if position < 0 else size + len(end)
            del self._buffer[:taken]
            self.offset_bytes += taken
            yield self._line(data)

    def _line(self, data: bytes) -> Line:
        is_guessed = False
        try:
            text = data.decode(self.encoding or "utf-8")
        except UnicodeDecodeError:
            is_guessed = True
            # Its five undefined bytes are taken as Latin-1 has them.
            text = data.decode("cp1252", "replace") if b"\x00" not in data else data.decode("latin-1")
        return Line(self.number, text.removesuffix("\r"), self.offset_bytes, is_guessed, len(data) > MAX_LINE_BYTES)

    def _too_long(self, end: bytes) -> Line:
        """Throw the rest of the line away."""
        head = bytes(self._buffer[:200])
        while True:
            position = _find_end(self._buffer, end)
            # A half of a wide character stays, so that the next search begins where one does.
            halves = 0 if self._is_at_end else len(self._buffer) % len(end)
            taken = len(self._buffer) - halves if position < 0 else position + len(end)
            del self._buffer[:taken]
            self.offset_bytes += taken
            if position >= 0 or self._is_at_end:
                return Line(self.number, head.decode("latin-1"), self.offset_bytes, is_too_long=True)
            self._fill()

    def _fill(self) -> None:
        data = self._stream.read(_READ_BYTES)
        self._buffer += data
        self._is_at_end = not data

    def _read_bom(self) -> None:
        self._fill()
        for bom, encoding in _BOMS:
            if self._buffer.startswith(bom):
                del self._buffer[: len(bom)]
                self.offset_bytes = len(bom)
                self.encoding = encoding
                return


def _find_end(buffer: bytearray, end: bytes) -> int:
    """Where a line ends; -1 when it does not yet. Of wide characters only whole ones count."""
    position = buffer.find(end)
    while position >= 0 and position % len(end):
        position = buffer.find(end, position + 1)
    return position
