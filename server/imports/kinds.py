"""The kinds of exports, and how a file tells which it is."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from server.access_log import LineError, parse_line
from server.imports import ga4, plausible, umami
from server.imports.errors import ColumnsForeign, KindUnknown
from server.imports.lines import Lines
from server.imports.members import Member
from server.imports.rows import FIGURE_KINDS

# Lines that are looked at: a log may begin with what a client of another protocol sent.
LOOKED_AT_LINES = 20


class ImportKind(StrEnum):
    """Where a file comes from."""

    PLAUSIBLE = "plausible"
    UMAMI = "umami"
    GA4 = "ga4"
    ACCESS_LOG = "access_log"

    @property
    def shown(self) -> str:
        """For people."""
        return _SHOWN[self]

    @property
    def is_events(self) -> bool:
        """Whether its lines are events; otherwise they are figures of days."""
        return self not in FIGURE_KINDS


_SHOWN = {
    ImportKind.PLAUSIBLE: "Plausible",
    ImportKind.UMAMI: "Umami",
    ImportKind.GA4: "Google Analytics 4",
    ImportKind.ACCESS_LOG: "Access log",
}

EXPECTED = (
    "Plausible's CSV export (the zip, or files imported_….csv of it), Umami's events as CSV or JSON, a CSV of Google "
    "Analytics 4 with a Date column, or an access log in combined format"
)


def kind_of(members: Sequence[Member]) -> ImportKind:
    """What the file is. Raises `KindUnknown`; `ColumnsForeign` where it can be said what it nearly is."""
    for kind, is_of in (
        (ImportKind.PLAUSIBLE, plausible.is_of_export),
        (ImportKind.GA4, ga4.is_of_export),
        (ImportKind.UMAMI, umami.is_of_export),
        (ImportKind.ACCESS_LOG, _is_access_log),
    ):
        if any(is_of(member) for member in members):
            return kind
    for member in members:
        if columns := ga4.foreign_columns(member):
            raise ColumnsForeign(columns)
    raise KindUnknown(f"nothing in it tells what it is. Taken are: {EXPECTED}")


def _is_access_log(member: Member) -> bool:
    with member.open() as stream:
        for line in Lines(stream):
            if line.number > LOOKED_AT_LINES:
                return False
            try:
                parse_line(line.text)
            except LineError:
                continue
            return True
    return False
