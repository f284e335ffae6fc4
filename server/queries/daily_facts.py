"""Questions without filters, by at most one dimension and time, as sums over `daily` and `hourly`.

Distinct visitors of closed days are whole numbers there, so these sums are exact (see `closed_tables`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from server.closed_months import last_date, month_of
from server.queries.closed_tables import (
    ATTRIBUTES,
    HOURLY_COMPONENTS,
    NAMED,
    PAGE_COMPONENTS,
    REVENUE_COMPONENTS,
    ROLLED,
    VISIT_COMPONENTS,
    daily_sql,
    where_closed,
)
from server.queries.conditions import Scope, shown
from server.queries.dimensions import PAGE, Dimension, Level
from server.queries.facts import CLOCK_INTERVALS, FactsRequest, no_rows_sql
from server.queries.goals import GoalRule, has_wildcard
from server.queries.model import GoalLeaf
from server.queries.parameters import Parameters
from server.queries.periods import Interval
from server.queries.statements import fill, sql_text

EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

_PAGES = ("entry_page", "exit_page")
_SESSION = ("session_visits", "visit_views", "bounces", "engaged_ms")
LEAST_DATES = 3
"""Under fewer dates there are hardly more rows than numbers."""
STORED_AS = {"session_visits": "visits", "group_pageviews": "pageviews"}


@dataclass(frozen=True, slots=True)
class _Cut:
    """Which rows are enough, as `daily_sql` takes it."""

    order_by: str = ""
    limit_rows: int = 0
    most: str = ""
    numbers_below: int = 0


class DailyFacts:
    """The SQL of one request over closed days. `versions`: of each of the days to read, or numbers of imports.

    `months`: versions of the sums of whole months, by their first dates, instead of those of their days where a
    dimension has such sums.
    """

    def __init__(
        self,
        request: FactsRequest,
        days: Sequence[date],
        versions: Sequence[int],
        parameters: Parameters,
        *,
        are_imports: bool = False,
        months: Mapping[date, int] | None = None,
    ) -> None:
        self._request = request
        self._query = request.query
        self._first, self._last = days[0], days[-1]
        self._days = days
        self._versions = versions
        self._months = months or {}
        self._parameters = parameters
        self._are_imports = are_imports

    @staticmethod
    def refusal(request: FactsRequest) -> str:
        """Why whole numbers by day cannot answer it; empty when they can."""
        query = request.query
        if query.interval in CLOCK_INTERVALS:
            return "it asks by the clock"
        if any(not isinstance(each, GoalLeaf) for each in query.filters.filters):
            return "it has filters"
        values = value_dimensions(request)
        if len(values) > 1:
            return "it has several dimensions"
        if query.filters.filters and not query.has_goal_dimension:
            return "it has filters"
        if "group_visitors" in request.components:
            return "rates within groups need visits"
        if not values:
            return ""
        dimension = values[0]
        if dimension.level is Level.GOAL:
            return "" if are_names(request) else "goals that are not names of events need visits"
        if dimension.name == PAGE or dimension.column in ("event_name", *_PAGES, *ATTRIBUTES) or not dimension.column:
            return ""
        return f"{dimension.name} is not closed by day"

    def sql(self, *, order_by: str = "", limit_rows: int = 0, most: str = "", numbers_below: int = 0) -> str:
        """`SELECT d1, …, components, present`, not yet summed. The arguments are those of `daily_sql`."""
        values = value_dimensions(self._request)
        dimension = values[0] if values else None
        if dimension is None or not dimension.column:
            if dimension is not None and dimension.level is Level.GOAL:
                return self._goals()
            return self._selected("total", self._request.components, dimension)
        if dimension.name == PAGE:
            own = [name for name in self._request.components if name not in _SESSION]
            cut = _Cut(order_by, limit_rows, most, numbers_below)
            parts = [self._selected("path", own, dimension, cut)]
            others = [name for name in self._request.components if name in _SESSION]
            if others:
                parts = [self._selected("path", own, dimension)] if own else []
                parts.append(self._selected("entry_page", others, dimension, is_present=False))
            return " UNION ALL ".join(parts)
        if "group_pageviews" in self._request.components:
            own = [name for name in self._request.components if name != "group_pageviews"]
            return " UNION ALL ".join(
                (
                    self._selected(dimension.column, own, dimension),
                    self._selected("path", ["group_pageviews"], dimension, is_present=False),
                )
            )
        for name, column in STORED_AS.items():
            order_by = re.sub(rf"\b{name}\b", column, order_by)
        cut = _Cut(order_by, limit_rows, STORED_AS.get(most, most), numbers_below)
        return self._selected(dimension.column, self._request.components, dimension, cut)

    @property
    def is_of_numbers(self) -> bool:
        """Whether its values are numbers of names, of so many days that to sum them in arrays is worth it."""
        stored = {"path" if each.name == PAGE else each.column for each in value_dimensions(self._request)}
        if self._are_imports or not stored <= set(NAMED):
            return False
        dates, _ = self._rolled()
        return len(dates or self._days) >= LEAST_DATES

    @property
    def is_one_list(self) -> bool:
        """Whether each value is one row of one dimension, so that the store may keep the first few alone."""
        values = value_dimensions(self._request)
        if len(values) != 1 or self._query.interval is not None or not values[0].column:
            return False
        if values[0].name == "visit:country_name" or values[0].level is Level.GOAL:
            return False
        wants = set(self._request.components)
        return not (values[0].name == PAGE and wants & set(_SESSION)) and "group_pageviews" not in wants

    def _selected(
        self,
        stored: str,
        components: Sequence[str],
        dimension: Dimension | None,
        cut: _Cut | None = None,
        *,
        is_present: bool = True,
    ) -> str:
        """Rows of one stored dimension; components that it does not have are 0."""
        read = _columns_of(stored)
        columns = {name: STORED_AS.get(name, name) for name in components}
        columns = {name: column for name, column in columns.items() if column in read}
        # Nothing that was closed was seen by nobody; imports may know of views alone.
        counts = ("visitors", "pageviews") if self._are_imports else ("visitors",)
        wanted = list(dict.fromkeys((*columns.values(), *(counts if is_present else ()))))
        dates, versions = self._rolled() if stored in ROLLED else ([], self._versions)
        cut = cut or _Cut()
        inner = daily_sql(
            self._parameters,
            self._query.site_id,
            self._first,
            max([*dates, self._last]),
            versions,
            stored,
            wanted,
            bucket=self._bucket() if self._query.interval is not None else "",
            order_by=cut.order_by,
            limit_rows=cut.limit_rows,
            are_imports=self._are_imports,
            dates=dates,
            most=cut.most,
            numbers_below=cut.numbers_below,
        )
        return self._outer(inner, columns, dimension, _present(counts) if is_present else "0")

    def _rolled(self) -> tuple[list[date], Sequence[int]]:
        """Under which dates the rows stand, and of which versions they are; no dates: under every day."""
        if not self._months or self._query.interval not in (None, Interval.MONTH):
            return [], self._versions
        rest = [
            (day, version)
            for day, version in zip(self._days, self._versions, strict=True)
            if month_of(day) not in self._months
        ]
        dates = [day for day, _ in rest] + [last_date(month) for month in self._months]
        return dates, [version for _, version in rest] + list(self._months.values())

    def _outer(self, inner: str, columns: Mapping[str, str], dimension: Dimension | None, present: str) -> str:
        scope = Scope(lambda _: "f.value", lambda _: "f.value")
        parts = []
        for index, each in enumerate(self._query.dimensions, start=1):
            if each.level is Level.TIME:
                parts.append(f"toInt64(f.bucket) AS d{index}")
            elif each.level is Level.GOAL:
                parts.append(f"toString(f.value) AS d{index}")
            else:
                parts.append(f"toString({shown(each, scope, self._parameters)}) AS d{index}")
        parts += [
            f"toInt64({f'f.{columns[name]}' if name in columns else '0'}) AS {name}"
            for name in self._request.components
        ]
        parts.append(f"toInt64({present}) AS present")
        return f"SELECT {', '.join(parts)} FROM ({inner}) AS f"  # noqa: S608 - names of ours

    def _bucket(self) -> str:
        """The start of a day's bucket, in ms."""
        assert self._request.buckets is not None
        return day_bucket_sql(self._request, self._parameters)

    def _goals(self) -> str:
        """Goals that are names of events: their events, and their revenue."""
        goals = counted_goals(self._request)
        if not goals:
            zeros = [f"toInt64(0) AS {name}" for name in (*self._request.components, "present")]
            return no_rows_sql(self._query, zeros)
        bind = self._parameters
        listed = ", ".join(
            f"({bind.text(goal.name)}, {bind.text(goal.pattern)}, {bind.text(goal.currency)})" for goal in goals
        )
        parts = []
        for stored, components, extra in (
            ("event_name", VISIT_COMPONENTS[:4], ""),
            ("revenue", REVENUE_COMPONENTS, "AND goal.3 != '' AND currency = goal.3"),
        ):
            columns = {name: name for name in self._request.components if name in components}
            if stored == "revenue" and not columns:
                continue
            names = list(dict.fromkeys((*columns, *(("visitors",) if stored == "event_name" else ()))))
            sums = ", ".join(f"toInt64(sum({name})) AS {name}_sum" for name in names)
            bucket = f"{self._bucket()} AS bucket, " if self._query.interval is not None else ""
            where = where_closed(bind, self._query.site_id, self._first, self._last, self._versions, stored)
            inner = (
                f"SELECT {bucket}goal.1 AS value, {sums} FROM daily ARRAY JOIN [{listed}] AS goal "  # noqa: S608 - ours
                f"WHERE {where} AND daily.value = goal.2 {extra} GROUP BY {'bucket, ' if bucket else ''}goal.1"
            )
            renamed = {name: f"{name}_sum" for name in columns}
            parts.append(self._outer(inner, renamed, None, "f.visitors_sum" if stored == "event_name" else "0"))
        return " UNION ALL ".join(parts)


