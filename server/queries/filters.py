"""A request's filters → the model's. Raises `QueryError`s that name the place and what is allowed there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.queries.dimensions import FILTERABLE, GOAL, NO_PROP, PROPS_PREFIX, SEGMENT, Dimension, Level, find_dimension
from server.queries.errors import Conflict, NotConfigured, QueryError, UnknownValue
from server.queries.goals import GoalRule
from server.queries.model import Either, Every, Filter, GoalLeaf, HasDone, Leaf, Negated, Operator
from server.queries.suggestions import unknown_value

# Deeper or wider filters are not written by people, and every comparison costs.
MAX_DEPTH = 8
MAX_LEAVES = 100
MAX_VALUES = 1_000
MAX_VALUE_CHARS = 2_000

_LOGICAL = ("and", "or", "not", "has_done", "has_not_done")
OPERATORS = (*Operator, *_LOGICAL)
GOAL_OPERATORS = (Operator.IS, Operator.CONTAINS)


@dataclass
class FilterParser:
    """Parses the filters of one request. `segments`: those that the caller may use, by id."""

    goals: Sequence[GoalRule]
    segments: Mapping[int, Sequence[Any]]
    leaves: int = 0

    def parse_all(self, given: object, field: str = "#/filters") -> Every:
        """The list at the top: all of them hold."""
        if not isinstance(given, list):
            raise QueryError(field, 'expected a list of filters, such as [["is", "visit:country", ["EE"]]]')
        return Every(tuple(self._parse(each, f"{field}/{index}", depth=1) for index, each in enumerate(given)))

    def _parse(
        self, given: object, field: str, *, depth: int, behind_has_done: bool = False, in_segment: bool = False
    ) -> Filter:
        if depth > MAX_DEPTH:
            raise QueryError(field, f"filters may be nested {MAX_DEPTH} deep")
        if not isinstance(given, list) or len(given) < 2 or not isinstance(given[0], str):
            raise QueryError(field, 'expected a filter, such as ["is", "visit:country", ["EE"]]')
        operator = given[0]
        if operator not in OPERATORS:
            raise unknown_value(field + "/0", "filter operator", operator, OPERATORS)
        inner: dict[str, Any] = {"depth": depth + 1, "behind_has_done": behind_has_done, "in_segment": in_segment}
        if operator in ("and", "or"):
            if len(given) != 2 or not isinstance(given[1], list) or not given[1]:
                raise QueryError(field, f'expected ["{operator}", [filter, …]] with at least one filter')
            parts = tuple(self._parse(each, f"{field}/1/{index}", **inner) for index, each in enumerate(given[1]))
            return Every(parts) if operator == "and" else Either(parts)
        if operator == "not":
            self._check_one(given, field)
            return Negated(self._parse(given[1], f"{field}/1", **inner))
        if operator in ("has_done", "has_not_done"):
            self._check_one(given, field)
            if behind_has_done:
                raise Conflict(field, "has_done and has_not_done cannot stand inside one another")
            done = HasDone(self._parse(given[1], f"{field}/1", **{**inner, "behind_has_done": True}))
            return done if operator == "has_done" else Negated(done)
        return self._parse_leaf(given, field, depth=depth, behind_has_done=behind_has_done, in_segment=in_segment)

    @staticmethod
    def _check_one(given: list[Any], field: str) -> None:
        if len(given) != 2:
            raise QueryError(field, f'expected ["{given[0]}", filter]')

    def _parse_leaf(
        self, given: list[Any], field: str, *, depth: int, behind_has_done: bool, in_segment: bool
    ) -> Filter:
        self.leaves += 1
        if self.leaves > MAX_LEAVES:
            raise QueryError(field, f"a query may have {MAX_LEAVES} comparisons")
        if len(given) not in (3, 4) or not isinstance(given[1], str):
            raise QueryError(field, f'expected ["{given[0]}", dimension, [value, …]]')
        operator, name = Operator(given[0]), given[1]
        if name == SEGMENT:
            return self._segment(operator, given, field, depth=depth, in_segment=in_segment)
        dimension = find_dimension(name)
        if dimension is None or dimension.level is Level.TIME:
            raise unknown_value(field + "/1", "dimension to filter by", name, (*FILTERABLE, PROPS_PREFIX + "<name>"))
        values = _values(given[2], field + "/2")
        sensitive = _case_sensitive(given, operator, field)
        if behind_has_done and dimension.level is Level.VISIT:
            raise Conflict(
                field + "/1", "has_done and has_not_done look for events: only event: dimensions are allowed"
            )
        if name == GOAL:
            if depth > 1 and not behind_has_done:
                raise Conflict(field + "/1", "event:goal can only be filtered at the top level, or inside has_done")
            return self._goals(operator, values, field, is_case_sensitive=sensitive)
        if name == "visit:country" and operator in (Operator.IS, Operator.IS_NOT):
            for index, value in enumerate(values):
                if value and len(value) != 2:
                    raise QueryError(f"{field}/2/{index}", f"{value!r} is no two-letter country code (ISO 3166-1)")
        return Leaf(operator, dimension, tuple(_stored_form(dimension, operator, value) for value in values), sensitive)

    def _goals(self, operator: Operator, values: tuple[str, ...], field: str, *, is_case_sensitive: bool) -> GoalLeaf:
        if operator not in GOAL_OPERATORS:
            raise unknown_value(field + "/0", "operator for event:goal", operator, GOAL_OPERATORS)

        def folded(text: str) -> str:
            return text if is_case_sensitive else text.casefold()

        wanted = [folded(value) for value in values]
        if operator is Operator.CONTAINS:
            return GoalLeaf(tuple(goal for goal in self.goals if any(part in folded(goal.name) for part in wanted)))
        there = {folded(goal.name) for goal in self.goals}
        for index, value in enumerate(values):
            if folded(value) not in there:
                names = ", ".join(sorted(goal.name for goal in self.goals)) or "none yet"
                raise NotConfigured(
                    f"{field}/2/{index}", f"the goal {value!r} is not configured for this site; goals: {names}"
                )
        return GoalLeaf(tuple(goal for goal in self.goals if folded(goal.name) in wanted))

    def _segment(self, operator: Operator, given: list[Any], field: str, *, depth: int, in_segment: bool) -> Filter:
        if operator is not Operator.IS or len(given) != 3:
            raise Conflict(field, 'a segment is used as ["is", "segment", [id]]')
        if in_segment:
            raise Conflict(field, "a segment cannot contain another one")
        numbers = given[2]
        if not isinstance(numbers, list) or not numbers or not all(type(each) is int for each in numbers):
            raise QueryError(field + "/2", "expected the ids of segments, such as [12]")
        parts: list[Filter] = []
        for index, number in enumerate(numbers):
            if number not in self.segments:
                raise NotConfigured(f"{field}/2/{index}", f"there is no segment {number} on this site")
            place = f"{field}/2/{index}"
            # What a segment holds at its top stays at the top when the segment does.
            is_top = depth == 1 and len(numbers) == 1
            parts.append(
                Every(
                    tuple(
                        self._parse(each, place, depth=depth if is_top else depth + 1, in_segment=True)
                        for each in self.segments[number]
                    )
                )
            )
        return parts[0] if len(parts) == 1 else Either(tuple(parts))


def flattened(filters: Every) -> Every:
    """Without `and` directly below the top, so that what is at the top can be told from what is not."""
    parts: list[Filter] = []
    for each in filters.filters:
        parts.extend(flattened(each).filters if isinstance(each, Every) else (each,))
    return Every(tuple(parts))


def _values(given: object, field: str) -> tuple[str, ...]:
    if not isinstance(given, list) or not given:
        raise QueryError(field, "expected a list with at least one value")
    if len(given) > MAX_VALUES:
        raise QueryError(field, f"a filter may list {MAX_VALUES} values")
    values = []
    for index, value in enumerate(given):
        if type(value) is int:  # Plausible's cities are numbers
            value = str(value)
        if not isinstance(value, str):
            raise QueryError(f"{field}/{index}", "expected a text")
        if len(value) > MAX_VALUE_CHARS:
            raise QueryError(f"{field}/{index}", f"a value may have {MAX_VALUE_CHARS} characters")
        values.append(value)
    return tuple(values)


def _case_sensitive(given: list[Any], operator: Operator, field: str) -> bool:
    if len(given) == 3:
        return True
    modifiers = given[3]
    if not isinstance(modifiers, dict) or set(modifiers) - {"case_sensitive"}:
        raise QueryError(field + "/3", 'the one modifier is {"case_sensitive": false}')
    sensitive = modifiers.get("case_sensitive", True)
    if not isinstance(sensitive, bool):
        raise QueryError(field + "/3/case_sensitive", "expected true or false")
    if operator.positive in (Operator.MATCHES, Operator.MATCHES_WILDCARD):
        raise Conflict(field + "/3", "patterns have no modifier: write (?i) into the regular expression")
    return sensitive


def _stored_form(dimension: Dimension, operator: Operator, value: str) -> str:
    """An empty value means what is shown in its place."""
    if value or operator not in (Operator.IS, Operator.IS_NOT):
        return value
    return dimension.shown("") if dimension.column != "props" else NO_PROP


__all__ = ["MAX_DEPTH", "MAX_LEAVES", "MAX_VALUES", "OPERATORS", "FilterParser", "UnknownValue", "flattened"]
