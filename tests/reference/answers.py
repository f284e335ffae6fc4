"""The naive twin of `server.queries`: answers a `Query` from raw events, in plain Python, one fact after the other.

Written from the definitions (DESIGN section 6), not from the engine: visits are walked event by event, every filter is
tried on every event, days come from `datetime`. Percentiles are exact.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from clickhouse_cityhash.cityhash import CityHash64

from server.queries.dimensions import NO_PROP, Dimension, Level, country_names
from server.queries.goals import GoalRule
from server.queries.model import Either, Every, Filter, GoalLeaf, HasDone, Leaf, Negated, Operator, Query, leaves
from server.queries.periods import SiteCalendar

Event = Mapping[str, Any]
Key = tuple[Any, ...]

GAP_MS = 30 * 60 * 1000
KINDS = {"pageview": 1, "custom": 2, "engagement": 3, "vitals": 4, "timings": 5}


@dataclass
class Visit:
    """A visit: its events in order. `number` 0: engagement that belongs to none."""

    day: date
    visitor_id: int
    number: int
    events: list[Event] = field(default_factory=list)

    @property
    def weight(self) -> int:
        return int(self.events[0]["sample_weight"])

    @property
    def started_ms(self) -> int:
        return int(self.events[0]["time_ms"])

    @property
    def views(self) -> list[Event]:
        return [event for event in self.events if event["kind"] == "pageview"]

    @property
    def engaged_ms(self) -> int:
        return sum(engaged_ms(event) for event in self.events)

    @property
    def is_bounce(self) -> bool:
        interactive = any(event["kind"] == "custom" and event["interactive"] for event in self.events)
        return len(self.views) < 2 and not interactive and self.engaged_ms < 10_000


def engaged_ms(event: Event) -> int:
    """Only reports of engagement have it."""
    return int(event["engaged_ms"]) if event["kind"] == "engagement" else 0


def scroll(event: Event) -> int:
    """The depth that a report of engagement tells, else -1."""
    depth = int(event["scroll_depth_percent"])
    return depth if event["kind"] == "engagement" and depth <= 100 else -1


def order(event: Event) -> tuple[int, int, int]:
    """Time, and what is equal then by kind, and by 26 bits of load and path."""
    rank = (event["load_id"] + CityHash64(event["path"].encode())) % 2**26
    return event["time_ms"], KINDS[event["kind"]], rank


def local_day(calendar: SiteCalendar, at_ms: int) -> date:
    """The date on the site's wall."""
    zone = calendar.zone(datetime.fromtimestamp(at_ms / 1000, UTC).date())
    return datetime.fromtimestamp(at_ms // 1000, zone).date()


def stitch(events: Iterable[Event], calendar: SiteCalendar) -> list[Visit]:
    """Every visit, and what belongs to none, visitor by visitor."""
    people: dict[tuple[date, int], list[Event]] = defaultdict(list)
    for event in events:
        if KINDS[event["kind"]] <= 3:
            people[local_day(calendar, event["time_ms"]), event["visitor_id"]].append(event)
    found = []
    for (day, visitor_id), theirs in people.items():
        strays = Visit(day, visitor_id, 0)
        visits: list[Visit] = []
        last_ms = None
        for event in sorted(theirs, key=order):
            is_soon = last_ms is not None and event["time_ms"] - last_ms <= GAP_MS
            if event["kind"] == "engagement":
                (visits[-1] if visits else strays).events.append(event)
                if not is_soon:
                    continue
            elif visits and is_soon:
                visits[-1].events.append(event)
            else:
                visits.append(Visit(day, visitor_id, len(visits) + 1, [event]))
            last_ms = event["time_ms"]
        found += [*visits, *([strays] if strays.events else [])]
    return found


class Twin:
    """The answers about one site's events."""

    def __init__(self, events: Sequence[Event], calendar: SiteCalendar) -> None:
        self.calendar = calendar
        self.events = events
        self.visits = stitch(events, calendar)

    # -- filters -------------------------------------------------------------------------------------------------

    def holds(self, filter_: Filter, visit: Visit, event: Event | None) -> bool:
        """Whether a filter holds for an event of a visit, or for the visit."""
        match filter_:
            case Every(filters):
                return all(self.holds(each, visit, event) for each in filters)
            case Either(filters):
                return any(self.holds(each, visit, event) for each in filters)
            case Negated(inner):
                return not self.holds(inner, visit, event)
            case HasDone(inner):
                return self.has_event(inner, visit)
            case GoalLeaf(goals):
                assert event is not None
                return any(reaches(goal, visit, event) for goal in goals)
        shown = self.shown(filter_.dimension, visit, event)
        return self.compares(filter_, shown)

    def has_event(self, filter_: Filter, visit: Visit) -> bool:
        """Whether any event of the visit matches."""
        goals = goals_in(filter_)
        return any(is_event(event, visit, goals) and self.holds(filter_, visit, event) for event in visit.events)

    @staticmethod
    def compares(leaf: Leaf, shown: str) -> bool:
        fold: Callable[[str], str] = (lambda text: text) if leaf.is_case_sensitive else str.lower
        values, shown = [fold(value) for value in leaf.values], fold(shown)
        match leaf.operator.positive:
            case Operator.IS:
                found = shown in values
            case Operator.CONTAINS:
                found = any(value in shown for value in values)
            case Operator.MATCHES:
                found = any(re.search(value, shown) for value in values)
            case _:
                found = any(wildcard(value, shown) for value in values)
        return found is not leaf.operator.is_negative

    def shown(self, dimension: Dimension, visit: Visit, event: Event | None) -> str:
        """The value of a dimension as it is shown."""
        if dimension.level is Level.EVENT:
            assert event is not None
            if dimension.column == "props":
                return event["props"].get(dimension.name.removeprefix("event:props:"), "") or NO_PROP
            if dimension.column == "event_name":
                return "pageview" if event["kind"] == "pageview" else str(event["event_name"])
            return str(event[dimension.column])
        first = visit.events[0]
        match dimension.column:
            case "":
                return ""
            case "entry_page":
                return str(visit.views[0]["path"]) if visit.views else ""
            case "exit_page":
                return str(visit.views[-1]["path"]) if visit.views else ""
            case "visit_hostname":
                return str(first["hostname"])
            case "screen_class":
                return dimension.shown(screen_class(first["screen_width_px"]))
        if dimension.name == "visit:country_name":
            return country_names().get(first["country"], first["country"])
        return dimension.shown(str(first[dimension.column]))

    # -- answers -------------------------------------------------------------------------------------------------

    def sums(self, query: Query, bucket: Callable[[int], Any], currency: str = "") -> dict[Key, dict[str, int]]:
        """Group → component → sum. `bucket` gives the number of an instant's bucket."""
        return _Sums(self, query, bucket, currency).all()


def reaches(goal: GoalRule, visit: Visit, event: Event) -> bool:
    """Whether an event reaches a goal: for a depth, the first report of the visit that does."""
    if goal.kind == "event":
        return event["kind"] == "custom" and wildcard(goal.pattern, event["event_name"])
    if goal.kind == "page":
        return event["kind"] == "pageview" and wildcard(goal.pattern, event["path"])
    if scroll(event) < goal.scroll_percent or not wildcard(goal.pattern, event["path"]):
        return False
    return not any(
        order(other) < order(event) and other["path"] == event["path"] and scroll(other) >= goal.scroll_percent
        for other in visit.events
    )


def wildcard(pattern: str, text: str) -> bool:
    """`*` stands for any text."""
    return re.fullmatch(".*".join(re.escape(part) for part in re.split(r"\*+", pattern)), text, re.DOTALL) is not None


def screen_class(width_px: int) -> str:
    """The class of a screen's width."""
    if not width_px:
        return ""
    classes = ((576, "Mobile"), (992, "Tablet"), (1440, "Laptop"))
    return next((name for below, name in classes if width_px < below), "Desktop")


def goals_in(filter_: Filter) -> list[GoalRule]:
    """The goals that a filter names, behind has_done too when asked for the filter inside it."""
    return [
        goal for leaf in leaves(filter_, behind_has_done=False) if isinstance(leaf, GoalLeaf) for goal in leaf.goals
    ]


def is_event(event: Event, visit: Visit, goals: Iterable[GoalRule]) -> bool:
    """A view, a custom event, or the report that reaches one of these goals."""
    if visit.number == 0:
        return False
    return KINDS[event["kind"]] < 3 or any(goal.kind == "scroll" and reaches(goal, visit, event) for goal in goals)


def is_of_events(filter_: Filter) -> bool:
    """Whether it may hold for one event of a visit and not for another."""
    return any(
        isinstance(leaf, GoalLeaf) or leaf.dimension.level is Level.EVENT
        for leaf in leaves(filter_, behind_has_done=False)
    )


class _Sums:
    """The components of one query."""

    def __init__(self, twin: Twin, query: Query, bucket: Callable[[int], Any], currency: str) -> None:
        self.twin, self.query, self.bucket, self.currency = twin, query, bucket, currency
        self.of_events = [each for each in query.filters.filters if is_of_events(each)]
        self.of_visits = [each for each in query.filters.filters if not is_of_events(each)]
        self.is_by_clock = query.interval is not None and query.interval.value in ("minute", "hour")
        self.goal_dimension = query.has_goal_dimension
        self.is_by_event = any(each.level in (Level.EVENT, Level.GOAL) for each in query.dimensions)
        asked = query.filtered_goals
        self.counted_goals = query.goals if asked is None else asked
        self.goals = list(self.counted_goals) if self.goal_dimension else goals_in(Every(tuple(self.of_events)))
        self.base_goals = list(self.counted_goals) if self.goal_dimension else []
        self.sums: dict[Key, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.distinct: dict[tuple[str, Key, Key], int] = defaultdict(int)
        self.present: set[Key] = set()

    def all(self) -> dict[Key, dict[str, int]]:
        for visit in self.twin.visits:
            if all(self.twin.holds(each, visit, None) for each in self.of_visits):
                if visit.number:
                    self._count_visit(visit)
                self._count_pages(visit)
        for (name, group, _), value in self.distinct.items():
            self.sums[group][name] += value
        if not self.query.dimensions:
            return {(): self.sums[()]}
        return {group: sums for group, sums in self.sums.items() if group in self.present}

    def _in_range(self, at_ms: int) -> bool:
        return self.query.range.from_ms <= at_ms < self.query.range.until_ms

    def _day_ms(self, visit: Visit) -> int:
        return max(self.twin.calendar.start_ms(visit.day), self.query.range.from_ms)

    def _matched(self, visit: Visit, filters: Sequence[Filter], goals: Sequence[GoalRule]) -> list[Event]:
        return [
            event
            for event in visit.events
            if is_event(event, visit, goals)
            and self._in_range(event["time_ms"])
            and all(self.twin.holds(each, visit, event) for each in filters)
        ]

    def _groups(self, visit: Visit, event: Event) -> list[Key]:
        """The groups that an event belongs to: one, or one for each goal it reaches."""
        goals = [goal for goal in self.counted_goals if reaches(goal, visit, event)] if self.goal_dimension else [None]
        return [tuple(self._value(each, visit, event, goal) for each in self.query.dimensions) for goal in goals]

    def _value(self, dimension: Dimension, visit: Visit, event: Event, goal: GoalRule | None) -> Any:
        if dimension.level is Level.TIME:
            return self.bucket(event["time_ms"] if self.is_by_clock else self._day_ms(visit))
        if dimension.level is Level.GOAL:
            assert goal is not None
            return goal.name
        return self.twin.shown(dimension, visit, event)

    def _visit_group(self, visit: Visit) -> Key:
        values: list[Any] = []
        for each in self.query.dimensions:
            if each.level is Level.TIME:
                values.append(self.bucket(visit.started_ms if self.is_by_clock else self._day_ms(visit)))
            elif each.level is Level.EVENT:
                entry = str(visit.views[0]["path"]) if visit.views else ""
                values.append(entry if each.name == "event:page" else str(visit.events[0]["hostname"]))
            else:
                values.append(self.twin.shown(each, visit, None) if each.level is Level.VISIT else "")
        return tuple(values)

    def _count_visit(self, visit: Visit) -> None:
        person = (visit.day, visit.visitor_id)
        matched = self._matched(visit, self.of_events, self.goals)
        for event in matched:
            for group in self._groups(visit, event):
                self._count_event(visit, event, group, person)
        base = [each for each in self.of_events if not _is_conversion(each)]
        grouped = self._matched(visit, base, self.base_goals)
        for event in grouped:
            dimensions = [each for each in self.query.dimensions if each.level is not Level.GOAL]
            values = [self._value(each, visit, event, None) for each in dimensions]
            for goal in [goal.name for goal in self.counted_goals] if self.goal_dimension else [""]:
                group = self._with_goal(values, goal)
                key = ("group_visitors", group, person)
                self.distinct[key] = max(self.distinct[key], event["sample_weight"])
        for view in [event for event in visit.views if self._in_range(event["time_ms"])]:
            if len(self.query.dimensions) == 1:
                self.sums[(view["path"],)]["group_pageviews"] += view["sample_weight"]
        if matched and self._in_range(visit.started_ms):
            group = self._visit_group(visit)
            if not self.is_by_event:
                self.present.add(group)
            if self.is_by_clock and not self.is_by_event:
                self.sums[group]["visits"] += visit.weight
            for name, value in (
                ("session_visits", 1),
                ("visit_views", len(visit.views)),
                ("bounces", int(visit.is_bounce)),
                ("engaged_ms", visit.engaged_ms),
            ):
                self.sums[group][name] += value * visit.weight

    def _with_goal(self, values: Sequence[Any], goal: str) -> Key:
        rest = list(values)
        return tuple(goal if each.level is Level.GOAL else rest.pop(0) for each in self.query.dimensions)

    def _count_event(self, visit: Visit, event: Event, group: Key, person: Key) -> None:
        weight = event["sample_weight"]
        self.present.add(group)
        sums = self.sums[group]
        sums["events"] += weight
        sums["pageviews"] += weight * (event["kind"] == "pageview")
        currency = self.currency
        if self.goal_dimension:
            names = [each.level is Level.GOAL for each in self.query.dimensions]
            name = group[names.index(True)]
            currency = next(goal.currency for goal in self.query.goals if goal.name == name)
        if currency and event["revenue_currency"] == currency:
            sums["revenue_micros"] += event["revenue_micros"] * weight
            sums["revenue_events"] += weight
        key = ("visitors", group, person)
        self.distinct[key] = max(self.distinct[key], weight)
        if self.is_by_event or not self.is_by_clock:
            self.distinct["visits", group, (*person, visit.number)] = visit.weight

    def _count_pages(self, visit: Visit) -> None:
        if self.goal_dimension:
            return
        here = [each for each in self.of_events if _is_place(each)]
        rest = [each for each in self.of_events if not _is_place(each)]
        if not all(self.twin.has_event(each, visit) for each in rest):
            return
        deepest: dict[tuple[Key, str], int] = {}
        for event in visit.events:
            if event["kind"] == "custom" or not self._in_range(event["time_ms"]):
                continue
            if not all(self.twin.holds(each, visit, event) for each in here):
                continue
            (group,) = self._groups(visit, event)
            self.sums[group]["page_engaged_ms"] += engaged_ms(event) * visit.weight
            page = (group, event["path"])
            if event["kind"] == "pageview":
                visited = (visit.day, visit.visitor_id, visit.number, event["path"])
                self.distinct["page_visits", group, visited] = visit.weight
            if visit.number and scroll(event) >= 0:
                deepest[page] = max(deepest.get(page, 0), scroll(event))
        for (group, _), depth in deepest.items():
            self.sums[group]["scroll_percent"] += depth * visit.weight
            self.sums[group]["scrolled_pages"] += visit.weight


def _is_conversion(filter_: Filter) -> bool:
    if isinstance(filter_, GoalLeaf):
        return True
    return isinstance(filter_, Leaf) and filter_.dimension.name.startswith("event:props:")


def _is_place(filter_: Filter) -> bool:
    """Whether it asks nothing of an event but where it happened."""
    return all(
        isinstance(leaf, Leaf)
        and (leaf.dimension.level is not Level.EVENT or leaf.dimension.name in ("event:page", "event:hostname"))
        for leaf in leaves(filter_, behind_has_done=False)
    )
