"""The figures of an export of days, added up by day, dimension and value, in a file that ends with the process.

Exports have a row for each combination of attributes, in any order and in several files; what is stored is one row for
each value. Millions of them are no burden to memory here.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path

from server.queries.closed_tables import MOST_VALUES, OTHER

COUNTS = (
    "visitors",
    "visits",
    "pageviews",
    "events",
    "visit_views",
    "bounces",
    "engaged_ms",
    "page_engaged_ms",
    "page_visits",
    "scroll_percent",
    "scrolled_pages",
)
"""What is counted of a value on a day; the columns of `imported_figures`."""

TOTAL = "total"
"""The dimension of what is counted of the day as a whole. Its value is empty."""

# A value is a path or a name: events have the same limit.
MAX_VALUE_BYTES = 2_000

# Of one export's value on one day. A sum of as many rows as there may be stays within 64 bits.
MAX_COUNT = 10**13

_WRITES_A_COMMIT = 20_000

_OF_DAY = "SELECT * FROM figures WHERE day = ? ORDER BY dimension, visitors DESC, pageviews DESC, value"


@dataclass(frozen=True, slots=True)
class Figure:
    """What a day has of one value. `counts` in the order of `COUNTS`."""

    dimension: str
    value: str
    counts: tuple[int, ...]


class FigureTable:
    """See the module."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.NamedTemporaryFile(dir=folder, suffix=".lookup")  # noqa: SIM115 - closed in `close`
        self._database = sqlite3.connect(self._file.name, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA synchronous=OFF")
        columns = ", ".join(f"{name} INTEGER NOT NULL" for name in COUNTS)
        self._database.execute(
            f"CREATE TABLE figures (day TEXT, dimension TEXT, value TEXT, {columns}, "
            "PRIMARY KEY (day, dimension, value)) WITHOUT ROWID"
        )
        marks = ", ".join("?" * (3 + len(COUNTS)))
        sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in COUNTS)
        self._add = f"INSERT INTO figures VALUES ({marks}) ON CONFLICT DO UPDATE SET {sums}"  # noqa: S608 - our names
        self._writes = 0

    def add(self, day: str, dimension: str, value: str, counts: Mapping[str, int]) -> None:
        """Count something of a value, by the names of `COUNTS`."""
        shown = value.encode()[:MAX_VALUE_BYTES].decode("utf-8", "ignore")
        self._database.execute(self._add, (day, dimension, shown, *(counts.get(name, 0) for name in COUNTS)))
        self._writes += 1
        if self._writes % _WRITES_A_COMMIT == 0:
            self._database.commit()

    def days(self) -> list[str]:
        """The days that have figures, the first one first."""
        return [day for (day,) in self._database.execute("SELECT DISTINCT day FROM figures ORDER BY day")]

    def of_day(self, day: str, most_values: int = MOST_VALUES) -> Iterator[Figure]:
        """A day's figures by dimension; values beyond the `most_values` with the most visitors are one, `(other)`."""
        rows = self._database.execute(_OF_DAY, (day,))
        for dimension, values in groupby(rows, key=itemgetter(1)):
            for row in islice(values, most_values):
                yield Figure(dimension, row[2], tuple(row[3:]))
            rest = [sum(counts) for counts in zip(*(row[3:] for row in values), strict=True)]
            if rest:
                yield Figure(dimension, OTHER, tuple(rest))

    def close(self) -> None:
        """Give the file back."""
        with closing(self._file), closing(self._database):
            pass
