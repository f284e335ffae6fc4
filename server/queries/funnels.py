"""How many visitors go through goals in an order: each step by a later event of the same day than the one before."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from server.queries.conditions import admitted, condition, reaches
from server.queries.errors import Conflict, NotConfigured, QueryError
from server.queries.event_reader import EventReader, Ticket
from server.queries.facts import all_of, tells_events_apart, time_cut
from server.queries.metrics import rounded
from server.queries.model import Every
from server.queries.parameters import Parameters
from server.queries.parsing import SiteFacts
from server.queries.periods import TimeRange
from server.queries.statements import fill, sql_text
from server.queries.stitching import ORDER, Stitching

MIN_STEPS, MAX_STEPS = 2, 8
"""As Plausible's funnels."""


def funnel(
    reader: EventReader,
    facts: SiteFacts,
    range_: TimeRange,
    filters: Every,
    goal_ids: Sequence[int],
    ticket: Ticket | None = None,
) -> dict[str, Any]:
    """The visitors of each step. Raises `QueryError`s, and what `EventReader.rows` raises."""
    goals = {goal.goal_id: goal for goal in facts.goals}
    if not MIN_STEPS <= len(goal_ids) <= MAX_STEPS:
        raise QueryError("goal_ids", f"a funnel has {MIN_STEPS} to {MAX_STEPS} steps")
    for goal_id in goal_ids:
        if goal_id not in goals:
            raise NotConfigured("goal_ids", f"there is no goal {goal_id} on this site")
    steps = [goals[goal_id] for goal_id in goal_ids]
    if any(tells_events_apart(each) for each in filters.filters):
        raise Conflict(
            "filters", "a funnel follows whole visits: filter it by visit: dimensions, or by events inside has_done"
        )
    parameters = Parameters()
    stitching = Stitching(parameters, facts.site_id, range_.calendar, range_.days, filters=filters.filters)
    row, visit = stitching.scope("x"), stitching.scope()
    assert row.event is not None
    matched = all_of([admitted(row, steps, parameters), time_cut(range_, row.event("ms"), parameters)])
    parts = {
        "matched": f"arrayFilter(x -> {matched}, visits.rows)",
        "reached": ", ".join(f"toUInt8({reaches(goal, row, parameters)})" for goal in steps),
        "order": ", ".join(row.event(name) for name in ORDER),
        "weight": str(stitching.column("weight")),
        "about_visit": all_of([condition(each, visit, parameters) for each in filters.filters]),
        "length": str(len(steps)),
    }
    statement = fill(sql_text("funnel"), visits=stitching.sql(), **parts)
    levels = {int(level): int(visitors) for level, visitors in reader.rows(statement, parameters.values, ticket)}
    everybody = sum(levels.values())
    reached = [sum(count for level, count in levels.items() if level > index) for index in range(len(steps))]
    return {
        "all_visitors": everybody,
        "entering_visitors": reached[0],
        "entering_visitors_percentage": _percent(reached[0], everybody),
        "never_entering_visitors": everybody - reached[0],
        "conversion_rate": _percent(reached[-1], reached[0]),
        "steps": [
            {
                "goal_id": goal.goal_id,
                "name": goal.name,
                "label": goal.name,
                "visitors": visitors,
                "conversion_rate": _percent(visitors, reached[0]),
                "conversion_rate_step": _percent(visitors, before),
                "dropoff": before - visitors,
                "dropoff_percentage": _percent(before - visitors, before),
            }
            for goal, visitors, before in zip(steps, reached, (reached[0], *reached), strict=False)
        ],
    }


def _percent(part: int, whole: int) -> float:
    return rounded(Fraction(100 * part, whole), 2) if whole else 0
