"""What is refused, where, and what the text offers instead."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from server.queries.errors import Conflict, NotConfigured, QueryError, UnknownValue
from server.queries.metrics import find_metric
from server.queries.model import Either, Every, GoalLeaf, HasDone, Leaf, Negated, Query
from server.queries.parsing import SiteFacts, parse_query
from server.queries.periods import SiteCalendar
from tests.server.queries.traffic import GOALS

NOW_MS = 1_773_144_000_000  # 2026-03-10 12:00 UTC
SEGMENTS: dict[int, list[Any]] = {
    7: [["is", "visit:country", ["EE"]]],
    8: [["is", "segment", [7]]],
    9: [["is", "event:goal", ["Signup"]]],
    10: [["is", "visit:os", ["x"]]],
}
FACTS = SiteFacts(1, SiteCalendar.of("UTC"), NOW_MS, date(2026, 1, 2), GOALS, SEGMENTS)


def parsed(**changes: Any) -> Query:
    return parse_query({"site_id": "x", "metrics": ["visitors"], "date_range": "7d", **changes}, FACTS)


_LEAF: list[Any] = ["is", "visit:os", ["x"]]
_DONE: list[Any] = ["has_done", ["is", "event:page", ["/"]]]
_CUSTOM = {"include": {"comparisons": {"mode": "custom"}}}

REFUSED: list[tuple[type[QueryError], str, str, dict[str, Any]]] = [
    (UnknownValue, "#/metric", "Did you mean metrics", {"metric": []}),
    (QueryError, "#/metrics", "at least one", {"metrics": []}),
    (QueryError, "#/metrics", "differ", {"metrics": ["visitors", "visitors"]}),
    (QueryError, "#/metrics", "list of names", {"metrics": "visitors"}),
    (QueryError, "#/metrics/0", "a name", {"metrics": [3]}),
    (UnknownValue, "#/metrics/0", "Did you mean visitors", {"metrics": ["visitor"]}),
    (UnknownValue, "#/metrics/0", "p1..p99_", {"metrics": ["p0_lcp_ms"]}),
    (UnknownValue, "#/metrics/0", "rating_", {"metrics": ["rating_dns"]}),
    (UnknownValue, "#/dimensions/0", "visit:source", {"dimensions": ["source"]}),
    (UnknownValue, "#/dimensions/0", "event:props:<name>", {"dimensions": ["event:props:"]}),
    (Conflict, "#/dimensions", "one dimension of time", {"dimensions": ["time:day", "time:hour"]}),
    (QueryError, "#/dimensions", "at most 5", {"dimensions": ["visit:os"] * 6}),
    (QueryError, "#/dimensions/0", "too many buckets", {"dimensions": ["time:minute"], "date_range": "30d"}),
    (UnknownValue, "#/date_range", "7d", {"date_range": "fortnight"}),
    (UnknownValue, "#/date_range", "2026-01-01", {"date_range": ["2026-01-01"]}),
    (QueryError, "#/date_range", "too long", {"date_range": "9999d"}),
    (QueryError, "#/date_range", "after the last", {"date_range": ["2026-02-02", "2026-02-01"]}),
    (QueryError, "#/date_range/1", "no date", {"date_range": ["2026-02-02", "2026-02-30"]}),
    (QueryError, "#/date_range/0", "not between", {"date_range": ["1066-10-14", "2026-02-01"]}),
    (QueryError, "#/date_range/0", "12:00:00", {"date_range": ["2026-02-02T10:00:00", "2026-02-02T11:00:00Z"]}),
    (QueryError, "#/date_range", "days", {"date_range": ["2000-01-01", "2026-01-01"]}),
    (QueryError, "#/filters", "list of filters", {"filters": {}}),
    (QueryError, "#/filters/0", "expected a filter", {"filters": ["is"]}),
    (UnknownValue, "#/filters/0/0", "contains_not", {"filters": [["equals", "visit:os", ["x"]]]}),
    (UnknownValue, "#/filters/0/1", "visit:os", {"filters": [["is", "visit:oss", ["x"]]]}),
    (UnknownValue, "#/filters/0/1", "visit:os", {"filters": [["is", "time:day", ["x"]]]}),
    (QueryError, "#/filters/0/2", "at least one value", {"filters": [["is", "visit:os", []]]}),
    (QueryError, "#/filters/0/2", "1000", {"filters": [["is", "visit:os", ["x"] * 1001]]}),
    (QueryError, "#/filters/0/2/0", "a text", {"filters": [["is", "visit:os", [None]]]}),
    (QueryError, "#/filters/0/2/0", "2000", {"filters": [["is", "visit:os", ["x" * 2001]]]}),
    (QueryError, "#/filters/0/2/0", "country code", {"filters": [["is", "visit:country", ["Estonia"]]]}),
    (QueryError, "#/filters/0/3", "case_sensitive", {"filters": [["is", "visit:os", ["x"], {"fold": True}]]}),
    (QueryError, "#/filters/0/3/case_sensitive", "true", {"filters": [[*_LEAF, {"case_sensitive": 1}]]}),
    (Conflict, "#/filters/0/3", "(?i)", {"filters": [["matches", "visit:os", ["x"], {"case_sensitive": False}]]}),
    (QueryError, "#/filters/0", "at least one filter", {"filters": [["and", []]]}),
    (QueryError, "#/filters/0", "expected", {"filters": [["not", ["is", "visit:os", ["x"]], 1]]}),
    (UnknownValue, "#/filters/0/0", "contains", {"filters": [["is_not", "event:goal", ["Signup"]]]}),
    (NotConfigured, "#/filters/0/2/0", "Any order", {"filters": [["is", "event:goal", ["Nothing"]]]}),
    (Conflict, "#/filters/0/1/1", "top level", {"filters": [["not", ["is", "event:goal", ["Signup"]]]]}),
    (Conflict, "#/filters/0/1", "inside one another", {"filters": [["has_done", _DONE]]}),
    (Conflict, "#/filters/0/1/1", "only event:", {"filters": [["has_done", ["is", "visit:os", ["x"]]]]}),
    (NotConfigured, "#/filters/0/2/0", "no segment 99", {"filters": [["is", "segment", [99]]]}),
    (QueryError, "#/filters/0/2", "ids", {"filters": [["is", "segment", ["7"]]]}),
    (Conflict, "#/filters/0", '["is", "segment"', {"filters": [["is_not", "segment", [7]]]}),
    (Conflict, "#/filters/0/2/0", "another one", {"filters": [["is", "segment", [8]]]}),
    (QueryError, "#/order_by", "such as", {"order_by": "visitors"}),
    (QueryError, "#/order_by/0", "pair", {"order_by": ["visitors"]}),
    (UnknownValue, "#/order_by/0/0", "visitors", {"order_by": [["visits", "asc"]]}),
    (UnknownValue, "#/order_by/0/1", "desc", {"order_by": [["visitors", "down"]]}),
    (QueryError, "#/order_by", "at most once", {"order_by": [["visitors", "asc"], ["visitors", "desc"]]}),
    (QueryError, "#/include", "an object", {"include": []}),
    (UnknownValue, "#/include/labels", "time_labels", {"include": {"labels": True}}),
    (QueryError, "#/include/imports", "true or false", {"include": {"imports": 1}}),
    (Conflict, "#/include/time_labels", "dimension of time", {"include": {"time_labels": True}}),
    (UnknownValue, "#/include/comparisons", "year_over_year", {"include": {"comparisons": {"mode": "x"}}}),
    (QueryError, "#/include/comparisons", "mode", {"include": {"comparisons": []}}),
    (QueryError, "#/include/comparisons/date_range", "needs the range", _CUSTOM),
    (QueryError, "#/include/compare", "expected the range", {"include": {"compare": "custom"}}),
    (QueryError, "#/pagination", "limit and offset", {"pagination": 3}),
    (UnknownValue, "#/pagination/page", "limit", {"pagination": {"page": 3}}),
    (QueryError, "#/pagination/limit", "10000", {"pagination": {"limit": 0}}),
    (QueryError, "#/pagination/offset", "whole number", {"pagination": {"offset": True}}),
    (Conflict, "#/metrics/0", "event:goal", {"metrics": ["conversion_rate"]}),
    (Conflict, "#/metrics/0", "event:page", {"metrics": ["time_on_page"]}),
    (Conflict, "#/metrics/0", "of pages", {"metrics": ["scroll_depth"], "dimensions": ["event:page", "event:goal"]}),
    (Conflict, "#/metrics/0", "needs dimensions", {"metrics": ["percentage"]}),
    (Conflict, "#/metrics/0", "visit:exit_page", {"metrics": ["exit_rate"], "dimensions": ["visit:os"]}),
    (Conflict, "#/metrics/0", "session metric", {"metrics": ["bounce_rate"], "dimensions": ["event:goal"]}),
    (Conflict, "#/metrics/0", "per page load", {"metrics": ["p75_lcp_ms"], "dimensions": ["event:goal"]}),
    (Conflict, "#/metrics/0", "visit:entry_page", {"metrics": ["p75_lcp_ms"], "dimensions": ["visit:entry_page"]}),
    (Conflict, "#/metrics/0", "whole visits", {"metrics": ["p75_lcp"], "filters": [_DONE]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "field", "text", "changes"), REFUSED)
def test_what_is_wrong_is_said_where_it_is(
    kind: type[QueryError], field: str, text: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(QueryError) as caught:
        parsed(**changes)
    assert type(caught.value) is kind
    assert caught.value.field == field
    assert text in caught.value.message


@pytest.mark.parametrize("document", [[], None, "x", {"metrics": ["visitors"]}, {"date_range": "7d"}])
def test_a_request_without_its_keys(document: Any) -> None:
    with pytest.raises(QueryError, match=r"expected an object|required"):
        parse_query(document, FACTS)


def test_filters_may_be_nested_so_deep() -> None:
    filter_: list[Any] = ["is", "visit:os", ["x"]]
    for _ in range(9):
        filter_ = ["not", filter_]
    with pytest.raises(QueryError, match="8 deep"):
        parsed(filters=[filter_])
    with pytest.raises(QueryError, match="100 comparisons"):
        parsed(filters=[["or", [["is", "visit:os", ["x"]]] * 101]])


def test_filters_become_what_they_say() -> None:
    query = parsed(
        filters=[
            ["and", [["is", "visit:os", [""]], ["contains", "event:page", ["a"]]]],
            ["or", [["not", ["is", "visit:country", ["EE"]]], ["has_not_done", ["is", "event:goal", ["Signup"]]]]],
            ["is", "segment", [7, 10]],
        ]
    )
    first, second, either, segments = query.filters.filters
    assert isinstance(first, Leaf)
    assert first.values == ("(not set)",)
    assert isinstance(second, Leaf)
    assert isinstance(either, Either)
    assert isinstance(either.filters[0], Negated)
    assert isinstance(either.filters[1], Negated)
    assert isinstance(either.filters[1].filter, HasDone)
    assert isinstance(segments, Either)
    assert isinstance(segments.filters[0], Every)


def test_a_segment_at_the_top_may_hold_goals() -> None:
    (goal,) = parsed(filters=[["is", "segment", [9]]]).filters.filters
    assert isinstance(goal, GoalLeaf)
    assert [each.name for each in goal.goals] == ["Signup"]


def test_orders_without_being_asked() -> None:
    assert [(each.name, each.is_descending) for each in parsed().order_by] == [("visitors", True)]
    query = parsed(dimensions=["time:day", "visit:os"])
    assert [(each.name, each.is_descending) for each in query.order_by] == [("time:day", False), ("visitors", True)]


@pytest.mark.parametrize(
    ("name", "percent"), [("p1_cls", 1), ("p75_lcp", 75), ("p99_dom_content_loaded_ms", 99), ("samples_transfer", 0)]
)
def test_names_of_vitals(name: str, percent: int) -> None:
    metric = find_metric(name)
    assert metric is not None
    assert getattr(metric, "percent", None) == percent
