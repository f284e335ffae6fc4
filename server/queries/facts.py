"""Stitched visits → the sums that a query is made of.

Each visit gives *facts*, tuples of the dimensions' values and of measures: one for the visit itself; one for each event
that matches, where dimensions tell events of one visit apart; one for each view or report of a page, where pages are
asked about. They are summed in levels: within a page of a visit, within a visit, within a visitor's day, then in all. A
measure that counts distinct things is a maximum up to the level of that thing, and a sum above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from server.queries.conditions import admitted, condition, reaches, shown
from server.queries.dimensions import GOAL, PAGE, Dimension, Level
from server.queries.goals import GoalRule
from server.queries.model import Every, Filter, GoalLeaf, Leaf, Query, leaves, without_goals
from server.queries.parameters import Parameters
from server.queries.periods import Buckets, Interval, TimeRange
from server.queries.statements import fill, sql_text
from server.queries.stitching import Returned, Stitching

# The keys of the levels, from the finest to the coarsest, beside those that tell people apart. The query's
# dimensions come before each, and are alone on the last one.
_LEVELS = (("visit_number", "page"), ("visit_number",), (), None)
_PAGE, _VISIT, _VISITOR = range(3)

# Component → the level up to which it is a maximum. What is not here is a sum throughout.
_DISTINCT = {
    "page_visits": _PAGE,
    "scroll_percent": _PAGE,
    "scrolled_pages": _PAGE,
    "visits": _VISIT,
    "visitors": _VISITOR,
    "group_visitors": _VISITOR,
}

_OF_WHOLE_VISITS = frozenset(("session_visits", "visit_views", "bounces", "engaged_ms"))
OF_PAGES = frozenset(("page_engaged_ms", "page_visits", "scroll_percent", "scrolled_pages"))
_OF_REVENUE = frozenset(("revenue_micros", "revenue_events"))

# Sum over whole visits → the fact of a visit that it is of (none: 1), and whether it is weighed already.
_SUMS_OF_VISITS = {
    "visitors": ("most_weight", True),
    "visits": ("", False),
    "session_visits": ("", False),
    "pageviews": ("weighed_views", True),
    "events": ("weighed_events", True),
    "visit_views": ("views", False),
    "bounces": ("bounced", False),
    "engaged_ms": ("engaged_ms", False),
    "present": ("", False),
}

CLOCK_INTERVALS = (Interval.MINUTE, Interval.HOUR)


def no_rows_sql(query: Query, columns: Sequence[str]) -> str:
    """`SELECT d1, …, columns` without a row. `columns`: SQL with names."""
    values = [
        f"{'toInt64(0)' if each.level is Level.TIME else repr('')} AS d{index}"
        for index, each in enumerate(query.dimensions, start=1)
    ]
    return f"SELECT {', '.join((*values, *columns))} WHERE 0"


def tells_events_apart(filter_: Filter) -> bool:
    """Whether a filter may hold for one event of a visit and not for another."""
    return any(
        isinstance(leaf, GoalLeaf) or leaf.dimension.level is Level.EVENT
        for leaf in leaves(filter_, behind_has_done=False)
    )


def _is_about_pages(filter_: Filter) -> bool:
    """Whether it asks nothing of an event but where it happened."""
    return all(
        isinstance(leaf, Leaf)
        and (leaf.dimension.level is not Level.EVENT or leaf.dimension.name in (PAGE, "event:hostname"))
        for leaf in leaves(filter_, behind_has_done=False)
    )


@dataclass(frozen=True)
class FactsRequest:
    """What a statement has to count. `currency`: of the revenue; with goals as a dimension each has its own."""

    query: Query
    components: tuple[str, ...]
    buckets: Buckets | None
    currency: str = ""


class StitchedFacts:
    """The SQL of one request over the events of some days."""

    def __init__(
        self, request: FactsRequest, days: Sequence[date], parameters: Parameters, returned: Returned | None = None
    ) -> None:
        self._query = request.query
        self._request = request
        self._parameters = parameters
        self._wants = frozenset(request.components)
        self._stitching = Stitching(
            parameters,
            request.query.site_id,
            request.query.range.calendar,
            days,
            keeps_strays=bool(self._wants & OF_PAGES),
            returned=returned,
            # Views of a page count for its rate of exits, whatever else is asked.
            filters=() if "group_pageviews" in self._wants else request.query.filters.filters,
        )
        self._visit = self._stitching.scope()
        self._row = self._stitching.scope("x")

    def sql(self) -> str:
        """`SELECT d1, d2, …, visitors, pageviews, …, present`, grouped by the dimensions."""
        if self._is_of_whole_visits:
            return self._whole_visits_sql()
        filters = self._query.filters
        base = without_goals(filters) if "group_visitors" in self._wants else filters
        facts = ", ".join(self._facts())
        parts = {
            "matched": self._rows(self._matching(filters)),
            "grouped": self._rows(self._matching(base)) if "group_visitors" in self._wants else "[]",
            "paged": self._rows(self._on_page()) if self._wants & OF_PAGES else "[]",
            "viewed": self._rows(all_of([f"{self._row_column('kind')} = 1", self._cut(self._row_column("ms"))]))
            if "group_pageviews" in self._wants
            else "[]",
            "about_visit": self._about_visit(base),
        }
        levels = self._levels()
        columns = self._columns()
        text = fill(
            sql_text("visit_facts"),
            visits=self._stitching.sql(),
            facts=facts,
            columns=columns,
            keys=", ".join(self._stitching.keys),
            **parts,
        )
        for level in levels:
            text = self._summed(text, level)
        return text

    # -- whole visits --------------------------------------------------------------------------------------------

    @property
    def _is_of_whole_visits(self) -> bool:
        """Whether events of a visit need not be told apart."""
        return (
            self._wants <= _SUMS_OF_VISITS.keys()
            and not self._is_exploded
            and not self._started_in_range
            and not any(tells_events_apart(each) for each in self._query.filters.filters)
        )

    def lists_sql(self, columns: Sequence[str]) -> str:
        """`SELECT dimension, value, visitors`, one row for each value of each of several attributes of visits; they are
        stitched once. Only for whole days, and filters that hold for visits.
        """
        assert self._is_of_whole_visits
        pairs = ", ".join(f"('{column}', toString({self._visit.visit(column)}))" for column in columns)
        values = [("pair.1", "dimension"), ("pair.2", "value")]
        return self._visit_sums_sql([(f"arrayJoin([{pairs}])", "pair"), *values], ("dimension", "value"), ("visitors",))

    def _whole_visits_sql(self) -> str:
        texts = [
            f"toInt64({value})" if each.level is Level.TIME else f"toString({value})"
            for each, value in zip(self._query.dimensions, self._visit_values(), strict=True)
        ]
        return self._visit_sums_sql(list(zip(texts, self._names, strict=True)), self._names, self._measures)

    def _visit_sums_sql(self, values: Sequence[tuple[str, str]], keys: Sequence[str], components: Sequence[str]) -> str:
        """Visits, grouped by keys; `values`: SQL and names of what keys are made of."""
        about_visit = all_of([condition(each, self._visit, self._parameters) for each in self._query.filters.filters])
        measures, sums = [], []
        for name in components:
            measure, is_weighed = _SUMS_OF_VISITS[name]
            value = f"visits.{self._stitching.measure(measure)}" if measure else "toInt64(1)"
            measures.append(f"{value if is_weighed else f'{value} * visits.visit_weight'} AS m_{name}")
            sums.append(
                f"{self._distinct_visitors() if name == 'visitors' else self._signed_sum(f'm_{name}')} AS {name}"
            )
        return fill(
            sql_text("visit_sums"),
            visits=self._stitching.sql(),
            columns=", ".join((*keys, *sums)),
            values="".join(f"{text} AS {name}, " for text, name in values),
            measures=", ".join(measures),
            keys=", ".join(self._stitching.keys),
            about_visit=about_visit,
            grouped=f"GROUP BY {', '.join(keys)}" if keys else "",
        )

    def _signed_sum(self, value: str) -> str:
        return f"sum({value} * sign)" if self._stitching.is_news else f"sum({value})"

    def _distinct_visitors(self) -> str:
        """Who came once that day is counted at once, who came again once a day."""

        def again(condition: str) -> str:
            return f"arraySum(mapValues(maxMapIf(map(cityHash64(day_ms, visitor_id), m_visitors), {condition})))"

        if not self._stitching.is_news:
            return f"toInt64(sumIf(m_visitors, NOT came_again) + {again('came_again')})"
        several = f"{again('came_again AND sign > 0')} - {again('came_again AND sign < 0')}"
        return f"toInt64(sumIf(m_visitors * sign, NOT came_again) + {several})"

    # -- which rows ----------------------------------------------------------------------------------------------

    @property
    def _is_exploded(self) -> bool:
        """Whether dimensions tell events of one visit apart."""
        return self._has_event_dimension or self._query.interval in CLOCK_INTERVALS

    @property
    def _has_event_dimension(self) -> bool:
        return any(each.level in (Level.EVENT, Level.GOAL) for each in self._query.dimensions)

    @property
    def _counted_goals(self) -> tuple[GoalRule, ...]:
        """Those that the dimension `event:goal` counts."""
        filtered = self._query.filtered_goals
        return self._query.goals if filtered is None else filtered

    def _row_column(self, name: str) -> str:
        assert self._row.event is not None
        return self._row.event(name)

    @staticmethod
    def _rows(test: str) -> str:
        return f"arrayFilter(x -> {test}, visits.rows)"

    def _cut(self, at: str) -> str:
        return time_cut(self._query.range, at, self._parameters)

    @property
    def _started_in_range(self) -> str:
        """Whole visits belong to where they began, also where a range cuts a day."""
        return self._cut("visits.started_ms")

    def _goals_of(self, filters: Every) -> tuple[GoalRule, ...]:
        if self._query.has_goal_dimension:
            return self._counted_goals
        found = (leaf.goals for leaf in leaves(filters, behind_has_done=False) if isinstance(leaf, GoalLeaf))
        return tuple(dict.fromkeys(goal for goals in found for goal in goals))

    def _matching(self, filters: Every) -> str:
        """Whether a row is an event that matches."""
        parts = [admitted(self._row, self._goals_of(filters), self._parameters), self._cut(self._row_column("ms"))]
        if self._stitching.keeps_strays:
            parts.append("visits.visit_number > 0")
        parts += [condition(each, self._row, self._parameters) for each in filters.filters if tells_events_apart(each)]
        return all_of(parts)

    def _about_visit(self, filters: Every) -> str:
        """What every fact of a visit has to fulfil."""
        return all_of(
            [condition(each, self._visit, self._parameters) for each in filters.filters if not tells_events_apart(each)]
        )

    def _on_page(self) -> str:
        """Whether a view or report counts for its page. What is not about the page, some event of the visit fulfils."""
        parts = [f"{self._row_column('kind')} != 2", self._cut(self._row_column("ms"))]
        for each in self._query.filters.filters:
            if tells_events_apart(each):
                is_here = _is_about_pages(each)
                parts.append(condition(each, self._row, self._parameters) if is_here else self._done(each))
        return all_of(parts)

    def _done(self, filter_: Filter) -> str:
        assert self._visit.any_event is not None
        goals = self._goals_of(Every((filter_,)))
        return self._visit.any_event(
            lambda row: all_of([admitted(row, goals, self._parameters), condition(filter_, row, self._parameters)])
        )

    # -- the facts -----------------------------------------------------------------------------------------------

    def _facts(self) -> list[str]:
        """SQL of the arrays of facts."""
        arrays: list[str] = []
        whole = self._whole_visit()
        if whole:
            rows = "grouped" if "group_visitors" in self._wants and not self._is_exploded else "matched"
            is_there = f"notEmpty({rows})"
            if self._is_exploded:
                is_there = all_of([is_there, self._started_in_range])
            arrays.append(f"if({is_there}, [{self._fact(self._visit_values(), whole)}], [])")
        if self._is_exploded:
            arrays.append(self._event_facts())
        if self._wants & OF_PAGES:
            arrays.append(self._page_facts())
        if "group_pageviews" in self._wants:
            path = self._row_column("path")
            weight = self._row_column("weight")
            fact = self._fact([path for _ in self._query.dimensions], {"group_pageviews": weight})
            arrays.append(f"arrayMap(x -> {fact}, viewed)")
        return arrays

    def _whole_visit(self) -> dict[str, str]:
        """The measures of the fact that stands for a visit."""
        weight = "visits.visit_weight"
        measures: dict[str, str] = {}
        if self._wants & _OF_WHOLE_VISITS:
            measures = {"session_visits": weight}
            for name, measure in (("visit_views", "views"), ("bounces", "bounced"), ("engaged_ms", "engaged_ms")):
                if name in self._wants:
                    measures[name] = f"{self._stitching.measure(measure)} * {weight}"
            if self._started_in_range and not self._is_exploded:
                measures = {name: f"{self._started_in_range} * {value}" for name, value in measures.items()}
        if not self._has_event_dimension and "visits" in self._wants:
            measures["visits"] = weight
        if not self._is_exploded:
            kind, of_row = self._row_column("kind"), self._row_column("weight")
            matched = {
                "visitors": f"arrayMax(x -> {of_row}, matched)",
                "pageviews": f"arraySum(x -> ({kind} = 1) * {of_row}, matched)",
                "events": f"arraySum(x -> {of_row}, matched)",
            }
            if self._wants & _OF_REVENUE:
                matched |= {
                    name: f"arraySum(x -> {value}, matched)"
                    for name, value in self._revenue(self._parameters.text(self._request.currency)).items()
                }
            if "group_visitors" in self._wants:
                measures = {name: f"notEmpty(matched) * {value}" for name, value in measures.items()}
                matched = {name: f"if(notEmpty(matched), {value}, 0)" for name, value in matched.items()}
                measures["group_visitors"] = f"arrayMax(x -> {of_row}, grouped)"
            measures |= matched
        if measures:
            measures["present"] = "0" if self._has_event_dimension else "notEmpty(matched)"
        return measures

    def _event_facts(self) -> str:
        """One for each event that matches; for rates within groups one for each that might have."""
        is_group = "group_visitors" in self._wants
        weight, kind = self._row_column("weight"), self._row_column("kind")
        hit = f"({self._matching(self._query.filters)})" if is_group else "1"
        goal = ""
        if self._query.has_goal_dimension:
            goal = "g.1"
            hit = f"g.2 * {hit}" if is_group else "1"
        measures = {
            "visitors": f"{weight} * {hit}",
            "pageviews": f"({kind} = 1) * {weight} * {hit}",
            "events": f"{weight} * {hit}",
            "present": hit,
        }
        if self._has_event_dimension:
            measures["visits"] = f"visits.visit_weight * {hit}"
        if is_group:
            measures["group_visitors"] = weight
        if self._wants & _OF_REVENUE:
            currency = "g.3" if goal else self._parameters.text(self._request.currency)
            measures |= {name: f"{value} * {hit}" for name, value in self._revenue(currency).items()}
        fact = self._fact([self._of_row(each) for each in self._query.dimensions], measures)
        rows = "grouped" if is_group else "matched"
        if not goal:
            return f"arrayMap(x -> {fact}, {rows})"
        reached = ", ".join(
            f"({self._parameters.text(each.name)}, toUInt8({reaches(each, self._row, self._parameters)}), "
            f"{self._parameters.text(each.currency)})"
            for each in self._counted_goals
        )
        if not reached:
            return "[]"
        goals = f"[{reached}]" if is_group else f"arrayFilter(g -> g.2, [{reached}])"
        return f"arrayFlatten(arrayMap(x -> arrayMap(g -> {fact}, {goals}), {rows}))"

    def _revenue(self, currency: str) -> dict[str, str]:
        is_of_currency = f"({self._row_column('revenue_currency')} = {currency} AND {currency} != '')"
        counted = f"{is_of_currency} * {self._row_column('weight')}"
        return {"revenue_micros": f"{self._row_column('revenue_micros')} * {counted}", "revenue_events": counted}

    def _page_facts(self) -> str:
        """Views count visits of a page, reports its engaged time and, within a visit, the deepest scroll."""
        weight = "visits.visit_weight"
        scroll = self._row_column("scroll")
        in_visit = "visits.visit_number > 0"
        measures = {
            "page_engaged_ms": f"{self._row_column('engaged_ms')} * {weight}",
            "page_visits": f"({self._row_column('kind')} = 1) * {weight}",
            # At this level, of one visit's page: the deepest, weighed, and whether there was any.
            "scroll_percent": f"if({in_visit}, greatest({scroll}, 0) * {weight}, 0)",
            "scrolled_pages": f"({in_visit} AND {scroll} >= 0) * {weight}",
        }
        fact = self._fact([self._of_row(each) for each in self._query.dimensions], measures, self._row_column("path"))
        return f"arrayMap(x -> {fact}, paged)"

    # -- their values --------------------------------------------------------------------------------------------

    def _bucket(self, at: str) -> str:
        assert self._request.buckets is not None
        moment = at if self._query.interval in CLOCK_INTERVALS else "visits.day_ms"
        return f"roundDown({moment}, {self._parameters.numbers(self._request.buckets.starts_ms)})"

    def _visit_values(self) -> list[str]:
        """A visit's fact stands at the page, and the host, on which it began."""
        values = []
        for each in self._query.dimensions:
            if each.level is Level.TIME:
                values.append(self._bucket("visits.started_ms"))
            elif each.level is Level.EVENT:
                values.append(self._visit.visit("entry_page" if each.name == PAGE else "visit_hostname"))
            else:
                values.append(shown(each, self._visit, self._parameters))
        return values

    def _of_row(self, dimension: Dimension) -> str:
        if dimension.level is Level.TIME:
            return self._bucket(self._row_column("ms"))
        return "g.1" if dimension.name == GOAL else shown(dimension, self._row, self._parameters)

    def _fact(self, values: Sequence[str], measures: Mapping[str, str], page: str = "''") -> str:
        texts = [
            f"toInt64({value})" if each.level is Level.TIME else f"toString({value})"
            for each, value in zip(self._query.dimensions, values, strict=True)
        ]
        numbers = [f"toInt64({measures.get(name, '0')})" for name in self._measures]
        return f"tuple({', '.join((*texts, page, *numbers))})"

    # -- the sums ------------------------------------------------------------------------------------------------

    @property
    def _measures(self) -> tuple[str, ...]:
        return (*self._request.components, "present")

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(f"d{index}" for index in range(1, len(self._query.dimensions) + 1))

    def _columns(self) -> str:
        names = (*self._names, "page", *self._measures)
        facts = [f"fact.{index} AS {name}" for index, name in enumerate(names, start=1)]
        return ", ".join((*facts, *self._stitching.keys, "visit_number"))

    def _levels(self) -> list[int]:
        """The levels that something is distinct at, and the last one."""
        return sorted({_DISTINCT[name] for name in self._wants if name in _DISTINCT} | {len(_LEVELS) - 1})

    def _summed(self, text: str, level: int) -> str:
        keys = self._names
        own = _LEVELS[level]
        if own is None:
            sums = [f"{self._signed_sum(f'f.{name}')} AS {name}" for name in self._measures]
        else:
            keys = (*keys, *self._stitching.keys, *own)
            sums = [
                f"{'max' if _DISTINCT.get(name, -1) >= level else 'sum'}(f.{name}) AS {name}" for name in self._measures
            ]
        grouped = f" GROUP BY {', '.join(keys)}" if keys else ""
        return f"SELECT {', '.join((*keys, *sums))} FROM ({text}) AS f{grouped}"  # noqa: S608 - names of ours


def time_cut(range_: TimeRange, at: str, parameters: Parameters) -> str:
    """Whether an instant is in the range; empty unless the range cuts a day."""
    if range_.is_whole_days:
        return ""
    return f"({at} >= {parameters.number(range_.from_ms)} AND {at} < {parameters.number(range_.until_ms)})"


def all_of(parts: Sequence[str]) -> str:
    """Every part that is not empty."""
    return " AND ".join(part for part in parts if part) or "1"
