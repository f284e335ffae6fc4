"""A `Query` → its answer, in the shape of Plausible's Stats API v2.

One statement per question: the sources that the plan names, added up, ordered and cut to a page by the store. What a
reader sees is computed here from its sums. A rate's total, and a comparison, are statements of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from server.clickhouse_tcp import Row
from server.queries.closed_figures import ClosedFigures
from server.queries.closed_tables import COMPONENTS
from server.queries.closed_vitals import closed_vitals_sql
from server.queries.cut_days import CutDay, CutFacts
from server.queries.daily_facts import DailyFacts, HourlyFacts
from server.queries.day_totals import DayTotals
from server.queries.dimensions import Level
from server.queries.errors import NamesAdded
from server.queries.event_facts import event_facts_sql, needs_visits
from server.queries.event_reader import MAX_RESULT_ROWS, EventReader, Ticket
from server.queries.facts import CLOCK_INTERVALS, FactsRequest, StitchedFacts, no_rows_sql
from server.queries.first_lists import FirstLists, can_tell
from server.queries.metrics import (
    GOAL_METRICS,
    METRICS,
    REVENUE_METRICS,
    SESSION_METRICS,
    AnyMetric,
    Family,
    Figure,
    Metric,
    Vital,
    VitalMetric,
    find_metric,
    rounded,
)
from server.queries.model import Order, Query, without_goals
from server.queries.money import money
from server.queries.name_numbers import NameNumbers
from server.queries.parameters import Parameters
from server.queries.periods import Buckets, TimeRange, buckets
from server.queries.planner import Part, Plan, Source, plan_facts, plan_vitals
from server.queries.session_facts import SessionFacts
from server.queries.statements import fill, sql_text
from server.queries.stitching import Returned
from server.queries.total_rows import part_of_totals, total_rows
from server.queries.vital_buckets import bucket_of, percentile, percentile_sql, upper_end
from server.queries.vital_facts import EMPTY_COUNTS, column_of, vital_facts_sql

Shown = Any
"""A value as JSON: a number, None, or an object for revenue and ratings."""

# Components that come from another answer, the same for every row.
_TOTALS = frozenset(("total_visitors",))


@dataclass(frozen=True)
class ResultRow:
    """One row of an answer."""

    dimensions: tuple[str, ...]
    metrics: tuple[Shown, ...]
    bucket_ms: int | None = None


@dataclass
class Answer:
    """Rows and what is known of them."""

    rows: list[ResultRow]
    total_rows: int = 0
    warnings: dict[str, dict[str, str]] = field(default_factory=dict)
    buckets: Buckets | None = None
    explanation: list[dict[str, Any]] = field(default_factory=list)
    has_imports: bool = False
    imports_skip_reason: str = ""


class Answerer:
    """Answers the queries of one request. `ticket`: by which it may be revoked."""

    def __init__(
        self,
        reader: EventReader,
        ticket: Ticket | None = None,
        closed: ClosedFigures | None = None,
        numbers: NameNumbers | None = None,
        day_totals: DayTotals | None = None,
        first_lists: FirstLists | None = None,
    ) -> None:
        self._reader = reader
        self._ticket = ticket
        self._closed = closed or ClosedFigures()
        self._numbers = numbers or NameNumbers(reader)
        self._day_totals = day_totals or DayTotals(reader)
        self._first_lists = first_lists or FirstLists(reader)

    def answer(self, query: Query, *, kept: Sequence[tuple[str, ...]] | None = None) -> Answer:
        """The answer to a query. `kept`: only rows with these dimensions, all of them, in any order."""
        currency, warnings = _currency(query)
        cut = None if query.interval is None else buckets(query.range, query.interval)
        facts, keys = _split(query)
        request = FactsRequest(query, tuple(facts), cut, currency)
        plan = plan_facts(request, self._closed) if facts else Plan(())
        vitals = plan_vitals(request, self._closed) if keys else Plan(())
        rows = self._rows(request, plan, vitals, keys, kept)
        totals = self._totals(query)
        answer = Answer(
            [],
            warnings=warnings,
            buckets=cut,
            explanation=plan.explanation + vitals.explanation,
            has_imports=plan.has_imports,
            imports_skip_reason=plan.imports_skip_reason,
        )
        width = len(query.dimensions)
        for row in rows:
            names = (*facts, "present", *keys) if facts else tuple(keys)
            sums = dict(zip(names, row[width:], strict=False)) | totals
            answer.rows.append(_result_row(query, row[:width], sums, cut, currency))
        if query.include.total_rows:
            answer.total_rows = rows[0][-1] if rows else self._count_rows(query, rows)
        return answer

    def _rows(
        self,
        request: FactsRequest,
        plan: Plan,
        vitals: Plan,
        keys: Mapping[str, str],
        kept: Sequence[tuple[str, ...]] | None,
    ) -> list[Row]:
        query, facts = request.query, request.components
        own = None if keys else part_of_totals(plan.parts, request)
        if own is not None:
            totals = self._day_totals.of(
                query.site_id, dict(zip(own.days, own.versions, strict=True)), self._closed.versions, self._ticket
            )
            parts = tuple(part for part in plan.parts if part is not own)
            others = self._sums_of(request, parts) if parts else []
            return total_rows(request, totals, others, is_page=kept is None)
        if kept is None and not keys and can_tell(request, plan.parts):
            rows = self._first_lists.rows(request, plan.parts, self._ticket)
            if rows is not None:
                return rows

        def ask(numbers: Callable[[], int]) -> list[Row]:
            parameters = Parameters()
            sources = _sources(plan, vitals, request, keys, parameters, kept, numbers)
            statement = _merged(query, sources, (*facts, *(["present"] if facts else [])), keys, parameters, kept)
            return self._reader.rows(statement, parameters.values, self._ticket)

        try:
            return ask(lambda: self._numbers.below(query.site_id, self._ticket))
        except NamesAdded:
            self._numbers.forget(query.site_id)
            return ask(lambda: 0)

    def _sums_of(self, request: FactsRequest, parts: tuple[Part, ...]) -> list[Row]:
        """What some parts of an answer without vitals come to, each row of it."""
        query, parameters = request.query, Parameters()
        sources = _sources(Plan(parts), Plan(()), request, {}, parameters, None, lambda: 0)
        statement = _merged(query, sources, (*request.components, "present"), {}, parameters, None, is_whole=False)
        return self._reader.rows(statement, parameters.values, self._ticket)

    def _totals(self, query: Query) -> dict[str, int]:
        """The visitors of the whole range, for percentages and conversion rates."""
        if not any(isinstance(each, Metric) and each.denominator in _TOTALS for each in query.metrics):
            return {}
        filters = query.filters
        if any(each.name in GOAL_METRICS for each in query.metrics):
            filters = without_goals(filters)
        visitors = find_metric("visitors")
        assert visitors is not None
        whole = Query(query.site_id, query.range, (visitors,), (), filters, (Order("visitors", True),), query.goals)
        return {"total_visitors": int(self.answer(whole).rows[0].metrics[0])}

    def _count_rows(self, query: Query, rows: Sequence[Any]) -> int:
        """How many rows there are when the page asked for is behind the last one."""
        if rows or not query.offset_rows:
            return len(rows)
        first = replace(query, offset_rows=0, limit_rows=1)
        return self.answer(first).total_rows


def _sources(
    plan: Plan,
    vitals: Plan,
    request: FactsRequest,
    keys: Mapping[str, str],
    parameters: Parameters,
    kept: Sequence[tuple[str, ...]] | None,
    numbers: Callable[[], int],
) -> list[str]:
    """The SQL of each part, all with the same columns."""
    query = request.query
    names = [f"d{index}" for index in range(1, len(query.dimensions) + 1)]
    sources = []
    nothing = [f"{EMPTY_COUNTS} AS {column_of(key)}" for key in keys.values()]
    for part in plan.parts:
        sql = _facts_sql(part, parameters, _first_rows(query, plan, keys, kept), numbers)
        figures = [*request.components, "present"]
        if part.begun_of is not None or part.cut is not None:
            # Here what is no news is taken away, and must be counted as what it is taken from: a value is there when
            # visitors are.
            sign = "-" if part.is_taken_away else ""
            figures = [f"{sign}s.{name} AS {name}" for name in request.components] + [f"{sign}s.visitors AS present"]
        elif len(plan.parts) == 1 and not keys:
            # Its columns are these, and each SELECT around it takes the store a millisecond to analyse.
            return [sql]
        columns = ", ".join((*names, *figures, *nothing))
        sources.append(f"SELECT {columns} FROM ({sql}) AS s")  # noqa: S608 - names of ours
    zeros = [f"toInt64(0) AS {name}" for name in (*request.components, "present")] if request.components else []
    counts = [column_of(key) for key in keys.values()]
    for part in vitals.parts:
        if part.source is Source.VITALS:
            sql = closed_vitals_sql(request, list(keys.values()), part.days, part.versions, parameters)
        else:
            sql = vital_facts_sql(request, list(keys.values()), part.days, parameters)
        sources.append(f"SELECT {', '.join((*names, *zeros, *counts))} FROM ({sql})")  # noqa: S608 - names of ours
    if not sources:
        sources.append(no_rows_sql(query, [*zeros, *nothing]))
    return sources


def _facts_sql(part: Part, parameters: Parameters, first: _First, numbers: Callable[[], int]) -> str:
    if part.cut is not None:
        return _cut_sql(part, part.cut, parameters)
    match part.source:
        case Source.DAILY:
            daily = DailyFacts(
                part.request, part.days, part.versions, parameters, are_imports=part.are_imports, months=part.months
            )
            if not first.limit_rows or not daily.is_one_list:
                return daily.sql()
            below = numbers() if first.most and daily.is_of_numbers else 0
            return daily.sql(order_by=first.order_by, limit_rows=first.limit_rows, most=first.most, numbers_below=below)
        case Source.HOURLY:
            return HourlyFacts(part.request, part.days, part.versions, parameters).sql()
        case Source.SESSIONS:
            return SessionFacts(part.request, part.days, part.versions, parameters).sql(
                order_by=first.order_by, limit_rows=first.limit_rows
            )
    if not needs_visits(part.request):
        return event_facts_sql(part.request, part.days, parameters, part.returned)
    return StitchedFacts(part.request, part.days, parameters, part.returned).sql()


def _cut_sql(part: Part, cut: CutDay, parameters: Parameters) -> str:
    """A part of a closed day that the range cuts."""
    if part.request.query.interval in CLOCK_INTERVALS:
        if part.source is Source.HOURLY:
            return HourlyFacts(part.request, part.days, part.versions, parameters, cut.hours_end_ms).sql()
        # The hour that is cut, alone.
        from_ms, until_ms = cut.rest
        query = part.request.query
        hour = replace(part.request, query=replace(query, range=TimeRange(query.range.calendar, from_ms, until_ms)))
        if not needs_visits(hour):
            return event_facts_sql(hour, part.days, parameters)
        return StitchedFacts(hour, part.days, parameters, Returned(from_ms, until_ms)).sql()
    facts = CutFacts(part.request, cut, parameters)
    match part.source:
        case Source.HOURLY:
            return facts.hours_sql()
        case Source.SESSIONS:
            return facts.visitors_sql()
    return facts.rest_sql()


@dataclass(frozen=True, slots=True)
class _First:
    """Order and number of the rows that the one source of an answer may stop at; 0 where all are needed. `most`: the
    component that they are ordered by, downwards, when it is one alone.
    """

    order_by: str = ""
    limit_rows: int = 0
    most: str = ""


def _first_rows(query: Query, plan: Plan, keys: Mapping[str, str], kept: Sequence[tuple[str, ...]] | None) -> _First:
    is_alone = len(plan.parts) == 1 and not keys and kept is None and not query.include.total_rows
    by_metrics = all(order.name in METRICS for order in query.order_by)
    if not is_alone or not by_metrics or len(query.dimensions) != 1:
        return _First()
    orders = _orders(query, ["d1"])[: len(query.order_by)]
    most = ""
    if len(query.order_by) == 1 and query.order_by[0].is_descending:
        most = _order_sql(next(each for each in query.metrics if each.name == query.order_by[0].name))
    return _First(", ".join(orders), query.limit_rows + query.offset_rows, most if most in COMPONENTS else "")


def _split(query: Query) -> tuple[list[str], dict[str, str]]:
    """The components that the metrics need, and the vitals' keys by the name of their component."""
    facts: dict[str, None] = {}
    keys: dict[str, str] = {}
    for metric in query.metrics:
        if isinstance(metric, VitalMetric):
            keys[column_of(metric.vital.key)] = metric.vital.key
            continue
        for component in metric.components:
            if component not in _TOTALS:
                facts[component] = None
    return list(facts), keys


