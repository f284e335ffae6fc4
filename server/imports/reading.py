"""Reading an export of events in parts: how far it has come, and what a part is.

A part is cut by the number of lines, whatever becomes of them, so it is the same part whenever reading starts at the
same position. What became of the lines is counted in the report before the part is handed out; position and report are
saved together once the part is stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from server.imports.members import Member
from server.imports.past_events import PastEvent
from server.imports.report import ImportReport


@dataclass(frozen=True, slots=True)
class Position:
    """Where reading goes on: the member, the bytes and lines of it that are done, and what its beginning told."""

    member: int = 0
    offset_bytes: int = 0
    number: int = 0
    encoding: str = ""
    section: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the app database."""
        return asdict(self)

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Position:
        """What `as_json` made."""
        return cls(**saved)

    def next_member(self) -> Position:
        """The beginning of the member after this one."""
        return Position(self.member + 1)

    def moved(self, offset_bytes: int, number: int, encoding: str = "", section: str = "") -> Position:
        """Further on in the same member."""
        return replace(self, offset_bytes=offset_bytes, number=number, encoding=encoding, section=section)


@dataclass(frozen=True, slots=True)
class Part:
    """Events, and where reading goes on behind them. `done_bytes`: of the uploaded file, for a progress bar."""

    events: list[PastEvent]
    position: Position
    done_bytes: int


class EventSource(Protocol):
    """An export whose lines are events."""

    def parts(self, position: Position, report: ImportReport, part_lines: int) -> Iterator[Part]:
        """The parts from a position on. Raises `ImportRefused`."""


def done_before(members: Sequence[Member], index: int) -> int:
    """The bytes of the members before this one."""
    return sum(member.packed_bytes for member in members[:index])


def total_bytes(members: Sequence[Member]) -> int:
    """The bytes of all members."""
    return sum(member.packed_bytes for member in members)
