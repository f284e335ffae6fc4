"""Rows of headlines and charts, added up from the totals of closed days that are remembered (`day_totals`).

They are what the statement over `daily` would give, of the same columns. Of a range with an open day in it the rest is
asked for as ever, and added.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from datetime import date

from server.queries.closed_tables import VISIT_COMPONENTS
from server.queries.daily_facts import STORED_AS, value_dimensions
from server.queries.day_totals import NOTHING, Sums
from server.queries.dimensions import Level
from server.queries.facts import FactsRequest
from server.queries.model import Query
from server.queries.planner import Part, Source

Row = tuple[int, ...]

_PLACES = {name: place for place, name in enumerate(VISIT_COMPONENTS)}


def part_of_totals(parts: Iterable[Part], request: FactsRequest) -> Part | None:
    """The part that totals of days answer, if its rows can be added up here: by nothing, or by time in its order."""
    query = request.query
    if value_dimensions(request) or len(query.dimensions) > 1 or query.filters.filters:
        return None
    times = {each.name for each in query.dimensions if each.level is Level.TIME}
    # No two rows have the same time, so nothing is left for what they are ordered by after it.
    if times and any(order.name not in times for order in query.order_by[:1]):
        return None
    if any(STORED_AS.get(name, name) not in _PLACES for name in request.components):
        return None
    for part in parts:
        if part.source is Source.DAILY and part.is_plain:
            return part
    return None


def total_rows(
    request: FactsRequest, totals: Mapping[date, Sums], others: Iterable[Row], *, is_page: bool
) -> list[Row]:
    """`d1` (of a question by time), the components, and `present`. `others`: rows of what else there is of the range,
    not cut to what is present. `is_page`: sorted and cut as the query says.
    """
    query = request.query
    places = [_PLACES[STORED_AS.get(name, name)] for name in request.components]
    counted = _PLACES["visitors"]
    width = len(query.dimensions)
    of_keys: dict[Row, list[Sums]] = {} if width else {(): [NOTHING, *totals.values()]}
    if width:
        keys = _bucket_of(request, totals)
        for day, sums in totals.items():
            of_keys.setdefault(keys[day], []).append(sums)
    found = {}
    for key, of_days in of_keys.items():
        added = [sum(numbers) for numbers in zip(*of_days, strict=True)]
        found[key] = [*(added[place] for place in places), added[counted]]
    for row in others:
        known = found.get(row[:width], [0] * (len(places) + 1))
        found[row[:width]] = [a + b for a, b in zip(known, row[width:], strict=True)]
    rows = [(*key, *sums) for key, sums in found.items() if not width or sums[-1] > 0]
    if is_page and width:
        rows = _page(query, sorted(rows))
    if query.include.total_rows:
        count = sum(1 for sums in found.values() if sums[-1] > 0) if width else 1
        rows = [(*row, count) for row in rows]
    return rows


def _bucket_of(request: FactsRequest, days: Iterable[date]) -> dict[date, Row]:
    """The start in ms of the bucket that each day belongs to."""
    assert request.buckets is not None
    starts_ms = request.buckets.starts_ms
    firsts = [request.query.range.calendar.day_at(start_ms) for start_ms in starts_ms]
    return {day: (starts_ms[max(0, bisect.bisect_right(firsts, day) - 1)],) for day in days}


def _page(query: Query, rows: list[Row]) -> list[Row]:
    if query.order_by and query.order_by[0].is_descending:
        rows.reverse()
    return rows[query.offset_rows : query.offset_rows + query.limit_rows]
