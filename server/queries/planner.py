"""Which table answers which day of a query.

For each local day of the range, the cheapest that holds what is asked for: whole numbers by day and hour, visits, page
loads, and `events` for open days, days that the range cuts, and what closed tables do not tell. Parts add up, because
a visit and a visitor belong to one day. A dirty day is read as it was last closed. Lists with many values take the
sums of whole months where the range has each of its days, and they are sums of these days' versions.

An open day of which a part is condensed (`server.open_days`) is that part, less what the visitors who came since the
cut had until then, and all that they have now; both of it is read from `events` at once. That is exact because every
figure is a sum over visitors, whatever table it comes from. Late rows from before the cut are not counted until the
next cut. A closed day that the range cuts is its hours, and the rest of one (`cut_days`).

Days before the first event are left out where it is known (`ClosedFigures.begins_on`): there is nothing to read.

Figures of imports are whole numbers by day, so they join in where such can answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

from server.closed_days import OPEN, has_values
from server.closed_months import dates_of
from server.queries.closed_figures import Begun, ClosedFigures
from server.queries.closed_vitals import closed_vitals_refusal
from server.queries.cut_days import CutDay, cut_day, cut_refusal
from server.queries.daily_facts import DailyFacts, HourlyFacts, counted_goals, is_name, value_dimensions
from server.queries.facts import CLOCK_INTERVALS, FactsRequest
from server.queries.periods import TimeRange
from server.queries.session_facts import SessionFacts
from server.queries.stitching import Returned

MAX_RUNS = 8
"""Open days between closed ones are read in this many pieces; more of them are read as one, with what is between."""


class Source(StrEnum):
    """The tables."""

    DAILY = "daily"
    HOURLY = "hourly"
    SESSIONS = "sessions"
    VITALS = "vitals"
    EVENTS = "events"


@dataclass(frozen=True)
class Part:
    """Some days, ascending, from one table. `versions`: which rows of closed tables. `request`: what is asked of it."""

    source: Source
    days: tuple[date, ...]
    why: str
    request: FactsRequest
    versions: tuple[int, ...] = ()
    begun_of: Begun | None = None
    """Of an open day of which a part is condensed: that part."""
    is_taken_away: bool = False
    """Whether what it tells is no longer so, and is taken away from what the other parts tell."""
    are_imports: bool = False
    """Whether `versions` are numbers of imports."""
    cut: CutDay | None = None
    """Of a closed day that the range cuts."""
    months: Mapping[date, int] = field(default_factory=dict)
    """Versions of the sums of whole months, by their first dates; `days` and `versions` have their days too."""

    @property
    def is_plain(self) -> bool:
        """Whether it is of whole days of the site itself: nothing imported, condensed or cut."""
        return not self.are_imports and self.begun_of is None and self.cut is None

    @property
    def returned(self) -> Returned | None:
        """Whose events tell what is not in the condensed part; None: everybody's."""
        return None if self.begun_of is None else Returned(self.begun_of.cut_ms, is_news=True)

    def explanation(self) -> dict[str, Any]:
        """For a reader who wants to know."""
        return {
            "source": str(self.source),
            "from": self.days[0].isoformat(),
            "to": self.days[-1].isoformat(),
            "days": len(self.days),
            "why": self.why,
        }


@dataclass(frozen=True)
class Plan:
    """The parts of an answer."""

    parts: tuple[Part, ...]
    has_imports: bool = False
    imports_skip_reason: str = ""

    @property
    def explanation(self) -> list[dict[str, Any]]:
        """Part by part."""
        return [part.explanation() for part in self.parts]


@dataclass
class _Days:
    whole: list[date] = field(default_factory=list)
    large: list[date] = field(default_factory=list)
    small: list[date] = field(default_factory=list)
    open: list[date] = field(default_factory=list)
    begun: dict[date, Begun] = field(default_factory=dict)
    """Open days of which a part is condensed; they are also in `open`."""
    cut: dict[date, int] = field(default_factory=dict)
    """Closed days that the range cuts at their end, and their versions; they are also in `open`."""