def _merged(
    query: Query,
    sources: Sequence[str],
    facts: Sequence[str],
    keys: Mapping[str, str],
    parameters: Parameters,
    kept: Sequence[tuple[str, ...]] | None,
    *,
    is_whole: bool = True,
) -> str:
    """The statement. Not `is_whole`: only the sums, for whoever adds more to them."""
    names = [f"d{index}" for index in range(1, len(query.dimensions) + 1)]
    columns = [*names, *(f"sum(f.{name}) AS {name}" for name in facts)]
    columns += [f"sumMap(f.{name}) AS {name}" for name in keys]
    having = []
    if names and is_whole:
        present = ["present > 0"] if facts else []
        present += [f"notEmpty(mapKeys({name}))" for name in keys]
        having.append(f"({' OR '.join(present)})")
    if kept is not None:
        for index, (name, dimension) in enumerate(zip(names, query.dimensions, strict=True)):
            if dimension.level is not Level.TIME:
                having.append(f"{name} IN {parameters.texts(sorted({row[index] for row in kept}))}")
    ordered = [] if kept is not None or not is_whole else _orders(query, names)
    limited = ""
    if names and is_whole:
        limit = MAX_RESULT_ROWS if kept is not None else query.limit_rows
        limited = f"LIMIT {int(limit)} OFFSET {int(query.offset_rows)}"
    if query.include.total_rows and is_whole:
        columns.append("count() OVER () AS total_rows")
    return fill(
        sql_text("merged"),
        columns=", ".join(columns),
        sources=" UNION ALL ".join(f"({source})" if len(sources) > 1 else source for source in sources),
        grouped=f"GROUP BY {', '.join(names)}" if names else "",
        having=f"HAVING {' AND '.join(having)}" if having else "",
        ordered=f"ORDER BY {', '.join(ordered)}" if ordered else "",
        limited=limited,
    )


