"""The objects of a JSON export, one after the other, however large the file is.

| form | example |
|---|---|
| an array | `[{…}, {…}]` |
| arrays under names, as APIs answer | `{"events": [{…}], "sessions": [{…}], "count": 2}` |
| one object a line (NDJSON) | `{…}` newline `{…}` |

An object that is no valid JSON costs itself: reading goes on behind its closing brace, or, when there is none within
`MAX_OBJECT_BYTES`, on the next line that begins with one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from server.imports.members import MemberStream

# An event with 30 props of 2,000 bytes is a tenth of it.
MAX_OBJECT_BYTES = 1024 * 1024

# Names of arrays that are looked into.
SECTIONS = ("data", "events", "sessions", "event_data", "session_data")

_READ_BYTES = 256 * 1024
_WRAPPER = re.compile(rb'\s*\{\s*"(?:%b)"\s*:\s*\[' % "|".join(SECTIONS).encode())
_SECTION = re.compile(rb'"(%b)"\s*:\s*\[' % "|".join(SECTIONS).encode())
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}]|"', re.DOTALL)
_NEXT_OBJECT = re.compile(rb"\n[ \t\r]*(?=\{)")
_BOM = b"\xef\xbb\xbf"
_BETWEEN = re.compile(rb"[ \t\r\n,]+")
_JUNK_END = re.compile(rb"[\n{\]]")

NOT_JSON = "it is not valid JSON"
NOT_AN_OBJECT = "it is no JSON object"
NEVER_CLOSED = "a brace is opened and never closed"


@dataclass(frozen=True, slots=True)
class JsonObject:
    """One object, or why there is none. `number`: the line it begins on."""

    number: int
    values: dict[str, Any]
    end_bytes: int
    end_number: int
    section: str
    problem: str = ""


class JsonObjects:
    """The objects of a stream that was opened at `offset_bytes`, in `section` if the file has them."""

    def __init__(self, stream: MemberStream, *, offset_bytes: int = 0, number: int = 0, section: str = "") -> None:
        self._stream = stream
        self._offset_bytes = offset_bytes
        self._number = max(number, 1)
        self._section = section
        self._buffer = bytearray()
        self._is_wrapped = bool(section)
        self._is_fresh = offset_bytes == 0

    def __iter__(self) -> Iterator[JsonObject]:
        if self._is_fresh:
            self._begin()
        while True:
            self._skip_between()
            if not self._buffer:
                return
            first = self._buffer[:1]
            if first == b"{":
                yield self._object()
            elif first == b"[" and not self._is_wrapped:
                self._take(1)
            elif first == b"]":
                self._take(1)
                if self._is_wrapped and not self._enter_section():
                    return
            else:
                yield self._junk()

    def _begin(self) -> None:
        self._fill()
        if self._buffer.startswith(_BOM):
            self._take(len(_BOM))
        if _WRAPPER.match(self._buffer):
            self._is_wrapped = True
            self._enter_section()

    def _enter_section(self) -> bool:
        """Go on at the beginning of the next named array; False when there is none."""
        while True:
            found = _SECTION.search(self._buffer)
            if found:
                self._section = found[1].decode()
                self._take(found.end())
                return True
            # The name may be cut by the end of the buffer.
            self._take(max(0, len(self._buffer) - 64))
            if not self._fill():
                self._take(len(self._buffer))
                return False

    def _object(self) -> JsonObject:
        number = self._number
        end = self._object_end()
        if end is None:
            self._give_up_object()
            return self._result(number, {}, NEVER_CLOSED)
        data = bytes(self._buffer[:end])
        self._take(end)
        try:
            values = orjson.loads(data)
        except orjson.JSONDecodeError:
            return self._result(number, {}, NOT_JSON)
        return self._result(number, values, "")

    def _object_end(self) -> int | None:
        """Behind the closing brace of the object that the buffer begins with."""
        while True:
            depth = 0
            for token in _TOKEN.finditer(self._buffer):
                mark = token[0]
                if mark == b"{":
                    depth += 1
                elif mark == b"}":
                    depth -= 1
                    if depth == 0:
                        return token.end()
                elif mark == b'"':
                    break  # a text that is not all there
            if len(self._buffer) > MAX_OBJECT_BYTES or not self._fill():
                return None

    def _give_up_object(self) -> None:
        """Go on where a line begins with a brace, or else at the end."""
        self._take(1)
        while True:
            found = _NEXT_OBJECT.search(self._buffer)
            if found:
                self._take(found.end())
                return
            self._take(max(0, len(self._buffer) - 64))
            if not self._fill():
                self._take(len(self._buffer))
                return

    def _junk(self) -> JsonObject:
        """What stands between objects and is none: up to the end of its line, or the next brace or bracket."""
        number = self._number
        found = _JUNK_END.search(self._buffer, 1)
        while found is None and self._fill():
            found = _JUNK_END.search(self._buffer, 1)
            if found is None and len(self._buffer) > MAX_OBJECT_BYTES:
                self._take(len(self._buffer) - 1)
        self._take(found.start() if found else len(self._buffer))
        return self._result(number, {}, NOT_AN_OBJECT)

    def _result(self, number: int, values: dict[str, Any], problem: str) -> JsonObject:
        return JsonObject(number, values, self._offset_bytes, self._number, self._section, problem)

    def _skip_between(self) -> None:
        while True:
            match = _BETWEEN.match(self._buffer)
            if match:
                self._take(match.end())
            if self._buffer or not self._fill():
                return

    def _take(self, size_bytes: int) -> None:
        self._number += self._buffer.count(b"\n", 0, size_bytes)
        self._offset_bytes += size_bytes
        del self._buffer[:size_bytes]

    def _fill(self) -> bool:
        data = self._stream.read(_READ_BYTES)
        self._buffer += data
        return bool(data)
