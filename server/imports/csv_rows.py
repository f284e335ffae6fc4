"""The rows of a CSV file, each with the line it began on. A bad line costs itself and nothing else.

RFC 4180 with what spreadsheets do to it: the delimiter may be `;` or a tab, a quote inside an unquoted field is just a
character, rows may have blank lines between them. A quoted field may go over several lines; one that is never closed
would swallow the rest of the file, so after `MAX_ROW_LINES` the line it began on is given up alone, and reading goes on
with the next.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from server.imports.lines import Line

# Longer quoted texts are no figures: prop values have 2,000 bytes.
MAX_ROW_LINES = 50
MAX_ROW_CHARS = 256 * 1024

DELIMITERS = (",", ";", "\t")

NEVER_CLOSED = "a quote is opened and never closed"
TOO_LONG = "the line is longer than any export's"


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row, or why a line is none (`problem`). `end_bytes`, `end_number`: where reading may go on behind it."""

    number: int
    values: tuple[str, ...]
    end_bytes: int
    end_number: int
    problem: str = ""
    is_guessed: bool = False
    """Its first line was in no encoding that we know."""


class CsvRows:
    """The rows of `lines`. With `columns` a row of another width is a problem."""

    def __init__(self, lines: Iterable[Line], delimiter: str = ",", columns: int | None = None) -> None:
        self._lines = iter(lines)
        self._delimiter = delimiter
        self.columns = columns
        self._ahead: deque[Line] = deque()

    def __iter__(self) -> Iterator[CsvRow]:
        while (first := self._next()) is not None:
            if first.is_too_long:
                yield CsvRow(first.number, (), first.end_bytes, first.number, TOO_LONG)
                continue
            if first.text.strip():
                yield self._row(first)

    def _row(self, first: Line) -> CsvRow:
        values, is_open = split_row(first.text, self._delimiter)
        last = first
        if is_open:
            taken = [first]
            text = first.text
            while is_open and len(taken) < MAX_ROW_LINES and (line := self._next()) is not None:
                taken.append(line)
                text = f"{text}\n{line.text}"
                if line.is_too_long or len(text) > MAX_ROW_CHARS:
                    break
                values, is_open = split_row(text, self._delimiter)
            if is_open or not self._fits(values):
                self._ahead.extendleft(reversed(taken[1:]))
                return CsvRow(first.number, (), first.end_bytes, first.number, NEVER_CLOSED)
            last = taken[-1]
        problem = ""
        if not self._fits(values):
            problem = f"it has {len(values)} columns, the header has {self.columns}"
        return CsvRow(first.number, tuple(values), last.end_bytes, last.number, problem, first.is_guessed)

    def _fits(self, values: Sequence[str]) -> bool:
        return self.columns is None or len(values) == self.columns

    def _next(self) -> Line | None:
        return self._ahead.popleft() if self._ahead else next(self._lines, None)


def split_row(text: str, delimiter: str) -> tuple[list[str], bool]:
    """The fields of a row, and whether its last field is a quoted one that is still open."""
    if '"' not in text:
        return text.split(delimiter), False
    values: list[str] = []
    position = 0
    pattern = _field(delimiter)
    while True:
        match = pattern.match(text, position)
        assert match is not None, "every text begins with a field, be it empty"
        quoted, opened, plain = match.groups()
        if opened is not None:
            return [*values, opened], True
        values.append(plain if quoted is None else quoted.replace('""', '"'))
        position = match.end()
        if position >= len(text):
            return values, False
        position += 1


@cache
def _field(delimiter: str) -> re.Pattern[str]:
    """A closed quoted field, a quoted one that goes on after the text's end, or a plain one. Never goes back."""
    mark = re.escape(delimiter)
    return re.compile(rf'"((?:[^"]++|"")*+)"(?={mark}|\Z)|"((?:[^"]++|"")*+)\Z|([^{mark}]*+)')


def delimiter_of(header: str, known: frozenset[str]) -> str:
    """The delimiter with which most of the header's fields are known names."""

    def known_fields(delimiter: str) -> int:
        values, _ = split_row(header, delimiter)
        return sum(value.strip().lower() in known for value in values)

    return max(DELIMITERS, key=known_fields)