class HourlyFacts:
    """The SQL of one request by the hour over closed days. `until_ms`: of hours that begin before it; 0: of all."""

    def __init__(
        self,
        request: FactsRequest,
        days: Sequence[date],
        versions: Sequence[int],
        parameters: Parameters,
        until_ms: int = 0,
    ) -> None:
        self._until_ms = until_ms
        self._request = request
        self._days = days
        self._versions = versions
        self._parameters = parameters

    @staticmethod
    def refusal(request: FactsRequest) -> str:
        """Why whole numbers by the hour cannot answer it; empty when they can."""
        query = request.query
        if query.interval is not Interval.HOUR:
            return "it does not ask by the hour"
        if query.filters.filters or len(query.dimensions) > 1:
            return "hours are closed without filters and dimensions"
        wants = {STORED_AS.get(name, name) for name in request.components}
        if wants - set(HOURLY_COMPONENTS) - set(REVENUE_COMPONENTS):
            return "hours are closed without pages and goals"
        return ""

    def sql(self) -> str:
        """`SELECT d1, components, present`, not yet summed."""
        assert self._request.buckets is not None
        where = where_closed(
            self._parameters, self._request.query.site_id, self._days[0], self._days[-1], self._versions
        )
        if self._until_ms:
            where += f" AND starts_at < toDateTime({self._parameters.number(self._until_ms // 1000)}, 'UTC')"
        starts = self._parameters.numbers(self._request.buckets.starts_ms)
        parts = [f"roundDown(toInt64(toUnixTimestamp(starts_at)) * 1000, {starts}) AS d1"]
        for name in self._request.components:
            column = STORED_AS.get(name, name)
            parts.append(f"toInt64({f'h.{column}' if column in HOURLY_COMPONENTS else '0'}) AS {name}")
        parts.append("toInt64(greatest(h.visitors, h.pageviews)) AS present")
        return fill(sql_text("hourly_facts"), columns=", ".join(parts), where=where)