def _orders(query: Query, names: Sequence[str]) -> list[str]:
    """As asked; what is equal then by the dimensions, so that pages neither overlap nor leave anything out."""
    if not names:
        return []
    by_name: dict[str, str] = {each.name: name for each, name in zip(query.dimensions, names, strict=True)}
    orders = []
    for order in query.order_by:
        if order.name in by_name:
            text = by_name[order.name]
        else:
            metric = next(each for each in query.metrics if each.name == order.name)
            text = _order_sql(metric)
        orders.append(f"{text} {'DESC' if order.is_descending else 'ASC'} NULLS LAST")
    asked = {order.name for order in query.order_by}
    return orders + [f"{name} ASC" for each, name in by_name.items() if each not in asked]


def _order_sql(metric: AnyMetric) -> str:
    if isinstance(metric, Metric):
        if metric.denominator in _TOTALS:
            return metric.numerator  # the denominator is the same for every row
        return metric.order_sql
    counts = column_of(metric.vital.key)
    if metric.figure is Figure.PERCENTILE:
        return percentile_sql(counts, metric.percent)
    if metric.figure is Figure.SAMPLES:
        return f"arraySum(mapValues({counts}))"
    assert metric.vital.good is not None
    good = f"arraySum(mapValues(mapFilter((b, c) -> b <= {bucket_of(metric.vital.good)}, {counts})))"
    total = f"arraySum(mapValues({counts}))"
    return f"if({total} = 0, NULL, {good} / {total})"


