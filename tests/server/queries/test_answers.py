"""The engine against its naive twin: random traffic, odd days, filters, dimensions, goals."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from clickhouse_driver import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.closed_days import version_of
from server.queries.answers import Answerer
from server.queries.closed_figures import Begun, ClosedFigures, data_version
from server.queries.closing import NOTHING, Chunk, Closing, count_rows
from server.queries.event_reader import EventReader
from server.queries.facts import FactsRequest
from server.queries.metrics import METRICS, REVENUE_METRICS
from server.queries.model import Query
from server.queries.parsing import SiteFacts, parse_query
from server.queries.periods import Interval, SiteCalendar, TimeRange, buckets
from server.queries.planner import plan_facts
from tests.reference.naive_rows import expected_rows
from tests.server.queries.conftest import new_site_id
from tests.server.queries.traffic import GOALS, PATHS, ZONES, store_with, traffic

NOW_MS = 1_800_000_000_000
EXAMPLES = 3

Versions = Mapping[date, int]
_closing_ms = itertools.count(int(time.time() * 1000))

VISIT_DIMENSIONS = (
    "visit:source",
    "visit:country",
    "visit:country_name",
    "visit:browser",
    "visit:channel",
    "visit:device",
    "visit:screen",
    "visit:entry_page",
    "visit:exit_page",
    "visit:utm_campaign",
    "visit:entry_page_hostname",
)
EVENT_DIMENSIONS = ("event:page", "event:hostname", "event:name", "event:props:plan", "event:goal")
TIME_DIMENSIONS = ("time:hour", "time:day", "time:week", "time:month")
COUNTS = ["visitors", "visits", "pageviews", "events"]
SESSIONS = ["bounce_rate", "views_per_visit", "visit_duration"]

HEADLINES = ["visitors", "visits", "pageviews", *SESSIONS]
LOOK: tuple[dict[str, Any], ...] = (
    {"metrics": HEADLINES},
    {"metrics": ["visitors"], "dimensions": ["time:day"]},
    {"metrics": HEADLINES, "dimensions": ["time:month"]},
    *(
        {"metrics": ["visitors"], "dimensions": [each]}
        for each in ("visit:source", "visit:country", "visit:browser", "visit:channel", "visit:device", "event:page")
    ),
)
"""Of what a first look asks."""

LEAVES: list[list[Any]] = [
    ["is", "visit:country", ["EE"]],
    ["is_not", "visit:source", ["Google"]],
    ["is", "visit:source", ["Direct / None", "O'Reilly"]],
    ["contains", "visit:source", ["reilly"], {"case_sensitive": False}],
    ["is", "visit:entry_page", ["/"]],
    ["matches", "visit:exit_page", ["^/blog/.$"]],
    ["is", "visit:device", ["Desktop", "(not set)", "desktop"]],
    ["is_not", "visit:channel", ["Direct", "Mobile Push Notifications"]],
    ["is", "visit:channel", ["organic_search"]],
    ["is_not", "visit:browser", ["", "(not set)"]],
    ["is", "event:page", [PATHS[3], "/blog/a"]],
    ["contains_not", "event:page", ["blog"]],
    ["matches_wildcard", "event:page", ["/blog/*"]],
    ["is", "event:hostname", ["b.test"]],
    ["is", "event:name", ["pageview", "Order ß'\\"]],
    ["is", "event:props:plan", ["it's\\"]],
    ["is_not", "event:props:plan", ["(none)"]],
]
TOP_LEAVES: list[list[Any]] = [
    *LEAVES,
    ["is", "event:goal", ["Signup"]],
    ["contains", "event:goal", ["order"], {"case_sensitive": False}],
    ["is", "event:goal", ["Read the blog", "Scrolled a"]],
    ["has_done", ["is", "event:goal", ["Scrolled a"]]],
    ["has_not_done", ["is", "event:page", ["/"]]],
    ["has_done", ["and", [["is", "event:page", ["/blog/a"]], ["is", "event:name", ["Signup"]]]]],
]


def filters() -> st.SearchStrategy[list[Any]]:
    """Some filters, nested now and then."""
    nested = st.sampled_from(LEAVES)
    groups = st.tuples(st.sampled_from(("and", "or")), st.lists(nested, min_size=1, max_size=2)).map(list)
    negated = st.sampled_from(LEAVES).map(lambda leaf: ["not", leaf])
    return st.lists(st.one_of(st.sampled_from(TOP_LEAVES), groups, negated), max_size=2)


@st.composite
def documents(draw: st.DrawFn, calendar: SiteCalendar, days: list[date]) -> dict[str, Any]:
    """A valid request about these days."""
    asked = draw(filters())
    dimensions: list[str] = []
    if draw(st.booleans()):
        dimensions.append(draw(st.sampled_from((*VISIT_DIMENSIONS, *EVENT_DIMENSIONS))))
    if draw(st.integers(0, 3)) == 0:
        dimensions.append(draw(st.sampled_from([each for each in VISIT_DIMENSIONS if each not in dimensions])))
    if draw(st.integers(0, 2)) == 0:
        dimensions.append(draw(st.sampled_from(TIME_DIMENSIONS)))
    metrics = list(COUNTS)
    single = {"event:name", "event:props:plan", "event:goal"} & set(dimensions)
    if not single:
        metrics += SESSIONS
    has_page = "event:page" in dimensions or any(leaf[1] == "event:page" for leaf in asked)
    if has_page and not single:
        metrics += ["time_on_page", "scroll_depth"]
    if "event:goal" in dimensions or any(leaf[1] == "event:goal" for leaf in asked):
        metrics += ["conversion_rate", "group_conversion_rate"]
    metrics += ["total_revenue", "average_revenue"]
    if dimensions:
        metrics.append("percentage")
    if dimensions == ["visit:exit_page"] and all("event:" not in str(leaf) for leaf in asked):
        metrics.append("exit_rate")
    range_: Any = [days[0].isoformat(), days[-1].isoformat()]
    if draw(st.integers(0, 4)) == 0:
        first = calendar.start_ms(days[0]) + draw(st.integers(0, 40)) * 900_000
        last = first + draw(st.integers(1, 40)) * 3_600_000
        range_ = [calendar.local(at).isoformat() for at in (first, last)]
    return {"site_id": "x", "metrics": metrics, "date_range": range_, "filters": asked, "dimensions": dimensions}


def odd_days() -> list[tuple[str, date]]:
    return [(zone, day) for zone, days in ZONES.items() for day in days]


def close(
    address: ClickHouseAddress,
    site_id: int,
    calendar: SiteCalendar,
    days: list[date],
    least_events: int,
    cut_ms: int = 0,
) -> Versions:
    """Close these days, or the one until `cut_ms`, as the job does."""
    chunk = Chunk((site_id,), calendar, tuple(days), next(_closing_ms), least_events=least_events, cut_ms=cut_ms)
    connection = BlockConnection(address)
    try:
        counts = count_rows(connection, chunk)
        closing = Closing(chunk, {(site_id, day): counts.get((site_id, day), NOTHING) for day, _ in chunk.real_days})
        closing.run(connection)
    finally:
        connection.close()
    return {day: version for (_, day), version in closing.versions.items()}


@st.composite
def looks(draw: st.DrawFn, days: list[date]) -> list[dict[str, Any]]:
    """Some questions of one first look, which are read together where they can be."""
    asked = {
        "site_id": "x",
        "date_range": [days[0].isoformat(), days[-1].isoformat()],
        "filters": draw(st.one_of(st.just([]), st.lists(st.sampled_from(LEAVES), min_size=1, max_size=2))),
        "pagination": {"limit": 100},
    }
    numbers = draw(st.lists(st.integers(0, len(LOOK) - 1), min_size=3, max_size=3, unique=True))
    return [{**asked, **LOOK[number]} for number in numbers]


def asked(answerer: Answerer, query: Query) -> dict[tuple[str, ...], dict[str, Any]]:
    """The engine's rows in the twin's form."""
    answer = answerer.answer(query)
    names = [metric.name for metric in query.metrics]
    rows = {row.dimensions: dict(zip(names, row.metrics, strict=True)) for row in answer.rows}
    assert len(rows) == len(answer.rows)
    for row in rows.values():
        for name in REVENUE_METRICS & row.keys():
            if row[name] is not None:
                row[name] = {"value": float(row[name]["value"]), "currency": row[name]["currency"]}
    return rows


@pytest.mark.parametrize(("zone", "day"), odd_days())
def test_counts_and_sums_are_those_of_the_naive_twin(
    zone: str, day: date, client: Client, reader: EventReader, event_store: ClickHouseAddress
) -> None:
    """Closed, open and once more closed days mixed; large days with breakdowns, and small ones without; days before the
    first event that are known to be such.
    """
    calendar = SiteCalendar.of(zone)
    days = [day - timedelta(days=1), day, day + timedelta(days=1)]

    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        begins_on = data.draw(st.sampled_from((None, None, *days)))
        events = [
            each
            for each in data.draw(traffic(calendar, days))
            if begins_on is None or each["time_ms"] >= calendar.start_ms(begins_on)
        ]
        weight = data.draw(st.sampled_from((None, 1, 3)))
        for each in events:  # days with several weights are never closed
            each["sample_weight"] = weight or each["sample_weight"]
        late = data.draw(st.integers(0, len(events)))
        site_id = new_site_id()
        store_with(client, site_id, events[late:])
        closed: Versions = {}
        if weight is not None:
            some = data.draw(st.sampled_from((days[:1], days[1:], days)))
            least_events = data.draw(st.sampled_from((0, 4, 1_000)))
            closed = close(event_store, site_id, calendar, some, least_events)
        store_with(client, site_id, events[:late])
        if closed and late:
            closed = close(event_store, site_id, calendar, sorted(closed), least_events)
        facts = SiteFacts(site_id, calendar, NOW_MS, goals=GOALS)
        answerer = Answerer(reader, None, ClosedFigures(closed, begins_on=begins_on))
        for document in (*(data.draw(documents(calendar, days)) for _ in range(3)), *data.draw(looks(days))):
            query = parse_query(document, facts)
            assert asked(answerer, query) == expected_rows(events, calendar, query), document

    check()


@pytest.mark.parametrize(("zone", "day"), odd_days())
def test_an_open_day_of_which_a_part_is_condensed_says_the_same(
    zone: str, day: date, client: Client, reader: EventReader, event_store: ClickHouseAddress
) -> None:
    """Condensed until any moment, also within a visit or before the first one; some came or came back since."""
    calendar = SiteCalendar.of(zone)
    days = [day - timedelta(days=1), day]
    start_ms, end_ms = calendar.start_ms(day), calendar.start_ms(day + timedelta(days=1))

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        events = data.draw(traffic(calendar, days))
        weight = data.draw(st.sampled_from((1, 3)))
        of_day = [each["time_ms"] for each in events if start_ms < each["time_ms"] < end_ms]
        cut_ms = data.draw(st.one_of(st.sampled_from(of_day or [end_ms]), st.integers(start_ms + 1, end_ms)))
        for each in events:  # what came since may have another weight
            if each["time_ms"] < cut_ms:
                each["sample_weight"] = weight
        site_id = new_site_id()
        store_with(client, site_id, events)
        least_events = data.draw(st.sampled_from((0, 4, 1_000)))
        (version,) = close(event_store, site_id, calendar, [day], least_events, cut_ms).values()
        closed = close(event_store, site_id, calendar, days[:1], least_events)
        figures = ClosedFigures(closed, begun={day: Begun(version, start_ms, cut_ms)})
        facts = SiteFacts(site_id, calendar, NOW_MS, goals=GOALS)
        answerer = Answerer(reader, None, figures)
        ranges = st.sampled_from((days, days[1:]))
        some = [data.draw(documents(calendar, data.draw(ranges))) for _ in range(3)]
        for document in (*some, *data.draw(looks(data.draw(ranges)))):
            query = parse_query(document, facts)
            assert asked(answerer, query) == expected_rows(events, calendar, query), document

    check()


def test_the_plan_of_an_open_day_tells_what_is_condensed_and_so_does_its_data_version() -> None:
    calendar, day = SiteCalendar.of("Asia/Kathmandu"), date(2026, 3, 10)
    start_ms = calendar.start_ms(day)
    version = version_of(start_ms, day, has_values=True)
    facts = SiteFacts(1, calendar, start_ms + 7_200_000)

    def planned(asked_for: dict[str, Any], begun: Begun) -> list[str]:
        document = {"site_id": "x", "metrics": ["visitors"], "date_range": "day", **asked_for}
        query = parse_query(document, facts)
        cut = None if query.interval is None else buckets(query.range, query.interval)
        plan = plan_facts(FactsRequest(query, ("visitors",), cut), ClosedFigures(begun={day: begun}))
        return [str(each["source"]) for each in plan.explanation]

    begun = Begun(version, start_ms, start_ms + 3_600_000)
    assert planned({}, begun) == ["daily", "events"]
    assert planned({"dimensions": ["time:hour"]}, begun) == ["hourly", "events"]
    assert planned({"filters": [["is", "visit:country", ["EE"]]]}, begun) == ["sessions", "events"]
    assert planned({"dimensions": ["event:hostname"]}, begun) == ["events"]
    assert planned({}, Begun(version, start_ms - 900_000, begun.cut_ms)) == ["events"], "the site changed its zone"
    range_ = TimeRange.of_days(calendar, day, day)
    tokens = [
        data_version(ClosedFigures(begun=each), [range_])
        for each in ({}, {day: begun}, {day: Begun(version + 131_072, start_ms, begun.cut_ms)})
    ]
    assert len({each.token for each in tokens}) == 3
    assert not any(each.is_settled for each in tokens)


@st.composite
def cut_documents(draw: st.DrawFn, calendar: SiteCalendar, days: list[date], until_ms: int) -> dict[str, Any]:
    """A request without filters about these days, the last of them until some time."""
    dimensions = draw(st.sampled_from(([], [], ["time:hour"], ["time:day"], ["time:week"], ["visit:source"])))
    metrics = draw(st.sampled_from((["visitors"], ["pageviews"], [*COUNTS, *SESSIONS], ["bounce_rate", "events"])))
    # The text of a time names its last second.
    range_ = [calendar.local(at).isoformat() for at in (calendar.start_ms(days[0]), until_ms - 1_000)]
    return {"site_id": "x", "metrics": metrics, "date_range": range_, "filters": [], "dimensions": dimensions}


@pytest.mark.parametrize(("zone", "day"), odd_days())
def test_a_closed_day_until_any_time_says_the_same(
    zone: str, day: date, client: Client, reader: EventReader, event_store: ClickHouseAddress
) -> None:
    """Whole hours before or after the cut and the rest of one; visits reach over the cut or begin at it; late rows."""
    calendar = SiteCalendar.of(zone)
    days = [day - timedelta(days=1), day]
    start_ms, end_ms = calendar.start_ms(day), calendar.start_ms(day + timedelta(days=1))
    hours = buckets(TimeRange.of_days(calendar, day, day), Interval.HOUR).starts_ms

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        events = data.draw(traffic(calendar, days))
        weight = data.draw(st.sampled_from((1, 3)))
        for each in events:
            each["sample_weight"] = weight
        late = [each for each in events if start_ms <= each["time_ms"] < end_ms][
            : data.draw(st.sampled_from((0, 0, 2)))
        ]
        in_time = [each for each in events if each not in late]
        site_id = new_site_id()
        store_with(client, site_id, in_time)
        closed = close(event_store, site_id, calendar, days, data.draw(st.sampled_from((0, 0, 4))))
        store_with(client, site_id, late)
        figures = ClosedFigures(closed, dirty=frozenset([day] if late else []))
        facts = SiteFacts(site_id, calendar, NOW_MS, goals=GOALS)
        near = [each["time_ms"] + extra for each in events for extra in (0, 1_000, 600_000, 2_400_000)]
        near = [at // 1000 * 1000 for at in near if start_ms + 1_000 <= at <= end_ms]
        for _ in range(6):
            until_ms = data.draw(
                st.one_of(
                    st.sampled_from(near or [end_ms]),
                    st.sampled_from([*hours[1:], end_ms]),
                    st.integers(1, 1440).map(lambda minute: min(start_ms + minute * 60_000, end_ms)),
                )
            )
            document = data.draw(cut_documents(calendar, data.draw(st.sampled_from((days, days[1:]))), until_ms))
            query = parse_query(document, facts)
            if query.interval is Interval.HOUR:
                labels = buckets(query.range, Interval.HOUR).labels
                whole = buckets(TimeRange.of_days(calendar, query.range.first_day, day), Interval.HOUR).labels
                if labels != whole[: len(labels)]:
                    continue  # cut before an hour is repeated: the twin tells both apart all the same
            # A dirty day is read as it was closed, unless it is cut.
            expected = expected_rows(in_time if query.range.is_whole_days else events, calendar, query)
            assert asked(Answerer(reader, None, figures), query) == expected, document

    check()


def test_the_plan_of_a_closed_day_that_is_cut_tells_its_hours_and_the_rest() -> None:
    calendar, day = SiteCalendar.of("Australia/Lord_Howe"), date(2026, 4, 5)
    version = version_of(calendar.start_ms(day), day, has_values=True)
    facts = SiteFacts(1, calendar, NOW_MS)

    def planned(until: str, dirty: bool = False, offset: str = "+10:30", **asked_for: Any) -> list[tuple[str, str]]:
        range_ = [f"{day}T00:00:00+11:00", f"{day}T{until}{offset}"]
        document = {"site_id": "x", "metrics": ["visitors"], "date_range": range_, **asked_for}
        query = parse_query(document, facts)
        cut = None if query.interval is None else buckets(query.range, query.interval)
        closed = ClosedFigures({day: version}, dirty=frozenset([day]) if dirty else frozenset())
        plan = plan_facts(FactsRequest(query, ("visitors",), cut), closed)
        return [(str(each["source"]), str(each["why"])) for each in plan.explanation]

    hours = [("hourly", "whole hours of a closed day"), ("sessions", "visitors of these hours")]
    assert planned("11:59:59") == hours
    assert planned("12:10:00") == [*hours, ("events", "the rest of an hour")]
    assert planned("12:50:00") == [*hours, ("events", "less the rest of the last hour")]
    assert planned("12:50:00", dimensions=["time:hour"]) == [hours[0], ("events", "the rest of an hour")]
    assert planned("00:10:00", offset="+11:00") == [("events", "the rest of an hour")]
    for other in ({"dirty": True}, {"dimensions": ["visit:source"]}, {"filters": [["is", "visit:country", ["EE"]]]}):
        assert planned("12:10:00", **other) == [("events", "open days")]


def test_every_metric_is_asked_for() -> None:
    names = {*COUNTS, *SESSIONS, "time_on_page", "scroll_depth", "conversion_rate", "group_conversion_rate"}
    assert names | {"total_revenue", "average_revenue", "percentage", "exit_rate"} == METRICS.keys()
