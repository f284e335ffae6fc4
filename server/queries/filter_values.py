"""Values that a filter may be given: those of the range, most visitors first, of which a part of the text is known."""

from __future__ import annotations

from typing import Any

from server.queries.answers import Answerer
from server.queries.dimensions import FILTERABLE, GOAL, PROPS_PREFIX, Level, find_dimension
from server.queries.event_reader import EventReader, Ticket
from server.queries.metrics import METRICS
from server.queries.model import Every, Leaf, Operator, Order, Query
from server.queries.parameters import Value
from server.queries.parsing import SiteFacts
from server.queries.periods import HOUR_MS, TimeRange
from server.queries.statements import sql_text
from server.queries.suggestions import unknown_value

PROP_NAMES = PROPS_PREFIX.removesuffix(":")
"""Instead of a dimension: asks for the names of custom properties."""
MAX_VALUES = 100


def filter_values(
    reader: EventReader,
    answerer: Answerer,
    facts: SiteFacts,
    range_: TimeRange,
    dimension_name: str,
    text: str = "",
    filters: Every | None = None,
    limit: int = 20,
    ticket: Ticket | None = None,
) -> list[dict[str, Any]]:
    """`[{"value", "visitors"}]`; for goals and names of properties `visitors` is None. Raises `QueryError`s."""
    limit = max(1, min(limit, MAX_VALUES))
    if dimension_name == PROP_NAMES:
        parameters: dict[str, Value] = {
            "site_id": facts.site_id,
            "from_hour_s": range_.from_ms // HOUR_MS * 3600,
            "until_hour_s": -(-range_.until_ms // HOUR_MS) * 3600,
            "text": text,
            "rows": limit,
        }
        rows = reader.rows(sql_text("prop_names"), parameters, ticket)
        return [{"value": name, "visitors": None} for name, _ in rows]
    if dimension_name == GOAL:
        names = [goal.name for goal in facts.goals if text.casefold() in goal.name.casefold()]
        return [{"value": name, "visitors": None} for name in sorted(names)[:limit]]
    dimension = find_dimension(dimension_name)
    if dimension is None or dimension.level is Level.TIME:
        raise unknown_value(
            "dimension", "dimension to filter by", dimension_name, (*FILTERABLE, PROPS_PREFIX + "<name>")
        )
    parts = () if filters is None else filters.filters
    if text:
        parts = (*parts, Leaf(Operator.CONTAINS, dimension, (text,), is_case_sensitive=False))
    query = Query(
        site_id=facts.site_id,
        range=range_,
        metrics=(METRICS["visitors"],),
        dimensions=(dimension,),
        filters=Every(parts),
        order_by=(Order("visitors", is_descending=True),),
        goals=facts.goals,
        limit_rows=limit,
    )
    return [{"value": row.dimensions[0], "visitors": row.metrics[0]} for row in answerer.answer(query).rows]