def plan_facts(request: FactsRequest, closed: ClosedFigures) -> Plan:
    """How visitors, visits, views and their like are counted."""
    days = _sorted_days(request.query.range, closed)
    goals = counted_goals(request)
    names = [goal for goal in goals if is_name(goal)]
    is_split = request.query.has_goal_dimension and names and len(names) < len(goals)
    if not is_split or DailyFacts.refusal(_for_goals(request, names)):
        return _planned(request, days, closed)
    # Goals that are names of events are whole numbers by day; the others need visits, or events.
    by_name = _planned(_for_goals(request, names), days, closed)
    others = [goal for goal in goals if not is_name(goal)]
    by_visit = _planned(_for_goals(request, others), days, closed)
    return replace(by_name, parts=(*by_name.parts, *by_visit.parts))


def plan_vitals(request: FactsRequest, closed: ClosedFigures) -> Plan:
    """How page loads are counted."""
    days = _sorted_days(request.query.range, closed)
    refusal = closed_vitals_refusal(request)
    parts = []
    if not refusal:
        kept = sorted(days.large + days.small)
        if kept:
            parts.append(_part(Source.VITALS, kept, "closed page loads", request, closed))
        parts += _events(days.open, "open days", request)
    else:
        parts += _events(sorted(days.large + days.small + days.open), refusal, request)
    return Plan(tuple(parts))


def _for_goals(request: FactsRequest, goals: Sequence[Any]) -> FactsRequest:
    return replace(request, query=replace(request.query, goals=tuple(goals)))


def _sorted_days(range_: TimeRange, closed: ClosedFigures) -> _Days:
    days = _Days()
    ends = (range_.first_day, range_.last_day)
    for day in range_.days:
        known = None if day in ends else closed.versions.get(day)
        if known is not None:
            # A date that was closed has a length, and inside of the range is whole.
            days.whole.append(day)
            (days.large if has_values(known) else days.small).append(day)
            continue
        start_ms, end_ms = range_.calendar.start_ms(day), range_.calendar.start_ms(day + timedelta(days=1))
        if start_ms == end_ms:  # a date that the zone skipped
            continue
        is_whole = range_.from_ms <= start_ms and end_ms <= range_.until_ms
        if is_whole:
            days.whole.append(day)
        if closed.begins_on is not None and day < closed.begins_on and day not in closed.versions:
            continue
        version = closed.versions.get(day) if is_whole else None
        if version is None:
            days.open.append(day)
            begun = closed.begun.get(day) if is_whole else None
            # A site that changed its zone today has other rows today.
            if begun is not None and begun.starts_at_ms == start_ms and begun.cut_ms <= end_ms:
                days.begun[day] = begun
            closed_version = closed.versions.get(day, OPEN)
            is_first_part = range_.from_ms <= start_ms and closed_version != OPEN and has_values(closed_version)
            # What came late to a dirty day is in its events, and not in its hours.
            if is_first_part and day not in closed.dirty:
                days.cut[day] = closed_version
        else:
            (days.large if has_values(version) else days.small).append(day)
    if closed.begins_on is None and not (days.large or days.small or days.open):
        days.open.append(range_.first_day)
    return days


def _planned(request: FactsRequest, days: _Days, closed: ClosedFigures) -> Plan:
    query = request.query
    no_daily, no_hourly = DailyFacts.refusal(request), HourlyFacts.refusal(request)
    no_sessions = SessionFacts.refusal(request)
    parts: list[Part] = []
    rest: list[date] = list(days.open)
    small = list(days.small)
    if not no_daily:
        counted = list(days.large)
        if not value_dimensions(request):
            counted, small = sorted(days.large + days.small), []
        imports = closed.import_ids if query.include.imports else ()
        if imports and days.whole:
            parts.append(_part(Source.DAILY, days.whole, "imported figures", request, closed, imports))
        if counted:
            daily = _part(Source.DAILY, counted, "closed days, whole numbers", request, closed)
            parts.append(replace(daily, months=_months(days, closed, request.query.range)))
    elif not no_hourly:
        if days.large:
            parts.append(_part(Source.HOURLY, days.large, "closed days, whole numbers by the hour", request, closed))
    elif not no_sessions:
        small = sorted(days.large + days.small)
    else:
        rest, small = sorted([*rest, *days.large, *small]), []
    for day, begun in days.begun.items():
        parts_of_day = _begun(day, begun, request, no_daily, no_hourly, no_sessions)
        if parts_of_day:
            rest.remove(day)
            parts += parts_of_day
    for day, version in days.cut.items():
        parts_of_day = _cut(day, version, request)
        if parts_of_day:
            rest.remove(day)
            parts += parts_of_day
    why = "small closed days" if not (no_daily and no_hourly) else f"closed visits: {no_daily}"
    if small and not no_sessions:
        parts.append(_part(Source.SESSIONS, small, why, request, closed))
    elif small:
        rest = sorted(rest + small)
    parts += _events(rest, _why_events(no_daily, no_hourly, no_sessions), request)
    has_imports = any(part.are_imports for part in parts)
    return Plan(tuple(parts), has_imports, _skip_reason(request, closed, no_daily, no_hourly))


