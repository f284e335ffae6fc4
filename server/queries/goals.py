"""What a goal counts, and what an event's goal looks like in SQL.

kinds: `event` (custom events by name), `page` (views by path), `scroll` (the first report that a visit's scroll on a
page reached a depth). Names and paths are patterns: `*` and `**` stand for any text, also none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.models import Goal
from server.queries.parameters import Parameters

KINDS = ("event", "page", "scroll")


@dataclass(frozen=True, slots=True)
class GoalRule:
    """One goal of a site."""

    goal_id: int
    name: str
    kind: str
    pattern: str
    scroll_percent: int = 0
    currency: str = ""

    @classmethod
    def of(cls, goal: Goal) -> GoalRule:
        """The rule of a stored goal."""
        pattern = goal.event_name if goal.kind == "event" else goal.page_pattern
        return cls(goal.goal_id, goal.display_name, goal.kind, pattern, goal.scroll_percent, goal.currency)

    def fits_sql(self, value: str, parameters: Parameters) -> str:
        """Whether a name or path is one that this goal counts."""
        if has_wildcard(self.pattern):
            return f"match({value}, {parameters.text(wildcard_regex(self.pattern))})"
        return f"{value} = {parameters.text(self.pattern)}"


def wildcard_regex(pattern: str) -> str:
    """RE2 for a pattern in which `*` stands for any text."""
    parts = re.split(r"\*+", pattern)
    return "^(?s:" + ".*".join(re.escape(part) for part in parts) + ")$"


def has_wildcard(pattern: str) -> bool:
    """Whether a pattern is more than one name or path."""
    return "*" in pattern
