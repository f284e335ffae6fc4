"""Reading an export whose rows are figures of days: what Plausible and Google Analytics have in common.

A row belongs to a day and is counted for each dimension that its file tells about. A row that is not what the header
promises costs itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple, Protocol

from server.clock import utc_date
from server.imports.csv_rows import CsvRows, delimiter_of, split_row
from server.imports.figures import MAX_COUNT, FigureTable
from server.imports.lines import Line, Lines
from server.imports.members import Member
from server.imports.report import ImportReport
from server.imports.rules import ImportRules

Tell = Callable[[int], None]
"""Told how many bytes of the member are done; raises to stop."""

# Rows between two looks at whether to stop.
TOLD_EVERY_ROWS = 5_000

# Lines that may stand before the header: Google Analytics writes who exported what.
MAX_LINES_BEFORE_HEADER = 30


class Header(NamedTuple):
    """A file's columns, in lower case, and how its rows are read. `lines`: before the first row, itself included."""

    columns: tuple[str, ...]
    delimiter: str
    lines: int


class FigureSource(Protocol):
    """An export whose rows are figures of days."""

    def read(self, table: FigureTable, report: ImportReport, tell: Tell) -> None:
        """Count all of it; `tell` hears of bytes of the upload. Raises `ImportRefused`, and what `tell` raises."""


class FigureProblem(ValueError):
    """A row is not what it should be; `str()` says why."""


@dataclass(frozen=True)
class FigureDays:
    """Which days are taken. `taken_days`: those that another import has figures of."""

    rules: ImportRules
    taken_days: frozenset[str]

    @cached_property
    def _live_from(self) -> str:
        live_from_ms = self.rules.live_from_ms
        return "9999" if live_from_ms is None else str(self.rules.calendar.day_at(live_from_ms))

    @cached_property
    def _oldest(self) -> str:
        return str(utc_date(self.rules.oldest_ms))

    @cached_property
    def _newest(self) -> str:
        return str(self.rules.calendar.day_at(self.rules.newest_ms))

    def left_out(self, day: str) -> str:
        """Why a day is not taken; empty when it is."""
        if day > self._newest:
            return "later than the import: was the clock wrong?"
        if day < self._oldest:
            return f"before {self._oldest}: older than the site's plan keeps"
        if day >= self._live_from:
            return f"of days from {self._live_from} on, which have hits of their own"
        if day in self.taken_days:
            return "of days of which another import has figures: remove that one first"
        return ""


def header_of(member: Member, known: frozenset[str], first: str) -> Header | None:
    """The header of a file: the first line that has the column `first` among others; None when there is none."""
    with member.open() as stream:
        lines = Lines(stream)
        for line in lines:
            if line.number > MAX_LINES_BEFORE_HEADER or line.is_too_long:
                return None
            delimiter = delimiter_of(line.text, known)
            values, _ = split_row(line.text, delimiter)
            columns = tuple(value.strip().lower() for value in values)
            if first in columns and len(columns) > 1:
                return Header(columns, delimiter, line.number)
    return None


def read_rows(
    member: Member,
    header: Header,
    report: ImportReport,
    take: Callable[[Mapping[str, str]], str],
    tell: Tell,
) -> None:
    """Hand each row to `take`, which gives why it was left out, or nothing, and raises `FigureProblem`."""
    with member.open() as stream:
        rows = CsvRows(_skip(Lines(stream), header.lines), header.delimiter, len(header.columns))
        for index, row in enumerate(rows):
            if index % TOLD_EVERY_ROWS == 0:
                tell(stream.packed_done_bytes)
            report.guessed_lines += row.is_guessed
            if row.problem:
                report.name_problem(member.name, row.number, row.problem)
                continue
            try:
                reason = take(dict(zip(header.columns, row.values, strict=True)))
            except FigureProblem as problem:
                report.name_problem(member.name, row.number, str(problem))
                continue
            if reason:
                report.left_out[reason] += 1
            else:
                report.taken += 1


def _skip(lines: Lines, number: int) -> Iterator[Line]:
    return (line for line in lines if line.number > number)


def day_of(text: str) -> str:
    """`2026-11-25` of that or of `20261125`. Raises `FigureProblem`."""
    shown = text.strip()
    if len(shown) == 8 and shown.isdecimal():
        shown = f"{shown[:4]}-{shown[4:6]}-{shown[6:]}"
    try:
        if len(shown) != 10:
            raise ValueError
        return str(date.fromisoformat(shown))
    except ValueError:
        raise FigureProblem(f"{text[:40]!r} is no date, such as 2026-11-25") from None


def number_of(values: Mapping[str, str], column: str) -> float:
    """A column's number, 0 where it is empty. Raises `FigureProblem`."""
    text = values.get(column, "").strip()
    if not text or text in ("\\N", "NULL"):
        return 0
    try:
        number = float(text)
    except ValueError:
        raise FigureProblem(f"{column} is {text[:40]!r}, which is no number") from None
    if not 0 <= number <= MAX_COUNT:
        raise FigureProblem(f"{column} is {text[:40]}; numbers from 0 to {MAX_COUNT:,} are taken")
    return number


def count_of(values: Mapping[str, str], column: str) -> int:
    """The same as a whole number."""
    return round(number_of(values, column))