def _result_row(
    query: Query, values: Sequence[Any], sums: Mapping[str, Any], cut: Buckets | None, currency: str
) -> ResultRow:
    dimensions, bucket_ms = [], None
    goal = ""
    for dimension, value in zip(query.dimensions, values, strict=True):
        if dimension.level is Level.TIME:
            assert cut is not None
            bucket_ms = int(value)
            dimensions.append(cut.label(bucket_ms))
        else:
            dimensions.append(value)
            goal = value if dimension.level is Level.GOAL else goal
    if query.has_goal_dimension:
        currency = next((each.currency for each in query.goals if each.name == goal), "")
    return ResultRow(tuple(dimensions), tuple(_shown(each, sums, currency) for each in query.metrics), bucket_ms)


def _shown(metric: AnyMetric, sums: Mapping[str, Any], currency: str) -> Shown:
    if isinstance(metric, VitalMetric):
        return _vital(metric, sums[column_of(metric.vital.key)])
    if metric.name in REVENUE_METRICS:
        if not currency:
            return None
        micros = Fraction(sums["revenue_micros"])
        if metric.denominator:
            if not sums["revenue_events"]:
                return money(Fraction(0), currency)
            micros /= sums["revenue_events"]
        return money(micros / 1_000_000, currency)
    return metric.value(sums)


