"""A closed day that a range cuts: yesterday until now, beside which the dashboard shows today.

Visits belong to where they began, as wholes, so the hours of `hourly` before a full hour tell all of it but how many
visitors there were, and that the visits in `sessions` tell by the hour in which they began. What lies between the full
hour that is next and the cut is stitched from `events`, of the visitors alone who did something in it. Where the next
full hour is the one after the cut, that is taken away instead of added: so it is half an hour at most.

Only days that are cut at their end, are not dirty, and have hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from server.queries.closed_tables import HOURLY_COMPONENTS, REVENUE_COMPONENTS, where_closed
from server.queries.daily_facts import STORED_AS, DailyFacts, HourlyFacts, value_dimensions
from server.queries.facts import CLOCK_INTERVALS, FactsRequest
from server.queries.parameters import Parameters
from server.queries.periods import Interval, SiteCalendar, TimeRange, buckets
from server.queries.statements import fill, sql_text
from server.queries.stitching import Returned, Stitching


@dataclass(frozen=True, slots=True)
class CutDay:
    """A closed day until `until_ms`: `hours` whole hours of its clocks, which end at `hours_end_ms`, and the rest."""

    day: date
    version: int
    hours: int
    hours_end_ms: int
    until_ms: int

    @property
    def rest(self) -> tuple[int, int]:
        """What lies between the hours and the cut: [from, until)."""
        return min(self.hours_end_ms, self.until_ms), max(self.hours_end_ms, self.until_ms)

    @property
    def has_rest(self) -> bool:
        """Whether there is anything."""
        return self.hours_end_ms != self.until_ms

    @property
    def is_less(self) -> bool:
        """Whether the hours tell of more than was asked for."""
        return self.hours_end_ms > self.until_ms


def cut_day(calendar: SiteCalendar, day: date, version: int, until_ms: int, *, is_by_hour: bool) -> CutDay:
    """The full hour that is next to the cut; where hours are told apart, the one before it."""
    whole = TimeRange.of_days(calendar, day, day)
    ends = (*buckets(whole, Interval.HOUR).starts_ms, whole.until_ms)
    before = max(index for index, at_ms in enumerate(ends) if at_ms <= until_ms)
    hours = before
    if not is_by_hour and before + 1 < len(ends) and ends[before + 1] - until_ms < until_ms - ends[before]:
        hours = before + 1
    return CutDay(day, version, hours, ends[hours], until_ms)


def cut_refusal(request: FactsRequest) -> str:
    """Why hours cannot tell of a part of a day; empty when they can."""
    if request.query.interval in CLOCK_INTERVALS:
        return HourlyFacts.refusal(request)
    refusal = DailyFacts.refusal(request)
    if refusal:
        return refusal
    wants = {STORED_AS.get(name, name) for name in request.components}
    if value_dimensions(request) or wants - set(HOURLY_COMPONENTS) - set(REVENUE_COMPONENTS):
        return "hours are closed without dimensions, pages and goals"
    return ""


class CutFacts:
    """The SQL of one request, which hours can tell, over the first part of a closed day.

    Each gives `SELECT d1, components, present`, not yet summed; d1 is the bucket of the day.
    """

    def __init__(self, request: FactsRequest, cut: CutDay, parameters: Parameters) -> None:
        self._request = request
        self._query = request.query
        self._cut = cut
        self._parameters = parameters

    def hours_sql(self) -> str:
        """Everything that its whole hours tell: all but visitors, who may come in several hours."""
        stored = set(HOURLY_COMPONENTS) - {"visitors"}
        columns = {name: STORED_AS.get(name, name) for name in self._request.components}
        return fill(
            sql_text("cut_hours"),
            columns=self._columns({name: f"sum(h.{column})" for name, column in columns.items() if column in stored}),
            where=self._where(),
            until_s=self._parameters.number(self._cut.hours_end_ms // 1000),
        )

    def visitors_sql(self) -> str:
        """The visitors of its whole hours."""
        return fill(
            sql_text("cut_visitors"),
            columns=self._columns({"visitors": "visitors"}),
            where=self._where(),
            hours=self._parameters.number(self._cut.hours),
        )

    def rest_sql(self) -> str:
        """What began, and happened, between the whole hours and the cut."""
        from_ms, until_ms = self._cut.rest
        bind = self._parameters.number
        stitching = Stitching(
            self._parameters,
            self._query.site_id,
            self._query.range.calendar,
            (self._cut.day,),
            returned=Returned(from_ms, until_ms),
        )

        def within(at: str) -> str:
            return f"({at} >= {bind(from_ms)} AND {at} < {bind(until_ms)})"

        row = {name: f"r.{stitching.column(name)}" for name in ("ms", "kind", "weight")}
        happened = f"if({within(row['ms'])}, {row['weight']}, 0)"
        sums = {
            "visits": "began * visit_weight",
            "visit_views": f"began * visit_weight * {stitching.measure('views')}",
            "bounces": f"began * visit_weight * {stitching.measure('bounced')}",
            "engaged_ms": f"began * visit_weight * {stitching.measure('engaged_ms')}",
            "pageviews": f"arraySum(r -> {happened} * ({row['kind']} = 1), rows)",
            "events": f"arraySum(r -> {happened} * ({row['kind']} < 3), rows)",
        }
        wanted = {STORED_AS.get(name, name) for name in self._request.components} & sums.keys()
        shown = {name: f"sum(p.{STORED_AS.get(name, name)})" for name in self._request.components}
        shown = {name: text for name, text in shown.items() if STORED_AS.get(name, name) in sums}
        shown["visitors"] = f"sum({within('p.first_ms')} * p.weight)"
        return fill(
            sql_text("cut_rest"),
            visits=stitching.sql(),
            began=within("started_ms"),
            sums=", ".join(
                ("max(visit_weight) AS weight", *(f"sum(toInt64({sums[name]})) AS {name}" for name in sorted(wanted)))
            ),
            columns=self._columns(shown),
        )

    def _where(self) -> str:
        cut = self._cut
        return where_closed(self._parameters, self._query.site_id, cut.day, cut.day, [cut.version])

    def _columns(self, sums: dict[str, str]) -> str:
        columns: list[str] = []
        if self._query.interval is not None:
            assert self._request.buckets is not None
            day_ms = self._query.range.calendar.start_ms(self._cut.day)
            columns.append(
                f"toInt64({self._parameters.number(_bucket_ms(self._request.buckets.starts_ms, day_ms))}) AS d1"
            )
        columns += [f"toInt64({sums.get(name, '0')}) AS {name}" for name in self._request.components]
        return ", ".join((*columns, f"toInt64({sums.get('visitors', '0')}) AS present"))


def _bucket_ms(starts_ms: Sequence[int], at_ms: int) -> int:
    """The start of the bucket that a day is in."""
    return max((start for start in starts_ms if start <= at_ms), default=starts_ms[0])
