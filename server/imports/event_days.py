"""Which local days the events of an import lie on, and which events are left out for their time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from server.clock import utc_date
from server.imports.past_events import PastEvent
from server.imports.report import ImportReport
from server.imports.rules import ImportRules


class EventDays:
    """Finds the local day of a time; the day of the time before is at hand."""

    def __init__(self, rules: ImportRules) -> None:
        self._rules = rules
        self._calendar = rules.calendar
        self._day = date.min
        self._start_ms = 0
        self._end_ms = 0

    def day_of(self, time_ms: int) -> date:
        """The site's local day."""
        if not self._start_ms <= time_ms < self._end_ms:
            self._day = self._calendar.day_at(time_ms)
            self._start_ms = self._calendar.start_ms(self._day)
            self._end_ms = self._calendar.start_ms(date.fromordinal(self._day.toordinal() + 1))
        return self._day

    def within(self, events: Iterable[PastEvent], report: ImportReport) -> Iterator[tuple[PastEvent, date]]:
        """The events that may be taken, with their days; the others are counted as left out."""
        for event in events:
            reason = self._left_out(event.time_ms)
            if reason:
                report.taken -= 1
                report.left_out[reason] += 1
            else:
                yield event, self.day_of(event.time_ms)

    def _left_out(self, time_ms: int) -> str:
        rules = self._rules
        if time_ms > rules.newest_ms:
            return "later than the import: was the clock wrong?"
        if time_ms < rules.oldest_ms:
            kept_from = utc_date(rules.oldest_ms)
            return f"before {kept_from}: older than the site's plan keeps"
        if rules.live_from_ms is not None and time_ms >= rules.live_from_ms:
            return f"of days from {self.day_of(rules.live_from_ms)} on, which have hits of their own"
        return ""