def _vital(metric: VitalMetric, counts: Mapping[int, int]) -> Shown:
    total = sum(counts.values())
    if metric.figure is Figure.SAMPLES:
        return total
    if not total:
        return None
    if metric.figure is Figure.PERCENTILE:
        bucket = percentile(counts, metric.percent)
        assert bucket is not None
        return _rounded_value(metric.vital, upper_end(bucket))
    assert metric.vital.good is not None
    assert metric.vital.poor is not None
    good = sum(count for bucket, count in counts.items() if bucket <= bucket_of(metric.vital.good))
    poor = sum(count for bucket, count in counts.items() if bucket > bucket_of(metric.vital.poor))
    shares = {"good": good, "needs_improvement": total - good - poor, "poor": poor}
    return {name: rounded(Fraction(100 * count, total), 1) for name, count in shares.items()}


def _rounded_value(vital: Vital, value: float) -> float:
    return round(value, 4 if vital.name == "cls" else 1)


def _currency(query: Query) -> tuple[str, dict[str, dict[str, str]]]:
    """The currency of the revenue, and why there is none."""
    asked = [each.name for each in query.metrics if each.name in REVENUE_METRICS]
    if not asked:
        return "", {}
    goals = query.filtered_goals
    if goals is None:
        goals = query.goals if query.has_goal_dimension else ()
    currencies = sorted({goal.currency for goal in goals if goal.currency})
    if not currencies:
        code = "no_revenue_goals_matching"
        text = "Revenue metrics are null as there are no matching revenue goals."
    elif len(currencies) > 1 and not query.has_goal_dimension:
        code = "no_single_revenue_currency"
        text = "Revenue metrics are null as there are multiple currencies for the selected event:goals."
    else:
        return currencies[0], {}
    return "", {name: {"code": code, "warning": text} for name in asked}


def change(metric: AnyMetric, before: Shown, now: Shown) -> int | float | None:
    """How a value changed: percent, rounded; for rates their difference in percentage points."""
    if isinstance(before, Mapping) or isinstance(now, Mapping):
        if not (isinstance(before, Mapping) and isinstance(now, Mapping) and "value" in now):
            return None
        before, now = before["value"], now["value"]
    if before is None or now is None:
        return None
    if metric.name in GOAL_METRICS or metric.name in ("bounce_rate", "exit_rate"):
        points = rounded(Fraction(str(now)) - Fraction(str(before)), 1)
        return points if metric.name != "bounce_rate" else int(points)
    if not before:
        return 100 if now else 0
    return int(rounded((Fraction(str(now)) - Fraction(str(before))) * 100 / Fraction(str(before)), 0))


__all__ = ["SESSION_METRICS", "Answer", "Answerer", "Family", "ResultRow", "change"]
