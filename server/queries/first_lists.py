"""The beginnings of the lists of a dashboard, read together and remembered: who sent visitors, from where, with what.

A first look has three or four of them, others are behind its tabs. Of closed days such a list takes the store about 20
ms of CPU, nearly all of it to analyse the statement and to open a year's parts. With a filter it is read from visits,
and of the open day from the events of who came lately: there it is the visits that take the time, to pick or stitch
them, and not what they are counted by. So whoever asks first reads the lists together, and the others wait for it: of
closed days all `SHARED`, else those of a first look alone, and with a filter the days of its chart. Where a filter asks
for events of a visit, above all for its pages, to pick takes so long that the headline and the chart read what days
come to with the lists; a list that is asked for alone does not.

Lists have visitors only. Rows of the versions of closed days never change, so what is read of these is kept as long as
`day_totals` keeps its own, and for the same reason; with a day in it that is not over, for one look.
Safe to use from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from server.clickhouse_tcp import Row
from server.queries.closed_tables import VISIT_COMPONENTS, where_closed
from server.queries.conditions import Scope, shown
from server.queries.daily_facts import STORED_AS
from server.queries.day_totals import KEPT_S, Sums
from server.queries.dimensions import DIMENSIONS, PAGE, Dimension, Level
from server.queries.errors import QueryRefused
from server.queries.event_reader import EventReader, Ticket
from server.queries.facts import CLOCK_INTERVALS, FactsRequest, StitchedFacts, tells_events_apart
from server.queries.model import Leaf, Operator, Query
from server.queries.parameters import Parameters
from server.queries.planner import Part, Source
from server.queries.session_facts import SessionFacts
from server.queries.statements import fill, sql_text
from server.queries.total_rows import total_rows

FIRST = tuple(DIMENSIONS[name] for name in ("visit:source", "visit:country", "visit:browser"))
SHARED = (*FIRST, *(DIMENSIONS[name] for name in ("visit:channel", "visit:device", "visit:os")))
DAY = "day"
"""By which the visits of a chart are counted."""
MOST_ROWS = 100
"""Of each list: what a panel shows, and its first pages. Who wants more asks alone."""
MOST_LOOKS = 64
"""At most 100 kB each; then the one that was first asked for is forgotten."""
OPEN_KEPT_S = 2.0
"""Of days that are not over: the questions of one look, on a busy server too."""

TOGETHER = tuple(name for name in VISIT_COMPONENTS if name != "events")
"""What is read of days by a headline and a chart: all that a first look shows."""


@dataclass
class _Read:
    """What was read: values and their visitors by the column that they stand in; the components that are known of days,
    and these. No components: the store refused.
    """

    components: tuple[str, ...] = ()
    lists: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    days: dict[date, Sums] = field(default_factory=dict)


@dataclass
class _Look:
    """The lists of a site and range. `lock`: held while they are read."""

    began_s: float
    kept_s: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    read: _Read | None = None


class FirstLists:
    """Those of all sites. `seconds`: a clock that never goes back."""

    def __init__(self, reader: EventReader, seconds: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._seconds = seconds
        self._lock = threading.Lock()
        self._looks: dict[Hashable, _Look] = {}

    def rows(self, request: FactsRequest, parts: Sequence[Part], ticket: Ticket | None = None) -> list[Row] | None:
        """The rows of the page that is asked for: values, components, and what tells that a value is there.

        None where less was read, or the store refuses to read so much at once. Only where `can_tell`. Blocks; raises
        what the reader raises.
        """
        query = request.query
        look = self._look(query, parts)
        with look.lock:
            if look.read is None:
                try:
                    look.read = self._read(query, parts, _together(request, parts), ticket)
                except QueryRefused:
                    look.read = _Read()
                if _has_events(parts):
                    # On a busy server to read may take longer than it is kept.
                    look.began_s = self._seconds()
            read = look.read
        return _page(request, read) if {_stored(name) for name in request.components} <= set(read.components) else None

    def _look(self, query: Query, parts: Sequence[Part]) -> _Look:
        key = (
            query.site_id,
            query.filters,
            *((part.source, part.days, part.versions, part.begun_of) for part in parts),
        )
        now_s = self._seconds()
        with self._lock:
            look = self._looks.get(key)
            if look is None or now_s - look.began_s >= look.kept_s:
                self._looks.pop(key, None)
                while len(self._looks) >= MOST_LOOKS:
                    self._looks.pop(next(iter(self._looks)))
                look = self._looks[key] = _Look(now_s, OPEN_KEPT_S if _has_events(parts) else KEPT_S)
            return look

    def _read(self, query: Query, parts: Sequence[Part], components: tuple[str, ...], ticket: Ticket | None) -> _Read:
        parameters = Parameters()
        scope = Scope(lambda _: "value", lambda _: "value")
        wanted = _lists_of(query, parts)
        names = "".join(f"dimension = '{each.column}', {shown(each, scope, parameters)}, " for each in wanted)
        columns = [each.column for each in wanted]
        if _has_days(query, parts):
            columns.append(DAY)
        statement = fill(
            sql_text("first_lists"),
            shown=f"multiIf({names}value)",
            sums=", ".join(f"toInt64(sum(s.{name})) AS {name}" for name in components),
            sources=" UNION ALL ".join(_source_sql(part, columns, components, parameters) for part in parts),
            most=str(MOST_ROWS),
        )
        read = _Read(components, {each.column: [] for each in wanted})
        for column, value, *sums in self._reader.rows(statement, parameters.values, ticket):
            if column == DAY:
                known = dict(zip(components, sums, strict=True))
                read.days[date.fromisoformat(value)] = tuple(known.get(name, 0) for name in VISIT_COMPONENTS)
            else:
                read.lists[column].append((value, sums[components.index("visitors")]))
        return read


def can_tell(request: FactsRequest, parts: Sequence[Part]) -> bool:
    """Whether the beginnings of lists, or what was read with them, may have what is asked for."""
    query = request.query
    if len(query.dimensions) > 1 or not parts or query.include.total_rows:
        return False
    if not all(_is_told(part, query) for part in parts):
        return False
    is_of_visitors = request.components == ("visitors",)
    dimension = query.dimensions[0] if query.dimensions else None
    if dimension is None or dimension.level is Level.TIME:
        if not _has_days(query, parts) or query.interval in CLOCK_INTERVALS:
            return False
        if dimension is not None and query.order_by[0].name != dimension.name:
            return False
        return (is_of_visitors and dimension is not None) or len(_together(request, parts)) > 1
    if dimension.name == PAGE:
        return is_of_visitors and _has_days(query, parts) and bool(_only_page(query))
    by_visitors = [(order.name, order.is_descending) for order in query.order_by] == [("visitors", True)]
    is_begin = query.offset_rows + query.limit_rows <= MOST_ROWS
    return is_of_visitors and by_visitors and is_begin and dimension in _lists_of(query, parts)


def _together(request: FactsRequest, parts: Sequence[Part]) -> tuple[str, ...]:
    """The components that are read, if this is asked first: of headlines and charts all that they may have."""
    query = request.query
    is_by_event = _has_days(query, parts) and any(tells_events_apart(each) for each in query.filters.filters)
    is_chart = any(each.level is Level.TIME for each in query.dimensions)
    is_headline = not query.dimensions and request.components != ("visitors",)
    if is_by_event and (is_chart or is_headline) and {_stored(name) for name in request.components} <= set(TOGETHER):
        return TOGETHER
    return ("visitors",)


def _stored(component: str) -> str:
    return STORED_AS.get(component, component)


def _is_told(part: Part, query: Query) -> bool:
    """Whether a part tells of several lists at once."""
    if part.are_imports or part.cut is not None:
        return False
    if part.source is Source.EVENTS:
        return query.range.is_whole_days and not any(tells_events_apart(each) for each in query.filters.filters)
    return part.source is Source.SESSIONS or (part.source is Source.DAILY and not query.filters.filters)


def _has_events(parts: Sequence[Part]) -> bool:
    return any(part.source is Source.EVENTS for part in parts)


def _lists_of(query: Query, parts: Sequence[Part]) -> Sequence[Dimension]:
    """Which lists are read together: more of them cost nothing only where no visit is picked or stitched."""
    return FIRST if query.filters.filters or _has_events(parts) else SHARED


def _has_days(query: Query, parts: Sequence[Part]) -> bool:
    """Whether days are counted with the lists; without a filter they are known (`day_totals`)."""
    return bool(query.filters.filters) and not _has_events(parts)


def _only_page(query: Query) -> str:
    """The page without which no event matches, when there is only one."""
    of_events = [each for each in query.filters.filters if tells_events_apart(each)]
    if len(of_events) != 1 or not isinstance(of_events[0], Leaf):
        return ""
    leaf = of_events[0]
    is_one = leaf.dimension.name == PAGE and leaf.operator is Operator.IS and leaf.is_case_sensitive
    return leaf.values[0] if is_one and len(leaf.values) == 1 else ""


def _page(request: FactsRequest, read: _Read) -> list[Row]:
    """The rows of a question."""
    query = request.query
    dimension = query.dimensions[0] if query.dimensions else None
    if dimension is None or dimension.level is Level.TIME:
        return list(total_rows(request, read.days, (), is_page=True))
    found = read.lists.get(dimension.column, [])
    if dimension.name == PAGE:
        visitors = sum(sums[VISIT_COMPONENTS.index("visitors")] for sums in read.days.values())
        found = [(_only_page(query), visitors)] if visitors else []
    rows: list[Row] = [(value, visitors, visitors) for value, visitors in found]
    return rows[query.offset_rows : query.offset_rows + query.limit_rows]


def _source_sql(part: Part, columns: Sequence[str], components: tuple[str, ...], parameters: Parameters) -> str:
    """`SELECT dimension, value, components` of each of the columns; of `sessions` alone more than visitors."""
    query = part.request.query
    match part.source:
        case Source.SESSIONS:
            request = replace(part.request, components=components)
            return SessionFacts(request, part.days, part.versions, parameters).lists_sql(columns)
        case Source.EVENTS:
            return StitchedFacts(part.request, part.days, parameters, part.returned).lists_sql(columns)
    where = where_closed(parameters, query.site_id, part.days[0], part.days[-1], part.versions)
    dimensions = ", ".join(f"'{column}'" for column in columns)
    return (
        "SELECT toString(dimension) AS dimension, toString(value) AS value, visitors "  # noqa: S608 - names of ours
        "FROM (SELECT dimension, value, toInt64(sum(visitors)) AS visitors FROM daily "
        f"WHERE dimension IN ({dimensions}) AND {where} GROUP BY dimension, value)"
    )
