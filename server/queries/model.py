"""A question to the event store, checked: what `parsing` makes of a request and `planner` answers.

Everything here is immutable and says nothing of HTTP or SQL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from server.queries.dimensions import GOAL, PROPS_PREFIX, Dimension
from server.queries.goals import GoalRule
from server.queries.metrics import AnyMetric
from server.queries.periods import Interval, TimeRange

# Plausible's default and most; what is more is asked for page by page, or exported.
DEFAULT_LIMIT_ROWS = 10_000
MAX_LIMIT_ROWS = 10_000
MAX_OFFSET_ROWS = 1_000_000


class Operator(StrEnum):
    """How a filter compares."""

    IS = "is"
    IS_NOT = "is_not"
    CONTAINS = "contains"
    CONTAINS_NOT = "contains_not"
    MATCHES = "matches"
    MATCHES_NOT = "matches_not"
    MATCHES_WILDCARD = "matches_wildcard"
    MATCHES_WILDCARD_NOT = "matches_wildcard_not"

    @property
    def is_negative(self) -> bool:
        """Whether it holds when none of the values matches."""
        return self.value.endswith("_not")

    @property
    def positive(self) -> Operator:
        """The operator that this one denies."""
        return Operator(self.value.removesuffix("_not"))


@dataclass(frozen=True, slots=True)
class Leaf:
    """A comparison of one dimension: it holds when any of the values matches, negated when none does."""

    operator: Operator
    dimension: Dimension
    values: tuple[str, ...]
    is_case_sensitive: bool = True


@dataclass(frozen=True, slots=True)
class GoalLeaf:
    """An event that reaches one of these goals."""

    goals: tuple[GoalRule, ...]


@dataclass(frozen=True, slots=True)
class Every:
    """All of them hold; without any, everything does."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """At least one of them holds."""

    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Negated:
    """It does not hold."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class HasDone:
    """An event of the visit matches."""

    filter: Filter


Filter = Leaf | GoalLeaf | Every | Either | Negated | HasDone


def leaves(filter_: Filter, *, behind_has_done: bool = True) -> Iterator[Leaf | GoalLeaf]:
    """The comparisons in a filter."""
    match filter_:
        case Every(filters) | Either(filters):
            for inner in filters:
                yield from leaves(inner, behind_has_done=behind_has_done)
        case Negated(inner):
            yield from leaves(inner, behind_has_done=behind_has_done)
        case HasDone(inner):
            if behind_has_done:
                yield from leaves(inner)
        case Leaf() | GoalLeaf():
            yield filter_


def behaviours(filter_: Filter) -> bool:
    """Whether it looks for what a visit has done."""
    match filter_:
        case Every(filters) | Either(filters):
            return any(behaviours(each) for each in filters)
        case Negated(inner):
            return behaviours(inner)
    return isinstance(filter_, HasDone)


def without_goals(filter_: Every) -> Every:
    """The filters of whoever might have converted: without goals, and without the props that go with them."""

    def stays(inner: Filter) -> bool:
        if isinstance(inner, GoalLeaf):
            return False
        return not (isinstance(inner, Leaf) and inner.dimension.name.startswith(PROPS_PREFIX))

    return Every(tuple(inner for inner in filter_.filters if stays(inner)))


@dataclass(frozen=True, slots=True)
class Order:
    """By a metric or a dimension of the query."""

    name: str
    is_descending: bool


@dataclass(frozen=True, slots=True)
class Include:
    """What an answer holds besides its rows."""

    imports: bool = False
    time_labels: bool = False
    total_rows: bool = False
    explain: bool = False
    comparison: TimeRange | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One question about one site."""

    site_id: int
    range: TimeRange
    metrics: tuple[AnyMetric, ...]
    dimensions: tuple[Dimension, ...]
    filters: Every
    order_by: tuple[Order, ...]
    goals: tuple[GoalRule, ...]
    """All goals of the site; the dimension `event:goal` counts each of those that the filters leave."""
    include: Include = Include()
    interval: Interval | None = None
    """The width of the time dimension's buckets, when there is one."""
    limit_rows: int = DEFAULT_LIMIT_ROWS
    offset_rows: int = 0

    @property
    def has_goal_dimension(self) -> bool:
        """Whether goals are counted one by one."""
        return any(each.name == GOAL for each in self.dimensions)

    @property
    def filtered_goals(self) -> tuple[GoalRule, ...] | None:
        """The goals that a filter asks for, None without one."""
        asked = [set(each.goals) for each in self.filters.filters if isinstance(each, GoalLeaf)]
        if not asked:
            return None
        return tuple(goal for goal in self.goals if all(goal in goals for goals in asked))