def value_dimensions(request: FactsRequest) -> list[Dimension]:
    """The dimensions that are not of time."""
    return [each for each in request.query.dimensions if each.level is not Level.TIME]


def counted_goals(request: FactsRequest) -> tuple[GoalRule, ...]:
    """The goals that the dimension `event:goal` counts."""
    filtered = request.query.filtered_goals
    return request.query.goals if filtered is None else filtered


def are_names(request: FactsRequest) -> bool:
    """Whether each goal that is counted is one name of a custom event."""
    return all(is_name(goal) for goal in counted_goals(request))


def is_name(goal: GoalRule) -> bool:
    """Whether a goal is one name of a custom event."""
    return goal.kind == "event" and not has_wildcard(goal.pattern) and goal.pattern != "pageview"


def day_bucket_sql(request: FactsRequest, parameters: Parameters) -> str:
    """The start in ms of the bucket that the column `day` belongs to."""
    assert request.buckets is not None
    calendar = request.query.range.calendar
    starts_ms = request.buckets.starts_ms
    numbers = [calendar.day_at(start).toordinal() - EPOCH_ORDINAL for start in starts_ms]
    bound = parameters.numbers(numbers)
    return f"transform(roundDown(toInt64(toInt32(day)), {bound}), {bound}, {parameters.numbers(starts_ms)}, toInt64(0))"


def _present(counts: Sequence[str]) -> str:
    return f"greatest({', '.join(f'f.{name}' for name in counts)}, 0)"


def _columns_of(stored: str) -> tuple[str, ...]:
    """What `daily` has of a dimension."""
    if stored == "total":
        return (*VISIT_COMPONENTS, *PAGE_COMPONENTS)
    if stored == "path":
        return (*VISIT_COMPONENTS[:4], *PAGE_COMPONENTS)
    return VISIT_COMPONENTS[:4] if stored == "event_name" else VISIT_COMPONENTS
