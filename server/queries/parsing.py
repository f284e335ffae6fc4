"""A request document of Stats API v2 → a `Query`. Raises `QueryError` and its kinds; touches no store.

What it needs to know of the site comes in as `SiteFacts`. `SCHEMA_KEYS` and the tables of `metrics`, `dimensions` and
`filters` are what the OpenAPI document is made from: there is one source for what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from server.queries.dimensions import DIMENSIONS, GOAL, PAGE, PROPS_PREFIX, Dimension, Level, find_dimension
from server.queries.errors import Conflict, QueryError
from server.queries.filters import FilterParser, flattened
from server.queries.goals import GoalRule
from server.queries.metrics import (
    GOAL_METRICS,
    METRICS,
    PAGE_METRICS,
    SESSION_METRICS,
    AnyMetric,
    Family,
    find_metric,
    vital_metric_forms,
)
from server.queries.model import (
    DEFAULT_LIMIT_ROWS,
    MAX_LIMIT_ROWS,
    MAX_OFFSET_ROWS,
    Every,
    GoalLeaf,
    Include,
    Leaf,
    Order,
    Query,
    behaviours,
    leaves,
)
from server.queries.periods import (
    Interval,
    SiteCalendar,
    TimeRange,
    TooManyBuckets,
    auto_interval,
    buckets,
    months_before,
    year_before,
)
from server.queries.suggestions import unknown_value

SCHEMA_KEYS = ("site_id", "metrics", "date_range", "dimensions", "filters", "order_by", "include", "pagination")
INCLUDE_KEYS = (
    "imports",
    "time_labels",
    "total_rows",
    "explain",
    "comparisons",
    "compare",
    "compare_match_day_of_week",
)
COMPARISON_MODES = ("previous_period", "year_over_year", "custom")
DATE_RANGES = ("day", "7d", "28d", "30d", "91d", "month", "6mo", "12mo", "year", "all")
MAX_METRICS = 40
MAX_DIMENSIONS = 5
MAX_DAYS = 5_000
MAX_MONTHS = 100
FIRST_YEAR, LAST_YEAR = 1970, 2105
"""What ClickHouse's DateTime holds, with a year to spare for every zone."""


@dataclass(frozen=True)
class SiteFacts:
    """What a query's meaning depends on besides its text. `segments`: those that the caller may use, by id."""

    site_id: int
    calendar: SiteCalendar
    now_ms: int
    first_day: date | None = None
    goals: tuple[GoalRule, ...] = ()
    segments: Mapping[int, Sequence[Any]] = field(default_factory=dict)

    @property
    def today(self) -> date:
        """The site's present day."""
        return self.calendar.day_at(self.now_ms)


def parse_query(document: object, facts: SiteFacts) -> Query:
    """Check a request. Raises `QueryError`."""
    if not isinstance(document, dict):
        raise QueryError("#", "expected an object with site_id, metrics and date_range")
    for key in document:
        if key not in SCHEMA_KEYS:
            raise unknown_value(f"#/{key}", "key", key, SCHEMA_KEYS)
    for key in ("metrics", "date_range"):
        if key not in document:
            raise QueryError(f"#/{key}", "this key is required")
    metrics = parse_metrics(document["metrics"])
    dimensions = parse_dimensions(document.get("dimensions", []))
    range_ = parse_date_range(document["date_range"], facts)
    filters = parse_filters(document.get("filters", []), facts)
    dimensions, interval = _resolve_time(dimensions, range_)
    query = Query(
        site_id=facts.site_id,
        range=range_,
        metrics=metrics,
        dimensions=dimensions,
        filters=filters,
        order_by=(),
        goals=facts.goals,
        interval=interval,
    )
    query = replace(query, order_by=_order_by(document.get("order_by"), query))
    query = replace(query, include=_include(document.get("include", {}), query, facts))
    limit, offset = _pagination(document.get("pagination", {}))
    query = replace(query, limit_rows=limit, offset_rows=offset)
    check_conflicts(query)
    return query


