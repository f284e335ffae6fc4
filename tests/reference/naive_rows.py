"""From the naive twin's sums to the rows of an answer: one formula for each metric."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from server.queries.dimensions import Level
from server.queries.model import Every, GoalLeaf, Leaf, Query
from server.queries.periods import SiteCalendar
from tests.reference.answers import Event, Twin

Sums = Mapping[str, int]


def label(calendar: SiteCalendar, query: Query, at_ms: int) -> str:
    """The label of the bucket of an instant."""
    assert query.interval is not None
    local = calendar.local(at_ms)
    match query.interval.value:
        case "hour":
            name = local.strftime("%Y-%m-%d %H:00:00")
            offset = local.strftime("%z")
            return name + (f"{offset[:3]}:{offset[3:5]}" if _is_hour_repeated(local) else "")
        case "day":
            return local.date().isoformat()
        case "week":
            monday = local.date() - timedelta(days=local.weekday())
            return max(monday, calendar.local(query.range.from_ms).date()).isoformat()
    return local.date().replace(day=1).isoformat()


def _is_hour_repeated(local: datetime) -> bool:
    """Whether the clocks show any minute of this hour twice."""
    minutes = [local.replace(minute=minute, second=0, microsecond=0, fold=0) for minute in range(60)]
    return any(_offset(each) > _offset(each.replace(fold=1)) for each in minutes)


def _offset(local: datetime) -> timedelta:
    offset = local.utcoffset()
    assert offset is not None
    return offset


def expected_rows(
    events: Sequence[Event], calendar: SiteCalendar, query: Query
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Dimensions → metric → value, without an order."""
    twin = Twin(events, calendar)

    def bucket(at_ms: int) -> str:
        return label(calendar, query, max(at_ms, query.range.from_ms))

    sums = twin.sums(query, bucket, _currency(query))
    total = total_visitors(twin, query)
    return {
        group: {
            metric.name: _FORMULAS[metric.name](figures, total, _currency_of(query, group)) for metric in query.metrics
        }
        for group, figures in sums.items()
    }


def total_visitors(twin: Twin, query: Query) -> int:
    """Visitors of the whole range, for rates without the goal."""
    filters = query.filters
    if any(metric.name.endswith("conversion_rate") for metric in query.metrics):
        kept = [each for each in filters.filters if not isinstance(each, GoalLeaf)]
        kept = [each for each in kept if not (isinstance(each, Leaf) and each.dimension.column == "props")]
        filters = Every(tuple(kept))
    whole = dataclasses.replace(query, dimensions=(), interval=None, filters=filters)
    return twin.sums(whole, lambda _: 0)[()].get("visitors", 0)


def _currency(query: Query) -> str:
    goals = query.filtered_goals or ()
    if query.has_goal_dimension:
        return ""
    found = {goal.currency for goal in goals if goal.currency}
    return found.pop() if len(found) == 1 else ""


def _currency_of(query: Query, group: tuple[Any, ...]) -> str:
    for dimension, value in zip(query.dimensions, group, strict=True):
        if dimension.level is Level.GOAL:
            return next(goal.currency for goal in query.goals if goal.name == value)
    return _currency(query)


def half_up(part: int, whole: int, digits: int = 0, nothing: Any = 0) -> Any:
    """part / whole, rounded half up."""
    if not whole:
        return nothing
    text = Fraction(part, whole) * 10**digits + Fraction(1, 2)
    floor = text.numerator // text.denominator
    return floor / 10**digits if digits else floor


def _money(micros: Fraction, currency: str) -> dict[str, Any] | None:
    if not currency:
        return None
    return {"value": float(micros / 1_000_000), "currency": currency}


def _percent(part: int, whole: int, digits: int) -> Any:
    return half_up(100 * part, whole, digits)


_FORMULAS: dict[str, Callable[[Sums, int, str], Any]] = {
    "visitors": lambda s, _, __: s.get("visitors", 0),
    "visits": lambda s, _, __: s.get("visits", 0),
    "pageviews": lambda s, _, __: s.get("pageviews", 0),
    "events": lambda s, _, __: s.get("events", 0),
    "bounce_rate": lambda s, _, __: half_up(100 * s.get("bounces", 0), s.get("session_visits", 0)),
    "views_per_visit": lambda s, _, __: half_up(s.get("visit_views", 0), s.get("session_visits", 0), 2),
    "visit_duration": lambda s, _, __: half_up(s.get("engaged_ms", 0), 1000 * s.get("session_visits", 0)),
    "time_on_page": lambda s, _, __: half_up(s.get("page_engaged_ms", 0), 1000 * s.get("page_visits", 0), 0, None),
    "scroll_depth": lambda s, _, __: half_up(s.get("scroll_percent", 0), s.get("scrolled_pages", 0), 0, None),
    "percentage": lambda s, total, _: _percent(s.get("visitors", 0), total, 1),
    "conversion_rate": lambda s, total, _: _percent(s.get("visitors", 0), total, 2),
    "group_conversion_rate": lambda s, _, __: _percent(s.get("visitors", 0), s.get("group_visitors", 0), 2),
    "exit_rate": lambda s, _, __: half_up(100 * s.get("visits", 0), s.get("group_pageviews", 0), 1, None),
    "total_revenue": lambda s, _, currency: _money(Fraction(s.get("revenue_micros", 0)), currency),
    "average_revenue": lambda s, _, currency: _money(
        Fraction(s.get("revenue_micros", 0), s.get("revenue_events", 0) or 1), currency
    ),
}