def _months(days: _Days, closed: ClosedFigures, range_: TimeRange) -> dict[date, int]:
    """The versions of the months of which the range has each day, closed as it was when the month was summed."""
    found = {}
    whole = set(days.large) | set(days.small)
    for month, rows in closed.months.items():
        theirs = [day for day in dates_of(month) if day in whole]
        missing = [day for day in dates_of(month) if day not in whole]
        # A date that the zone skipped has no length.
        if any(range_.calendar.start_ms(day) < range_.calendar.start_ms(day + timedelta(days=1)) for day in missing):
            continue
        if rows.is_of(closed.versions[day] for day in theirs):
            found[month] = rows.version
    return found


def _begun(
    day: date, begun: Begun, request: FactsRequest, no_daily: str, no_hourly: str, no_sessions: str
) -> list[Part]:
    """An open day: what is condensed of it, and what has changed by who came since.

    Nothing when the condensed part cannot answer. Visitors by whom a value is told to be there are always counted.
    """
    is_large = has_values(begun.version)
    if not no_daily and (is_large or not value_dimensions(request)):
        source = Source.DAILY
    elif not no_hourly and is_large:
        source = Source.HOURLY
    elif not no_sessions:
        source = Source.SESSIONS
    else:
        return []
    if "visitors" not in request.components:
        request = replace(request, components=(*request.components, "visitors"))
    condensed = Part(source, (day,), "the open day until lately", request, (begun.version,), begun)
    return [condensed, Part(Source.EVENTS, (day,), "who came lately", request, (), begun)]


def _cut(day: date, version: int, request: FactsRequest) -> list[Part]:
    """A closed day until some time: its whole hours, and the rest. Nothing when hours cannot answer."""
    if cut_refusal(request):
        return []
    range_, is_by_hour = request.query.range, request.query.interval in CLOCK_INTERVALS
    cut = cut_day(range_.calendar, day, version, range_.until_ms, is_by_hour=is_by_hour)
    if "visitors" not in request.components:
        request = replace(request, components=(*request.components, "visitors"))
    parts = []
    if cut.hours:
        parts.append(Part(Source.HOURLY, (day,), "whole hours of a closed day", request, (version,), cut=cut))
    if cut.hours and not is_by_hour:
        parts.append(Part(Source.SESSIONS, (day,), "visitors of these hours", request, (version,), cut=cut))
    if cut.has_rest:
        why = "less the rest of the last hour" if cut.is_less else "the rest of an hour"
        parts.append(Part(Source.EVENTS, (day,), why, request, cut=cut, is_taken_away=cut.is_less))
    return parts


def _skip_reason(request: FactsRequest, closed: ClosedFigures, no_daily: str, no_hourly: str) -> str:
    if not request.query.include.imports:
        return ""
    if not closed.import_ids:
        return "no_imported_data"
    if not no_daily:
        return ""
    return "unsupported_query" if no_hourly else "unsupported_interval"


def _why_events(no_daily: str, no_hourly: str, no_sessions: str) -> str:
    return f"closed tables do not tell: {no_sessions}" if no_daily and no_hourly and no_sessions else "open days"


def _part(
    source: Source,
    days: Sequence[date],
    why: str,
    request: FactsRequest,
    closed: ClosedFigures,
    versions: Sequence[int] | None = None,
) -> Part:
    are_imports = versions is not None
    if versions is None:
        versions = [closed.versions[day] for day in days]
    return Part(source, tuple(days), why, request, tuple(versions), are_imports=are_imports)


def _events(days: Sequence[date], why: str, request: FactsRequest) -> list[Part]:
    """Runs of days without gaps."""
    runs: list[list[date]] = []
    for day in days:
        if runs and runs[-1][-1] + timedelta(days=1) == day:
            runs[-1].append(day)
        else:
            runs.append([day])
    if len(runs) > MAX_RUNS:
        runs = [list(days)]
    return [Part(Source.EVENTS, tuple(run), why, request) for run in runs]