def parse_filters(given: object, facts: SiteFacts, field: str = "#/filters") -> Every:
    """Filters that stand by themselves. Raises `QueryError`."""
    return flattened(FilterParser(facts.goals, facts.segments).parse_all(given, field))


def parse_metrics(given: object) -> tuple[AnyMetric, ...]:
    """The metrics, each once."""
    names = _names(given, "#/metrics", MAX_METRICS)
    if not names:
        raise QueryError("#/metrics", "at least one metric is needed")
    metrics = []
    for index, name in enumerate(names):
        metric = find_metric(name)
        if metric is None:
            raise unknown_value(f"#/metrics/{index}", "metric", name, (*METRICS, *vital_metric_forms()))
        metrics.append(metric)
    return tuple(metrics)


def parse_dimensions(given: object) -> tuple[Dimension, ...]:
    """The dimensions, each once, at most one of time."""
    dimensions = []
    for index, name in enumerate(_names(given, "#/dimensions", MAX_DIMENSIONS)):
        dimension = find_dimension(name)
        if dimension is None:
            raise unknown_value(f"#/dimensions/{index}", "dimension", name, (*DIMENSIONS, PROPS_PREFIX + "<name>"))
        dimensions.append(dimension)
    if sum(each.level is Level.TIME for each in dimensions) > 1:
        raise Conflict("#/dimensions", "at most one dimension of time is allowed")
    return tuple(dimensions)


def _names(given: object, field: str, most: int) -> list[str]:
    if not isinstance(given, list):
        raise QueryError(field, "expected a list of names")
    if len(given) > most:
        raise QueryError(field, f"at most {most} are allowed")
    for index, name in enumerate(given):
        if not isinstance(name, str):
            raise QueryError(f"{field}/{index}", "expected a name")
    if len(set(given)) != len(given):
        raise QueryError(field, "expected names that differ from each other")
    return given


def _resolve_time(
    dimensions: tuple[Dimension, ...], range_: TimeRange
) -> tuple[tuple[Dimension, ...], Interval | None]:
    """What `time` means for this range, and the buckets' width."""
    for index, dimension in enumerate(dimensions):
        if dimension.level is not Level.TIME:
            continue
        interval = auto_interval(range_) if dimension.name == "time" else Interval(dimension.key)
        try:
            buckets(range_, interval)
        except TooManyBuckets:
            raise QueryError(
                f"#/dimensions/{index}",
                f"this range has too many buckets of a {interval}: choose a shorter range, or wider buckets",
            ) from None
        return dimensions, interval
    return dimensions, None


# -- dates -------------------------------------------------------------------------------------------------------------

