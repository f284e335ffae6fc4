"""The beginnings of the lists of a dashboard, read together and remembered: who sent visitors, from where, with what.

A first look has three or four of them, others are behind its tabs. Of closed days such a list takes the store about 20
ms of CPU, nearly all of it to analyse the statement and to open a year's parts. With a filter it is read from visits,
and of the open day from the events of who came lately: there it is the visits that take the time, to pick or stitch
them, and not what they are counted by. So whoever asks first reads the lists together, and the others wait for it:
without a filter all `SHARED`, with one those of a first look alone and the days of its chart.

Lists of visitors only. Rows of the versions of closed days never change, so what is read of these is kept as long as
`day_totals` keeps its own, and for the same reason; with a day in it that is not over, for one look.
Safe to use from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import date

from server.queries.closed_tables import VISIT_COMPONENTS, where_closed
from server.queries.conditions import Scope, shown
from server.queries.day_totals import KEPT_S
from server.queries.dimensions import DIMENSIONS, PAGE, Level
from server.queries.errors import QueryRefused
from server.queries.event_reader import EventReader, Ticket
from server.queries.facts import CLOCK_INTERVALS, FactsRequest, StitchedFacts, tells_events_apart
from server.queries.model import Leaf, Operator, Query
from server.queries.parameters import Parameters
from server.queries.planner import Part, Source
from server.queries.session_facts import SessionFacts
from server.queries.statements import fill, sql_text
from server.queries.stitching import Returned
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

Row = tuple[str | int, int, int]
"""Value, visitors, and once more as what tells that the value is there."""


@dataclass
class _Look:
    """The lists of a site and range. `lock`: held while they are read; `lists`: by the columns they count."""

    began_s: float
    kept_s: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    lists: dict[str, list[tuple[str, int]]] | None = None


class FirstLists:
    """Those of all sites. `seconds`: a clock that never goes back."""

    def __init__(self, reader: EventReader, seconds: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._seconds = seconds
        self._lock = threading.Lock()
        self._looks: dict[Hashable, _Look] = {}

    def rows(self, request: FactsRequest, parts: Sequence[Part], ticket: Ticket | None = None) -> list[Row] | None:
        """The rows of the page that is asked for; None when the store refuses to read so much at once.

        Only where `can_tell`. Blocks; raises what the reader raises.
        """
        query = request.query
        look = self._look(query, parts)
        with look.lock:
            if look.lists is None:
                try:
                    look.lists = self._read(query, parts, ticket)
                except QueryRefused:
                    look.lists = {}
                if _has_events(parts):
                    # As fresh as what was read.
                    look.began_s = self._seconds()
            lists = look.lists
        return _page(request, lists) if lists else None

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

    def _read(self, query: Query, parts: Sequence[Part], ticket: Ticket | None) -> dict[str, list[tuple[str, int]]]:
        parameters = Parameters()
        scope = Scope(lambda _: "value", lambda _: "value")
        wanted = FIRST if query.filters.filters else SHARED
        names = "".join(f"dimension = '{each.column}', {shown(each, scope, parameters)}, " for each in wanted)
        columns = [each.column for each in wanted]
        if query.filters.filters and not _has_events(parts):
            columns.append(DAY)
        statement = fill(
            sql_text("first_lists"),
            shown=f"multiIf({names}value)",
            sources=" UNION ALL ".join(_source_sql(part, columns, parameters) for part in parts),
            most=str(MOST_ROWS),
        )
        found: dict[str, list[tuple[str, int]]] = {column: [] for column in columns}
        for column, value, visitors in self._reader.rows(statement, parameters.values, ticket):
            found[column].append((value, visitors))
        return found


def can_tell(request: FactsRequest, parts: Sequence[Part]) -> bool:
    """Whether the beginnings of lists have what is asked for."""
    query = request.query
    if request.components != ("visitors",) or len(query.dimensions) != 1 or not parts or query.include.total_rows:
        return False
    if not all(_is_told(part, query) for part in parts):
        return False
    dimension = query.dimensions[0]
    has_days = bool(query.filters.filters) and not _has_events(parts)
    if dimension.level is Level.TIME:
        return has_days and query.interval not in CLOCK_INTERVALS and query.order_by[0].name == dimension.name
    if dimension.name == PAGE:
        return has_days and bool(_only_page(query))
    by_visitors = [(order.name, order.is_descending) for order in query.order_by] == [("visitors", True)]
    is_begin = query.offset_rows + query.limit_rows <= MOST_ROWS
    return by_visitors and is_begin and dimension in (FIRST if query.filters.filters else SHARED)


def _is_told(part: Part, query: Query) -> bool:
    """Whether a part tells of several lists at once."""
    if part.are_imports or part.cut is not None:
        return False
    if part.source is Source.EVENTS:
        return query.range.is_whole_days and not any(tells_events_apart(each) for each in query.filters.filters)
    return part.source is Source.SESSIONS or (part.source is Source.DAILY and not query.filters.filters)


def _has_events(parts: Sequence[Part]) -> bool:
    return any(part.source is Source.EVENTS for part in parts)


def _only_page(query: Query) -> str:
    """The page without which no event matches, when there is only one."""
    of_events = [each for each in query.filters.filters if tells_events_apart(each)]
    if len(of_events) != 1 or not isinstance(of_events[0], Leaf):
        return ""
    leaf = of_events[0]
    is_one = leaf.dimension.name == PAGE and leaf.operator is Operator.IS and leaf.is_case_sensitive
    return leaf.values[0] if is_one and len(leaf.values) == 1 else ""


def _page(request: FactsRequest, lists: dict[str, list[tuple[str, int]]]) -> list[Row]:
    """The rows of a question."""
    query = request.query
    dimension = query.dimensions[0]
    rows: list[Row]
    if dimension.level is Level.TIME:
        others = (0,) * (len(VISIT_COMPONENTS) - 1)
        totals = {date.fromisoformat(day): (visitors, *others) for day, visitors in lists[DAY]}
        return [(d1, visitors, present) for d1, visitors, present in total_rows(request, totals, (), is_page=True)]
    if dimension.name == PAGE:
        visitors = sum(visitors for _, visitors in lists[DAY])
        rows = [(_only_page(query), visitors, visitors)] if visitors else []
    else:
        rows = [(value, visitors, visitors) for value, visitors in lists[dimension.column]]
    return rows[query.offset_rows : query.offset_rows + query.limit_rows]


def _source_sql(part: Part, columns: Sequence[str], parameters: Parameters) -> str:
    """`SELECT dimension, value, visitors` of each of the columns."""
    query = part.request.query
    match part.source:
        case Source.SESSIONS:
            return SessionFacts(part.request, part.days, part.versions, parameters).lists_sql(columns)
        case Source.EVENTS:
            returned = None if part.begun_of is None else Returned(part.begun_of.cut_ms, is_news=True)
            return StitchedFacts(part.request, part.days, parameters, returned).lists_sql(columns)
    where = where_closed(parameters, query.site_id, part.days[0], part.days[-1], part.versions)
    dimensions = ", ".join(f"'{column}'" for column in columns)
    return (
        "SELECT toString(dimension) AS dimension, toString(value) AS value, visitors "  # noqa: S608 - names of ours
        "FROM (SELECT dimension, value, toInt64(sum(visitors)) AS visitors FROM daily "
        f"WHERE dimension IN ({dimensions}) AND {where} GROUP BY dimension, value)"
    )
