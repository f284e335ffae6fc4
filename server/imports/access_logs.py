"""Access logs in combined format: page views with their own times, by the rules of live hits.

Each member of the file is a log. A line is a page view as `footfall replay` sees one (`server.access_log`); the others
are counted by what they are. The log's addresses and agents tell visitors apart and go no further.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from server.access_log import LineError, LogEntry, SkipReason, parse_line
from server.imports.csv_rows import TOO_LONG
from server.imports.lines import Line, Lines
from server.imports.members import Member
from server.imports.past_events import PastEvent
from server.imports.reading import Part, Position, done_before
from server.imports.report import ImportReport

WHAT = "access log in combined format"

SKIPPED = {
    SkipReason.METHOD: "requests other than GET",
    SkipReason.STATUS: "answers that were no page (errors, redirects)",
    SkipReason.ASSET: "images, styles, scripts and other files",
}

# What the core takes for a visitor whose agent is not known to be anything: browsers always send one.
NO_AGENT = "-"


class AccessLogs:
    """See the module."""

    def __init__(self, members: Sequence[Member], domain: str) -> None:
        self._members = members
        self._origin = f"https://{domain}"

    def parts(self, position: Position, report: ImportReport, part_lines: int) -> Iterator[Part]:
        """The parts from a position on."""
        while position.member < len(self._members):
            member = self._members[position.member]
            report.note_file(member.name, WHAT)
            before = done_before(self._members, position.member)
            with member.open(position.offset_bytes) as stream:
                lines = Lines(
                    stream,
                    offset_bytes=position.offset_bytes,
                    number=position.number,
                    encoding=position.encoding,
                )
                events: list[PastEvent] = []
                taken = 0
                for line in lines:
                    event = self._event(line, member.name, report)
                    if event is not None:
                        events.append(event)
                    taken += 1
                    if taken == part_lines:
                        position = position.moved(line.end_bytes, line.number, lines.encoding)
                        yield Part(events, position, before + stream.packed_done_bytes)
                        events, taken = [], 0
            position = position.next_member()
            yield Part(events, position, before + member.packed_bytes)

    def _event(self, line: Line, name: str, report: ImportReport) -> PastEvent | None:
        report.guessed_lines += line.is_guessed
        if line.is_too_long:
            report.name_problem(name, line.number, TOO_LONG)
            return None
        if not line.text.strip():
            report.left_out["empty lines"] += 1
            return None
        try:
            entry = parse_line(line.text)
        except LineError as error:
            report.name_problem(name, line.number, str(error))
            return None
        reason = entry.skip_reason
        if reason is not None:
            report.left_out[SKIPPED[reason]] += 1
            return None
        report.taken += 1
        return PastEvent(line.number, entry.time_ms, self._entry(entry))

    def _entry(self, entry: LogEntry) -> dict[str, str]:
        return {
            "n": "pageview",
            "u": self._origin + entry.target,
            "r": entry.referrer,
            "ip": entry.address,
            "user_agent": entry.agent or NO_AGENT,
        }