_RELATIVE = re.compile(r"([1-9][0-9]{0,3})(d|mo)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_date_range(given: object, facts: SiteFacts, field: str = "#/date_range") -> TimeRange:
    """The instants that a date range means on this site. Raises `QueryError`."""
    if isinstance(given, str):
        return _named_range(given, facts, facts.today, field)
    if isinstance(given, list) and len(given) == 2 and all(isinstance(each, str) for each in given):
        return _custom_range(given[0], given[1], facts.calendar, field)
    raise _invalid_range(given, field)


def _invalid_range(given: object, field: str) -> QueryError:
    forms = (*DATE_RANGES, "<n>d", "<n>mo", '["2026-01-01", "2026-01-31"]', "two ISO 8601 times with offset")
    return unknown_value(field, "date range", given, forms)


def _named_range(name: str, facts: SiteFacts, day: date, field: str) -> TimeRange:
    """A named range as of a day: `7d` are seven days with this one as the last, `6mo` six months with its month."""
    calendar = facts.calendar
    match = _RELATIVE.fullmatch(name)
    if match is not None:
        count = int(match[1])
        if match[2] == "d" and count <= MAX_DAYS:
            return TimeRange.of_days(calendar, day - timedelta(days=count - 1), day)
        if match[2] == "mo" and count <= MAX_MONTHS:
            return TimeRange.of_days(calendar, months_before(day, count - 1), _month_end(day))
        raise QueryError(field, f"{name!r} is too long: at most {MAX_DAYS} days or {MAX_MONTHS} months are allowed")
    match name:
        case "day":
            return TimeRange.of_days(calendar, day, day)
        case "month":
            return TimeRange.of_days(calendar, day.replace(day=1), _month_end(day))
        case "year":
            return TimeRange.of_days(calendar, date(day.year, 1, 1), date(day.year, 12, 31))
        case "all":
            return TimeRange.of_days(calendar, min(facts.first_day or day, day), day)
    raise _invalid_range(name, field)


def relative_range(name: str, facts: SiteFacts, day: date, field: str = "#/date_range") -> TimeRange:
    """A named range as of another day than today, for Stats API v1."""
    return _named_range(name, facts, day, field)


def _month_end(day: date) -> date:
    return months_before(day, -1) - timedelta(days=1)


def _custom_range(first: str, last: str, calendar: SiteCalendar, field: str) -> TimeRange:
    if _DATE.fullmatch(first) and _DATE.fullmatch(last):
        days = [_date(text, f"{field}/{index}") for index, text in enumerate((first, last))]
        if days[0] > days[1]:
            raise QueryError(field, "the first date is after the last one")
        if (days[1] - days[0]).days >= MAX_DAYS:
            raise QueryError(field, f"a range may have {MAX_DAYS} days")
        return TimeRange.of_days(calendar, days[0], days[1])
    times = [_time(text, f"{field}/{index}") for index, text in enumerate((first, last))]
    from_ms, last_ms = (int(at.timestamp() * 1000) for at in times)
    if from_ms > last_ms:
        raise QueryError(field, "the first time is after the last one")
    if last_ms - from_ms >= MAX_DAYS * 86_400_000:
        raise QueryError(field, f"a range may have {MAX_DAYS} days")
    # The last second is part of the range, as a last date is.
    return TimeRange(calendar, from_ms, last_ms // 1000 * 1000 + 1000)


def _date(text: str, field: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise QueryError(field, f"{text!r} is no date, such as 2026-01-31") from None
    if not FIRST_YEAR < day.year < LAST_YEAR:
        raise QueryError(field, f"{text!r} is not between {FIRST_YEAR + 1} and {LAST_YEAR - 1}")
    return day


def _time(text: str, field: str) -> datetime:
    at: datetime | None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not FIRST_YEAR < at.year < LAST_YEAR:
        raise QueryError(
            field, f"{text[:50]!r} is no date such as 2026-01-31, nor a time such as 2026-01-31T12:00:00+02:00"
        )
    return at


# -- the rest ----------------------------------------------------------------------------------------------------------


def _order_by(given: object, query: Query) -> tuple[Order, ...]:
    """As asked, else by time, else by the first metric, the most first."""
    if given is None:
        time = next((each.name for each in query.dimensions if each.level is Level.TIME), None)
        first = Order(query.metrics[0].name, is_descending=True)
        return (first,) if time is None else (Order(time, is_descending=False), first)
    if not isinstance(given, list):
        raise QueryError("#/order_by", 'expected a list such as [["visitors", "desc"]]')
    known = [each.name for each in (*query.metrics, *query.dimensions)]
    orders = []
    for index, entry in enumerate(given):
        field = f"#/order_by/{index}"
        if not isinstance(entry, list) or len(entry) != 2:
            raise QueryError(field, 'expected a pair such as ["visitors", "desc"]')
        if entry[0] not in known:
            raise unknown_value(f"{field}/0", "metric or dimension of this query", entry[0], known)
        if entry[1] not in ("asc", "desc"):
            raise unknown_value(f"{field}/1", "direction", entry[1], ("asc", "desc"))
        orders.append(Order(entry[0], is_descending=entry[1] == "desc"))
    if len({order.name for order in orders}) != len(orders):
        raise QueryError("#/order_by", "expected each metric or dimension at most once")
    return tuple(orders)


def _include(given: object, query: Query, facts: SiteFacts) -> Include:
    if not isinstance(given, dict):
        raise QueryError("#/include", "expected an object")
    for key in given:
        if key not in INCLUDE_KEYS:
            raise unknown_value(f"#/include/{key}", "key", key, INCLUDE_KEYS)
    flags: dict[str, bool] = {}
    for key in ("imports", "time_labels", "total_rows", "explain", "compare_match_day_of_week"):
        flags[key] = given.get(key, False)
        if not isinstance(flags[key], bool):
            raise QueryError(f"#/include/{key}", "expected true or false")
    if flags["time_labels"] and query.interval is None:
        raise Conflict("#/include/time_labels", "time labels need a dimension of time")
    match_weekday = flags.pop("compare_match_day_of_week")
    return Include(comparison=_comparison(given, query, facts, match_weekday=match_weekday), **flags)


def _comparison(given: Mapping[str, Any], query: Query, facts: SiteFacts, *, match_weekday: bool) -> TimeRange | None:
    """Both of Plausible's forms: `comparisons: {mode, …}` and `compare: mode or range`."""
    if given.get("comparisons") is not None:
        field, how = "#/include/comparisons", given["comparisons"]
        if not isinstance(how, dict) or set(how) - {"mode", "date_range", "match_day_of_week"}:
            raise QueryError(field, "expected an object with mode, and with date_range or match_day_of_week")
        mode, custom = how.get("mode"), how.get("date_range")
        match_weekday = how.get("match_day_of_week", match_weekday)
        if not isinstance(match_weekday, bool):
            raise QueryError(f"{field}/match_day_of_week", "expected true or false")
        if mode == "custom" and custom is None:
            raise QueryError(f"{field}/date_range", "the mode custom needs the range to compare with")
    elif given.get("compare") is not None:
        field, mode, custom = "#/include/compare", given["compare"], None
        if isinstance(mode, list):
            mode, custom = "custom", mode
        elif mode == "custom":
            raise QueryError(field, "expected the range to compare with")
    else:
        return None
    if mode not in COMPARISON_MODES:
        raise unknown_value(field, "comparison", mode, COMPARISON_MODES)
    if mode == "custom":
        return parse_date_range(custom, facts, f"{field}/date_range")
    return compared_range(query.range, mode, facts.now_ms, match_weekday=match_weekday)


def compared_range(range_: TimeRange, mode: str, now_ms: int, *, match_weekday: bool = False) -> TimeRange:
    """The range to compare with, like for like: as many days, and of an unfinished day as much as has passed.

    `previous_period`: the days right before. `year_over_year`: the same dates a year earlier. `match_weekday` moves it
    to the nearest range that begins on the same day of the week, and does not overlap.
    """
    calendar = range_.calendar
    until_ms = min(range_.until_ms, max(now_ms, range_.from_ms))
    ending = TimeRange(calendar, range_.from_ms, until_ms)
    first, last = ending.first_day, ending.last_day
    shifted = year_before(first) if mode == "year_over_year" else first - (last - first) - timedelta(days=1)
    if match_weekday:
        ahead = (first.weekday() - shifted.weekday()) % 7
        # Right before means before: the period that is compared with may not reach into this one.
        is_ahead = ahead <= 3 and mode == "year_over_year"
        shifted += timedelta(days=ahead if is_ahead or not ahead else ahead - 7)
    shift = first - shifted
    return TimeRange(calendar, _shifted(calendar, range_.from_ms, shift), _shifted_end(calendar, until_ms, shift))


def _shifted(calendar: SiteCalendar, at_ms: int, shift: timedelta) -> int:
    """The same time of day, so many days earlier."""
    day = calendar.day_at(at_ms)
    start_ms = calendar.start_ms(day)
    if at_ms == start_ms:
        return calendar.start_ms(day - shift)
    wall = calendar.local(at_ms).replace(tzinfo=None) - shift
    moved = int(wall.replace(tzinfo=calendar.zone(day - shift)).timestamp() * 1000)
    return min(max(moved, calendar.start_ms(day - shift)), calendar.start_ms(day - shift + timedelta(days=1)))


def _shifted_end(calendar: SiteCalendar, until_ms: int, shift: timedelta) -> int:
    """An end belongs to the day that it ends."""
    day = calendar.day_at(until_ms - 1) if until_ms else calendar.day_at(until_ms)
    next_ms = calendar.start_ms(day + timedelta(days=1))
    if until_ms >= next_ms:
        return calendar.start_ms(day - shift + timedelta(days=1))
    return _shifted(calendar, until_ms, shift)


def _pagination(given: object) -> tuple[int, int]:
    if not isinstance(given, dict):
        raise QueryError("#/pagination", "expected an object with limit and offset")
    for key in given:
        if key not in ("limit", "offset"):
            raise unknown_value(f"#/pagination/{key}", "key", key, ("limit", "offset"))
    limit, offset = given.get("limit", DEFAULT_LIMIT_ROWS), given.get("offset", 0)
    if type(limit) is not int or not 1 <= limit <= MAX_LIMIT_ROWS:
        raise QueryError("#/pagination/limit", f"expected a whole number from 1 to {MAX_LIMIT_ROWS}")
    if type(offset) is not int or not 0 <= offset <= MAX_OFFSET_ROWS:
        raise QueryError("#/pagination/offset", f"expected a whole number from 0 to {MAX_OFFSET_ROWS}")
    return limit, offset


def check_conflicts(query: Query) -> None:
    """What cannot be answered together. Raises `Conflict`."""
    names = [each.name for each in query.dimensions]
    filtered = {leaf.dimension.name for leaf in leaves(query.filters, behind_has_done=False) if isinstance(leaf, Leaf)}
    has_goal = GOAL in names or query.filtered_goals is not None
    has_page = PAGE in names or PAGE in filtered
    for index, metric in enumerate(query.metrics):
        field = f"#/metrics/{index}"
        if metric.name in GOAL_METRICS and not has_goal:
            raise Conflict(field, f"{metric.name} can only be queried with event:goal filters or dimensions")
        if metric.name in PAGE_METRICS and not has_page:
            raise Conflict(field, f"{metric.name} can only be queried with event:page filters or dimensions")
        if metric.name in PAGE_METRICS and any(_is_of_single_events(each) for each in query.dimensions):
            raise Conflict(field, f"{metric.name} is of pages: it cannot be grouped by event:name, event:goal or props")
        if metric.name == "percentage" and not names:
            raise Conflict(field, "percentage needs dimensions")
        if metric.name == "exit_rate" and (names != ["visit:exit_page"] or _has_event_filter(query.filters)):
            raise Conflict(field, "exit_rate needs visit:exit_page as the only dimension, and no event: filters")
        if metric.name in SESSION_METRICS:
            _check_session_metric(field, metric.name, query)
        if metric.family is Family.VITALS:
            _check_vital_metric(field, metric.name, query)


def _has_event_filter(filters: Every) -> bool:
    return any(isinstance(leaf, GoalLeaf) or leaf.dimension.level is Level.EVENT for leaf in leaves(filters))


def _check_session_metric(field: str, name: str, query: Query) -> None:
    refused = [
        each.name
        for each in query.dimensions
        if each.level in (Level.EVENT, Level.GOAL) and each.name not in (PAGE, "event:hostname")
    ]
    if refused:
        raise Conflict(
            field, f"session metric {name} cannot be queried along with event dimensions ({', '.join(refused)})"
        )


def _is_of_single_events(dimension: Dimension) -> bool:
    return dimension.name in (GOAL, "event:name") or dimension.name.startswith(PROPS_PREFIX)


_NOT_OF_LOADS = ("event:name", "visit:entry_page", "visit:exit_page")


def _check_vital_metric(field: str, name: str, query: Query) -> None:
    found = list(query.dimensions) + [leaf.dimension for leaf in leaves(query.filters) if isinstance(leaf, Leaf)]
    refused = [
        each.name
        for each in found
        if each.level is Level.GOAL or each.name in _NOT_OF_LOADS or each.name.startswith(PROPS_PREFIX)
    ]
    if behaviours(query.filters):
        raise Conflict(field, f"{name} is measured per page load: has_done and has_not_done look at whole visits")
    if refused or query.filtered_goals is not None:
        raise Conflict(
            field,
            f"{name} is measured per page load: it cannot be grouped or filtered by "
            f"{', '.join(_NOT_OF_LOADS)}, event:goal or props",
        )
