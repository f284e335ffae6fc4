"""Questions about visits of closed days, read from `sessions`: filters, several dimensions, small days.

A stored visit tells its pages, and its custom events by name, but not which event happened where: conditions that tie
several facts to one event are read from `events`. Each visit gives the number of its views and events that match; for
dimensions of events one row for each page, name or goal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from server.closed_days import has_values
from server.queries.closed_tables import (
    EMPTY_NAME_ID,
    SESSION_COLUMNS,
    name_ids_sql,
    names_sql,
    visitors_sql,
    where_closed,
)
from server.queries.conditions import Scope, condition, shown
from server.queries.daily_facts import counted_goals, day_bucket_sql
from server.queries.dimensions import GOAL, PAGE, Dimension, Level
from server.queries.facts import CLOCK_INTERVALS, OF_PAGES, FactsRequest, all_of, tells_events_apart
from server.queries.goals import GoalRule
from server.queries.model import Every, Filter, GoalLeaf, Leaf, Operator, behaviours, leaves
from server.queries.parameters import Parameters
from server.queries.statements import fill, sql_text

_PAGE_IDS = {"entry_page": "entry_id", "exit_page": "exit_id"}
_ENUMS = ("channel", "device")
_NAME = "event:name"
_SESSION = ("session_visits", "visit_views", "bounces", "engaged_ms")
_EVENT_DIMENSIONS = (PAGE, _NAME, GOAL)
_WORD = re.compile(r"[a-z_]+(?:\.[a-z_]+)?")


@dataclass(frozen=True)
class _Body:
    """What a statement computes of visits, and which of them it takes: before it reads more of them (`picked`), and by
    what it computed (`where`).
    """

    computed: str
    where: Sequence[str]
    join: str = ""
    picked: str = ""


class SessionFacts:
    """The SQL of one request over closed days. `versions`: of the days to read."""

    def __init__(
        self, request: FactsRequest, days: Sequence[date], versions: Sequence[int], parameters: Parameters
    ) -> None:
        self._request = request
        self._query = request.query
        self._days = days
        self._versions = versions
        self._parameters = parameters
        self._of_events = [each for each in self._query.filters.filters if tells_events_apart(each)]
        self._of_visits = [each for each in self._query.filters.filters if not tells_events_apart(each)]
        self._exploded = next((each.name for each in self._query.dimensions if each.name in _EVENT_DIMENSIONS), "")
        self._wants = frozenset(request.components)
        self._cut = ""

    # -- whether it can ------------------------------------------------------------------------------------------

    @staticmethod
    def refusal(request: FactsRequest) -> str:
        """Why stored visits cannot answer it; empty when they can."""
        query = request.query
        if query.interval in CLOCK_INTERVALS:
            return "visits are closed by the day"
        if "group_pageviews" in request.components:
            return "exit rates compare visits with views"
        if any(behaviours(each) for each in query.filters.filters):
            return "has_done looks for single events"
        of_events = [each.name for each in query.dimensions if each.level in (Level.EVENT, Level.GOAL)]
        if len(of_events) > 1 or any(name not in _EVENT_DIMENSIONS for name in of_events):
            return f"{' and '.join(of_events)} are facts of single events"
        wanted = of_events[0] if of_events else ""
        about = {_about(each) for each in query.filters.filters if tells_events_apart(each)}
        if about - {PAGE, _NAME, GOAL} or len(about | ({wanted} if wanted else set())) > 1:
            return "it ties several facts to one event"
        goals = [each for each in query.filters.filters if isinstance(each, GoalLeaf)]
        if not wanted and (len(goals) > 1 or (goals and sum(goal.kind == "scroll" for goal in goals[0].goals) > 1)):
            return "it counts events that reach several goals"
        return ""

    # -- the SQL -------------------------------------------------------------------------------------------------

    @property
    def is_one_list(self) -> bool:
        """Whether each value is one row, so that the store may name the first few alone."""
        if len(self._query.dimensions) != 1 or self._wants & OF_PAGES:
            return False
        return not (self._exploded == PAGE and self._wants & set(_SESSION))

    def sql(self, *, order_by: str = "", limit_rows: int = 0) -> str:
        """`SELECT d1, …, components, present`, summed by the dimensions.

        With `order_by` (SQL over the components) and `limit_rows` only the first so many rows, and those equal to the
        last of them, where `is_one_list`.
        """
        self._cut = f"ORDER BY {order_by} LIMIT {limit_rows} WITH TIES" if order_by and self.is_one_list else ""
        parts = []
        if self._exploded:
            parts.append(self._by_page() if self._exploded == PAGE else self._by_item())
            if self._exploded == PAGE and self._wants & set(_SESSION):
                parts.append(self._at_entry())
        else:
            parts.append(self._by_visit())
        if self._wants & OF_PAGES:
            parts.append(self._pages())
        return " UNION ALL ".join(parts)

    def lists_sql(self, columns: Sequence[str]) -> str:
        """`SELECT dimension, value, components`, one row for each value of each of several columns; their visits are
        picked once. A value may have several rows.
        """
        measures = self._measures_of_visits()
        pairs = ", ".join(f"grouping({column}) = 0, ('{column}', toString({column}))" for column in columns)
        sums = ", ".join(f"toInt64({measures[name]}) AS {name}_sum" for name in self._request.components)
        grouped = f"GROUP BY GROUPING SETS ({', '.join(f'({column})' for column in columns)})"
        texts = self._of_bodies(self._visits(), f"multiIf({pairs}, ('', '')) AS pair, {sums}", grouped)
        shown_sums = ", ".join(f"{name}_sum AS {name}" for name in self._request.components)
        source = " UNION ALL ".join(texts)
        return f"SELECT pair.1 AS dimension, pair.2 AS value, {shown_sums} FROM ({source})"  # noqa: S608 - names of ours

    def _visits(self) -> list[_Body]:
        """Visits, by what of them matches."""
        views, events = self._matching()
        is_group = "group_visitors" in self._wants
        where = [] if is_group or not self._of_events else ["me > 0"]
        body = _Body(f"{views} AS mv, {events} AS me", where)
        if self._is_of_pages and not is_group and "events" not in self._wants:
            return self._either(_Body(f"{views} AS mv, {self._heard()} AS me", where), body)
        return [body]

    def _by_visit(self) -> str:
        return self._grouped(self._visits(), self._measures_of_visits())

    def _measures_of_visits(self) -> dict[str, str]:
        is_group = "group_visitors" in self._wants
        hit = "(me > 0)" if is_group else "1"
        return {
            "visitors": visitors_sql(hit if is_group else ""),
            "visits": f"sum(weight * {hit})",
            "pageviews": "sum(weight * mv)",
            "events": "sum(weight * me)",
            "session_visits": f"sum(weight * {hit})",
            "visit_views": f"sum(weight * views * {hit})",
            "bounces": f"sum(weight * bounced * {hit})",
            "engaged_ms": f"sum(weight * visit_engaged_ms * {hit})",
            "group_visitors": visitors_sql(),
            "revenue_micros": f"sum(toInt64(weight) * {self._revenue('events.revenue_micros')})",
            "revenue_events": f"sum(toInt64(weight) * {self._revenue('events.count')})",
            "present": f"sum(weight * {hit})",
        }

    def _by_page(self) -> str:
        """One row for each page of a visit on which something happened that matches."""
        measures = {
            "visitors": visitors_sql(),
            "visits": "sum(weight)",
            "pageviews": "sum(weight * item_views)",
            "events": "sum(weight * (item_views + item_customs))",
            "present": "sum(weight)",
        }
        join = "pages.id AS item, pages.views AS item_views, pages.customs AS item_customs, fits AS item_fits"
        where = ["item_fits = 1", "item_views + item_customs > 0"]
        bodies = [_Body("item, item_views, item_customs, item_fits", where, join)]
        if "events" not in self._wants:
            columns = {"item": "pages.id"}
            if "pageviews" in self._wants:
                columns["item_views"] = "pages.views"
            where = []
            if self._is_of_pages:
                columns["item_fits"] = "fits"
                where = ["item_fits = 1"]
            heard = "length(pages.id) - silent_pages"
            joined = ", ".join(f"arrayResize({column}, {heard}) AS {name}" for name, column in columns.items())
            bodies = self._either(_Body(", ".join(columns), where, joined), bodies[0])
        return self._grouped(bodies, measures, item="item")

    def _by_item(self) -> str:
        """One row for each name or goal of a visit: `item` is (value, views, events, …)."""
        is_group = "group_visitors" in self._wants
        items = self._goal_items() if self._exploded == GOAL else self._name_items()
        hit = "(item.3 > 0)"
        measures = {
            "visitors": visitors_sql(hit if is_group else ""),
            "visits": f"sum(weight * {hit})",
            "pageviews": "sum(weight * item.2)",
            "events": "sum(weight * item.3)",
            "group_visitors": visitors_sql(),
            "revenue_micros": "sum(toInt64(weight) * item.4)",
            "revenue_events": "sum(toInt64(weight) * item.5)",
            "present": f"sum(weight * {hit})",
        }
        where = [] if is_group else ["item.3 > 0"]
        return self._grouped([_Body(f"arrayJoin({items}) AS item", where)], measures, item="item.1")

    def _at_entry(self) -> str:
        """Whole visits stand at the page on which they began."""
        _, events = self._matching()
        measures = {
            "session_visits": "sum(weight)",
            "visit_views": "sum(weight * views)",
            "bounces": "sum(weight * bounced)",
            "engaged_ms": "sum(weight * visit_engaged_ms)",
        }
        where = ["me > 0"] if self._of_events else []
        bodies = [_Body(f"{events} AS me", where)]
        if self._is_of_pages:
            bodies = self._either(_Body(f"{self._heard()} AS me", where), bodies[0])
        return self._grouped(bodies, measures, item="entry_id")

    def _pages(self) -> str:
        """Engaged time, views and depth of pages, with engaged time that belongs to no visit."""
        measures = {
            "page_engaged_ms": "sum(toInt64(weight) * item_engaged_ms)",
            "page_visits": "sum(toInt64(weight) * (item_views > 0 AND is_stray = 0))",
            "scroll_percent": "sum(toInt64(weight) * if(item_scroll = 255 OR is_stray, 0, item_scroll))",
            "scrolled_pages": "sum(toInt64(weight) * (item_scroll != 255 AND is_stray = 0))",
        }
        join = (
            "pages.id AS item, pages.views AS item_views, page_engaged_ms AS item_engaged_ms, "
            "page_scroll_percent AS item_scroll, fits AS item_fits"
        )
        computed = "item, item_views, item_engaged_ms, item_scroll, item_fits"
        return self._grouped([_Body(computed, ["item_fits = 1"], join)], measures, item="item", strays=True)

    def _grouped(
        self, bodies: Sequence[_Body], measures: dict[str, str], *, item: str = "", strays: bool = False
    ) -> str:
        """Group by the dimensions; numbers of pages get their names afterwards. `bodies`: of different visits."""
        names, values = [], []
        named = []
        for index, each in enumerate(self._query.dimensions, start=1):
            if each.level is Level.TIME:
                value = day_bucket_sql(self._request, self._parameters)
            elif each.name == PAGE or each.column in _PAGE_IDS:
                value = item if each.name == PAGE else _PAGE_IDS[each.column]
                named.append(index)
            elif each.name in _EVENT_DIMENSIONS:
                value = item
            else:
                # By what is stored; how it reads is told of the sums.
                value = each.column or "''"
            names.append(f"d{index}")
            values.append(f"{value} AS d{index}")
        components = (*self._request.components, "present")
        sums = [f"toInt64({measures.get(name, '0')}) AS {name}_sum" for name in components]
        grouped = f"GROUP BY {', '.join(names)}" if names else ""
        columns = ", ".join((*values, *sums))
        texts = self._of_bodies(bodies, columns, grouped, strays=strays)
        text = texts[0]
        if len(texts) > 1:
            columns = ", ".join((*names, *(f"sum({name}_sum) AS {name}_sum" for name in components)))
            text = f"SELECT {columns} FROM ({' UNION ALL '.join(texts)}) {grouped}"  # noqa: S608 - names of ours
        return self._named(text, names, named)

    def _of_bodies(self, bodies: Sequence[_Body], columns: str, grouped: str, *, strays: bool = False) -> list[str]:
        return [
            fill(
                sql_text("session_facts"),
                columns=columns,
                computed=body.computed,
                read=self._read(columns, body),
                first_picked=f"PREWHERE {body.picked}" if body.picked else "",
                picked=all_of([self._where(), "" if strays else "is_stray = 0"]),
                joined=f"ARRAY JOIN {body.join}" if body.join else "",
                matching=all_of(body.where),
                grouped=grouped,
            )
            for body in bodies
        ]

    def _either(self, few_columns: _Body, all_columns: _Body) -> list[_Body]:
        """Visits that tell on which pages something happened, by the first; those closed before they did, by the other.

        A day's visits all do or do not, so a visitor's are never divided. Of small days all by the other: what it
        reads besides is less than what a second statement costs.
        """
        if not any(map(has_values, self._versions)):
            return [all_columns]
        return [replace(few_columns, picked="silent_pages >= 0"), replace(all_columns, picked="silent_pages < 0")]

    def _read(self, columns: str, body: _Body) -> str:
        """What a statement needs of `sessions`. All of its columns would take the store 10 to 30 ms to look at."""
        texts = (columns, body.computed, body.join, *body.where)
        words = {word for text in texts for word in _WORD.findall(text)}
        read = [name for name in SESSION_COLUMNS if name in words]
        if "fits" in words:
            read.append(f"arrayMap(i -> toUInt8({self._page_test('i')}), pages.id) AS fits")
        return ", ".join(read)

    def _named(self, text: str, names: Sequence[str], named: Sequence[int]) -> str:
        site_id = self._query.site_id
        columns = [
            _name_of(index) if index in named else self._read_as(each, f"f.d{index}")
            for index, each in enumerate(self._query.dimensions, start=1)
        ]
        shown_columns = [f"{column} AS {name}" for column, name in zip(columns, names, strict=True)]
        sums = [f"f.{name}_sum AS {name}" for name in (*self._request.components, "present")]
        joins = "".join(
            f" ANY LEFT JOIN {names_sql(self._parameters, site_id)} AS n{index} ON n{index}.name_id = f.d{index}"
            for index in named
        )
        if joins and self._cut:
            sums_too = ", ".join(f"{name}_sum AS {name}" for name in self._request.components)
            text = f"SELECT *, {sums_too} FROM ({text}) {self._cut}"  # noqa: S608 - names of ours
        source = f"({text}) AS f{joins}"
        if len(named) == 1:
            # The rows are kept in memory, and the many names pass.
            name = f"n{named[0]}"
            paths = names_sql(self._parameters, site_id)
            source = f"{paths} AS {name} ANY RIGHT JOIN ({text}) AS f ON {name}.name_id = f.d{named[0]}"
        return f"SELECT {', '.join((*shown_columns, *sums))} FROM {source}"  # noqa: S608 - names of ours

    def _read_as(self, dimension: Dimension, stored: str) -> str:
        """How a value that visits were grouped by reads."""
        if dimension.level is Level.TIME or dimension.name in _EVENT_DIMENSIONS:
            return stored
        text = f"toString({stored})"
        return f"toString({shown(dimension, Scope(lambda _: text), self._parameters)})"

    # -- conditions ----------------------------------------------------------------------------------------------

    def _where(self) -> str:
        closed = where_closed(self._parameters, self._query.site_id, self._days[0], self._days[-1], self._versions)
        visits = [condition(each, self._scope(), self._parameters) for each in self._of_visits]
        return all_of([closed, *visits, *(self._page_hint(each) for each in self._of_events)])

    def _page_hint(self, filter_: Filter) -> str:
        """Picks visits of named pages quickly; what counts is tested afterwards."""
        if not isinstance(filter_, Leaf) or filter_.dimension.name != PAGE or filter_.operator is not Operator.IS:
            return ""
        if not filter_.is_case_sensitive or "" in filter_.values:
            return ""
        test = f"name IN {self._parameters.texts(filter_.values)}"
        return f"hasAny(pages.id, {name_ids_sql(self._parameters, self._query.site_id, test)})"

    def _scope(self) -> Scope:
        return Scope(lambda name: f"toString({name})" if name in _ENUMS else name, leaf=self._by_number)

    def _by_number(self, leaf: Leaf) -> str | None:
        """Conditions on what is a number here: the entry or exit page, and what can only be one of a few names."""
        if leaf.dimension.column in _ENUMS and leaf.operator.positive is Operator.IS and leaf.is_case_sensitive:
            known = dict(leaf.dimension.names)
            names = [f"'{name}'" for name in leaf.dimension.stored(leaf.values) if name in known]
            found = f"{leaf.dimension.column} IN ({', '.join(names)})" if names else "0"
            return f"NOT {found}" if leaf.operator.is_negative else f"({found})"
        if leaf.dimension.column not in _PAGE_IDS:
            return None
        return self._name_test(
            _PAGE_IDS[leaf.dimension.column], lambda name: condition(leaf, Scope(lambda _: name), self._parameters)
        )

    def _name_test(self, number: str, test: Callable[[str], str]) -> str:
        """Whether the path of a number fulfils a condition over its text."""
        site = self._parameters.bind(self._query.site_id, "UInt32")
        ids = f"SELECT name_id FROM names WHERE site_id = {site} AND {test('name')}"  # noqa: S608 - values are bound
        return f"({number} IN ({ids}) OR ({number} = {EMPTY_NAME_ID} AND {test(repr(''))}))"

    @property
    def _is_of_pages(self) -> bool:
        """Whether events are told apart by their page, and by nothing else."""
        return bool(self._of_events) and _about(self._of_events[0]) == PAGE

    def _heard(self) -> str:
        """Whether anything happened on a page that fits, told without the views of pages."""
        heard = "arrayExists(f -> f, arraySlice(fits, 1, length(fits) - silent_pages))"
        if len(self._of_events) == 1 and self._page_hint(self._of_events[0]):
            # The visits that were picked have such a page.
            heard = f"(silent_pages = 0 OR {heard})"
        return f"toInt64({heard})"

    def _page_test(self, number: str) -> str:
        """Whether a page is one that the filters want."""
        pages = Every(tuple(each for each in self._of_events if _about(each) == PAGE))
        if not pages.filters:
            return "1"
        return self._name_test(
            number, lambda name: condition(pages, Scope(lambda _: name, lambda _: name), self._parameters)
        )

    def _matching(self) -> tuple[str, str]:
        """How many views, and how many events, of a visit match the filters."""
        if not self._of_events:
            return "toInt64(views)", "toInt64(views + customs)"
        about = _about(self._of_events[0])
        if about == PAGE:
            return (
                "toInt64(arraySum((f, v) -> f * v, fits, pages.views))",
                "toInt64(arraySum((f, v, c) -> f * (v + c), fits, pages.views, pages.customs))",
            )
        if about == _NAME:
            test = self._event_name_test
            views = f"toInt64(if({test(self._parameters.text('pageview'))}, views, 0))"
            customs = f"arraySum((n, c) -> if({test('toString(n)')}, c, 0), events.name, events.count)"
            return views, f"toInt64({views} + {customs})"
        goal = self._of_events[0]
        assert isinstance(goal, GoalLeaf)
        return self._reaching(goal.goals)

    def _event_name_test(self, name: str) -> str:
        return condition(Every(tuple(self._of_events)), Scope(lambda _: name, lambda _: name), self._parameters)

    def _reaching(self, goals: Sequence[GoalRule]) -> tuple[str, str]:
        """Views, and all events, of a visit that reach one of some goals."""
        pages = [goal for goal in goals if goal.kind == "page"]
        names = [goal for goal in goals if goal.kind == "event"]
        depths = [goal for goal in goals if goal.kind == "scroll"]
        views = "toInt64(0)"
        if pages:
            fits = self._name_test("i", lambda name: self._fits_any(pages, name))
            views = f"toInt64(arraySum((i, v) -> if({fits}, v, 0), pages.id, pages.views))"
        events = [views]
        if names:
            fits = self._fits_any(names, "toString(n)")
            events.append(f"toInt64(arraySum((n, c) -> if({fits}, c, 0), events.name, events.count))")
        for goal in depths:
            fits = self._name_test("i", lambda name, goal=goal: self._fits_any([goal], name))  # type: ignore[misc]
            percent = self._parameters.number(goal.scroll_percent)
            events.append(
                f"toInt64(arrayCount((i, s) -> s != 255 AND s >= {percent} AND {fits}, pages.id, page_scroll_percent))"
            )
        return views, " + ".join(events)

    def _fits_any(self, goals: Sequence[GoalRule], value: str) -> str:
        return f"({' OR '.join(goal.fits_sql(value, self._parameters) for goal in goals)})"

    def _revenue(self, counted: str) -> str:
        """Sum over the events of the goals that are filtered by, in the request's currency."""
        currency = self._request.currency
        names = [
            goal
            for leaf in self._of_events
            if isinstance(leaf, GoalLeaf)
            for goal in leaf.goals
            if goal.kind == "event"
        ]
        if not currency or not names:
            return "0"
        fits = self._fits_any(names, "toString(n)")
        bound = self._parameters.text(currency)
        return f"arraySum((n, m, v) -> if(m = {bound} AND {fits}, v, 0), events.name, events.currency, {counted})"

    # -- items ---------------------------------------------------------------------------------------------------

    def _name_items(self) -> str:
        pageview = self._parameters.text("pageview")
        items = (
            f"arrayConcat([({pageview}, toInt64(views), toInt64(views), toInt64(0), toInt64(0))], "
            "arrayMap(n -> (toString(n), toInt64(0), "
            "toInt64(arraySum((m, c) -> if(m = n, c, 0), events.name, events.count)), toInt64(0), toInt64(0)), "
            "arrayDistinct(events.name)))"
        )
        test = f" AND {self._event_name_test('t.1')}" if self._of_events else ""
        return f"arrayFilter(t -> t.3 > 0{test}, {items})"

    def _goal_items(self) -> str:
        items = []
        for goal in counted_goals(self._request):
            views, events = self._reaching([goal])
            revenue = ["toInt64(0)", "toInt64(0)"]
            if goal.currency and goal.kind == "event":
                fits = goal.fits_sql("toString(n)", self._parameters)
                bound = self._parameters.text(goal.currency)
                revenue = [
                    f"toInt64(arraySum((n, m, v) -> if(m = {bound} AND {fits}, v, 0), "
                    f"events.name, events.currency, {column}))"
                    for column in ("events.revenue_micros", "events.count")
                ]
            items.append(f"({self._parameters.text(goal.name)}, {views}, {events}, {', '.join(revenue)})")
        if not items:
            return "CAST([], 'Array(Tuple(String, Int64, Int64, Int64, Int64))')"
        return f"[{', '.join(items)}]"


def _name_of(index: int) -> str:
    return f"if(f.d{index} = {EMPTY_NAME_ID}, '', n{index}.name)"


def _about(filter_: Filter) -> str:
    """The one dimension that a filter asks about; `mixed` when there are several, or others than of events."""
    found = {GOAL if isinstance(leaf, GoalLeaf) else leaf.dimension.name for leaf in leaves(filter_)}
    if len(found) != 1:
        return "mixed"
    name = found.pop()
    return "mixed" if name == GOAL and not isinstance(filter_, GoalLeaf) else name
