"""The beginnings of the lists of a dashboard, read together and remembered: who sent visitors, from where, with what.

Such a list over a year takes the store about 20 ms of CPU, nearly all of it to analyse the statement and to open the
year's parts, and three or four of them are on a first look, the others behind its tabs. To read all `SHARED` at once
takes little more than to read one, so whoever asks first does that, and the others wait for it. Only lists of visitors
of closed days, without filters: the rows of these versions never change (see `day_totals`, also for why they are
forgotten). Safe to use from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from server.queries.closed_tables import where_closed
from server.queries.conditions import Scope, shown
from server.queries.day_totals import KEPT_S
from server.queries.dimensions import DIMENSIONS
from server.queries.errors import QueryRefused
from server.queries.event_reader import EventReader, Ticket
from server.queries.facts import FactsRequest
from server.queries.parameters import Parameters
from server.queries.planner import Part, Source
from server.queries.session_facts import visitors_sql
from server.queries.statements import fill, sql_text

SHARED = tuple(
    DIMENSIONS[name]
    for name in ("visit:source", "visit:channel", "visit:country", "visit:device", "visit:browser", "visit:os")
)
MOST_ROWS = 100
"""Of each list: what a panel shows, and its first pages. Who wants more asks alone."""
MOST_LOOKS = 64
"""At most 100 kB each; then the one that was first asked for is forgotten."""

Row = tuple[str, int]


@dataclass
class _Look:
    """The lists of a site and range. `lock`: held while they are read; `lists`: by the names of their dimensions."""

    began_s: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    lists: dict[str, list[Row]] | None = None


class FirstLists:
    """Those of all sites. `seconds`: a clock that never goes back."""

    def __init__(self, reader: EventReader, seconds: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._seconds = seconds
        self._lock = threading.Lock()
        self._looks: dict[object, _Look] = {}

    def rows(self, request: FactsRequest, parts: Sequence[Part], ticket: Ticket | None = None) -> list[Row] | None:
        """Values and visitors of the page that is asked for; None when the store refuses to read so much at once.

        Only where `can_tell`. Blocks; raises what the reader raises.
        """
        query = request.query
        look = self._look((query.site_id, *((part.source, part.versions) for part in parts)))
        with look.lock:
            if look.lists is None:
                try:
                    look.lists = self._read(query.site_id, parts, ticket)
                except QueryRefused:
                    look.lists = {}
            if not look.lists:
                return None
            rows = look.lists[query.dimensions[0].name]
        return rows[query.offset_rows : query.offset_rows + query.limit_rows]

    def _look(self, key: object) -> _Look:
        now_s = self._seconds()
        with self._lock:
            look = self._looks.get(key)
            if look is None or now_s - look.began_s >= KEPT_S:
                self._looks.pop(key, None)
                while len(self._looks) >= MOST_LOOKS:
                    self._looks.pop(next(iter(self._looks)))
                look = self._looks[key] = _Look(now_s)
            return look

    def _read(self, site_id: int, parts: Sequence[Part], ticket: Ticket | None) -> dict[str, list[Row]]:
        parameters = Parameters()
        scope = Scope(lambda _: "value", lambda _: "value")
        names = "".join(f"dimension = '{each.column}', {shown(each, scope, parameters)}, " for each in SHARED)
        statement = fill(
            sql_text("first_lists"),
            shown=f"multiIf({names}value)",
            sources=" UNION ALL ".join(_source_sql(site_id, part, parameters) for part in parts),
            most=str(MOST_ROWS),
        )
        found: dict[str, list[Row]] = {each.name: [] for each in SHARED}
        of_columns = {each.column: found[each.name] for each in SHARED}
        for column, value, visitors in self._reader.rows(statement, parameters.values, ticket):
            of_columns[column].append((value, visitors))
        return found


def can_tell(request: FactsRequest, parts: Sequence[Part]) -> bool:
    """Whether the beginnings of lists have what is asked for."""
    query = request.query
    is_of_visitors = request.components == ("visitors",) and not query.filters.filters
    if not is_of_visitors or len(query.dimensions) != 1 or query.dimensions[0] not in SHARED or not parts:
        return False
    if [(order.name, order.is_descending) for order in query.order_by] != [("visitors", True)]:
        return False
    if query.include.total_rows or query.offset_rows + query.limit_rows > MOST_ROWS:
        return False
    return all(part.source in (Source.DAILY, Source.SESSIONS) and part.is_plain for part in parts)


def _source_sql(site_id: int, part: Part, parameters: Parameters) -> str:
    """`SELECT dimension, value, visitors` of each of `SHARED`."""
    where = where_closed(parameters, site_id, part.days[0], part.days[-1], part.versions)
    if part.source is Source.DAILY:
        columns = ", ".join(f"'{each.column}'" for each in SHARED)
        return (
            "SELECT toString(dimension) AS dimension, toString(value) AS value, visitors "  # noqa: S608 - names of ours
            "FROM (SELECT dimension, value, toInt64(sum(visitors)) AS visitors FROM daily "
            f"WHERE dimension IN ({columns}) AND {where} GROUP BY dimension, value)"
        )
    pairs = ", ".join(f"('{each.column}', toString({each.column}))" for each in SHARED)
    return (
        f"SELECT pair.1 AS dimension, pair.2 AS value, {visitors_sql()} AS visitors FROM (SELECT "  # noqa: S608 - ours
        f"arrayJoin([{pairs}]) AS pair, day, weight, visitor_number FROM sessions WHERE {where} AND is_stray = 0) "
        "GROUP BY dimension, value"
    )
