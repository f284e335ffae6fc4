"""What is remembered of closed days: asked for once, never told after it is no longer so."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from clickhouse_driver import Client
from sqlalchemy import Engine

from jobs.closing_chunk import ClosingLimits
from server.clickhouse_tcp import Row
from server.clickhouse_url import ClickHouseAddress
from server.closed_days import has_values
from server.config import Settings
from server.queries import day_totals, first_lists
from server.queries.answers import Answerer
from server.queries.closed_figures import load_closed_figures
from server.queries.day_totals import ABSENT_S, KEPT_S, DayTotals
from server.queries.errors import TooManyRows
from server.queries.event_reader import EventReader, Ticket
from server.queries.first_lists import FIRST as FIRST_DIMENSIONS
from server.queries.first_lists import OPEN_KEPT_S, SHARED, FirstLists
from server.queries.parameters import Value
from server.queries.parsing import SiteFacts, parse_query
from tests.jobs.closed_site import ClosedSites
from tests.jobs.one_job import World
from tests.server.queries.traffic import PATHS, event

DAY = timedelta(days=1)
FIRST = date(2026, 3, 10)
LAST = FIRST + 3 * DAY


class Counting(EventReader):
    """Counts its statements."""

    asked = 0

    def rows(
        self, statement: str, parameters: Mapping[str, Value], ticket: Ticket | None = None, **settings: Any
    ) -> list[Row]:
        self.asked += 1
        return super().rows(statement, parameters, ticket, **settings)


class Seconds:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def reader(address: ClickHouseAddress) -> Iterator[Counting]:
    asked = Counting(lambda: address)
    yield asked
    asked.close()


@pytest.fixture
def sites(sqlite_settings: Settings, app: Engine, address: ClickHouseAddress, client: Client) -> ClosedSites:
    """Four days, closed; nobody came on the last."""
    world = World(sqlite_settings, app)
    made = ClosedSites(world, address, client, "Asia/Kathmandu", FIRST, LAST, limits=ClosingLimits(least_events=1))
    made.store([view(made, FIRST + n % 3 * DAY, n) for n in range(6)])
    made.complete_until(LAST + DAY)
    made.close()
    return made


def view(sites: ClosedSites, day: date, visitor_id: int) -> Any:
    return event(time_ms=sites.calendar.start_ms(day) + 3_600_000, visitor_id=visitor_id)


def visitors(sites: ClosedSites, reader: EventReader, totals: DayTotals, first: date, *dimensions: str) -> list[Any]:
    document = {
        "site_id": "x",
        "metrics": ["visitors"],
        "dimensions": list(dimensions),
        "date_range": [first.isoformat(), LAST.isoformat()],
    }
    query = parse_query(document, SiteFacts(sites.site_id, sites.calendar, sites.calendar.start_ms(LAST + DAY)))
    closed = load_closed_figures(sites.world.engine, sites.site_id, [query.range])
    rows = Answerer(reader, closed=closed, day_totals=totals).answer(query).rows
    with closing(EventReader(lambda: sites.address)) as other:
        assert rows == Answerer(other).answer(query).rows
    return [(*row.dimensions, *row.metrics) for row in rows]


def test_days_are_read_once_whatever_is_asked_about_them(sites: ClosedSites, reader: Counting) -> None:
    totals = DayTotals(reader, Seconds())
    assert visitors(sites, reader, totals, FIRST) == [(6,)]
    by_day = [((FIRST + n * DAY).isoformat(), 2) for n in range(3)]
    assert visitors(sites, reader, totals, FIRST, "time:day") == by_day
    assert visitors(sites, reader, totals, FIRST + 2 * DAY, "time:day") == by_day[2:]
    assert visitors(sites, reader, totals, FIRST, "time:month") == [("2026-03-01", 6)]
    assert reader.asked == 1


def test_a_day_that_was_closed_again_is_read_anew(sites: ClosedSites, reader: Counting) -> None:
    totals = DayTotals(reader, Seconds())
    assert visitors(sites, reader, totals, FIRST) == [(6,)]
    sites.store([view(sites, FIRST, 9), view(sites, LAST, 9)])
    for day in (FIRST, LAST):
        sites.note_hits(view(sites, day, 9)["time_ms"])
    sites.close()
    assert visitors(sites, reader, totals, FIRST) == [(8,)]
    assert reader.asked == 2


def test_days_are_forgotten_and_those_without_rows_sooner(sites: ClosedSites, reader: Counting) -> None:
    seconds = Seconds()
    totals = DayTotals(reader, seconds)
    versions = sites.versions()
    assert sites.client.execute(
        "SELECT count() FROM daily WHERE site_id = %(site)s AND day = %(day)s", {"site": sites.site_id, "day": LAST}
    ) == [(0,)]
    with_rows = {day: version for day, version in versions.items() if day != LAST}
    found = totals.of(sites.site_id, versions, {})
    assert [sums[0] for _, sums in sorted(found.items())] == [2, 2, 2, 0]
    seconds.now_s = ABSENT_S
    assert totals.of(sites.site_id, with_rows, {}) == {day: found[day] for day in with_rows}
    assert reader.asked == 1
    assert totals.of(sites.site_id, versions, {}) == found
    assert reader.asked == 2
    seconds.now_s = KEPT_S
    assert totals.of(sites.site_id, with_rows, {}) == {day: found[day] for day in with_rows}
    assert reader.asked == 3


def test_who_comes_while_days_are_read_waits_for_them(sites: ClosedSites, reader: Counting) -> None:
    totals = DayTotals(reader, Seconds())
    versions = sites.versions()
    together = threading.Barrier(4)

    def ask(number: int) -> int:
        together.wait()
        day = FIRST + number % 3 * DAY
        return totals.of(sites.site_id, {day: versions[day]}, versions)[day][0]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [2, 2, 2, 2]
    assert reader.asked == 1


def test_no_more_days_are_remembered_than_there_is_room_for(
    sites: ClosedSites, reader: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_totals, "MOST_DAYS", 3)
    totals = DayTotals(reader, Seconds())
    versions = sites.versions()
    totals.of(sites.site_id, versions, {})
    totals.of(sites.site_id, versions, {})
    assert reader.asked == 1
    other_id = sites.site_id + 1_000_000
    sites.client.execute(
        "INSERT INTO daily (site_id, dimension, day, version, visitors) "
        "SELECT %(other)s, dimension, day, version, visitors FROM daily "
        "WHERE site_id = %(site)s AND dimension = 'total' AND day = %(day)s",
        {"other": other_id, "site": sites.site_id, "day": FIRST},
    )
    assert totals.of(other_id, {FIRST: versions[FIRST]}, {})[FIRST][0] == 2
    assert reader.asked == 2
    totals.of(sites.site_id, versions, {})
    assert reader.asked == 3, "the site that was first is forgotten"


AGENTS = (
    {"browser": "Firefox", "os": "Linux", "device": "desktop", "country": "NP"},
    {"browser": "", "os": "", "device": "unknown", "country": ""},
    {"browser": "Chrome", "os": "Android", "device": "mobile", "country": "EE", "channel": "organic_search"},
    {"browser": "Safari", "os": "iOS", "device": "mobile", "referrer_source": "Google", "channel": "organic_search"},
    {"browser": "(not set)", "referrer_source": "Direct / None"},
)


@pytest.fixture
def mixed(sqlite_settings: Settings, app: Engine, address: ClickHouseAddress, client: Client) -> ClosedSites:
    """Four days, two of them small, of visitors who come with several agents."""
    world = World(sqlite_settings, app)
    made = ClosedSites(world, address, client, "Asia/Kathmandu", FIRST, LAST, limits=ClosingLimits(least_events=4))
    of_days = (7, 2, 5, 3)
    views = [(day, n) for day, views in enumerate(of_days) for n in range(views)]
    made.store([view(made, FIRST + day * DAY, n % 4) | AGENTS[(day + n) % len(AGENTS)] for day, n in views])
    made.complete_until(LAST + DAY)
    made.close()
    return made


def first_of(
    sites: ClosedSites,
    reader: EventReader,
    lists: FirstLists,
    dimension: str,
    limit_rows: int,
    offset_rows: int = 0,
    filters: Sequence[Any] = (),
    last: date = LAST,
    metrics: Sequence[str] = ("visitors",),
) -> list[Any]:
    """The rows; those of an answer of events alone, of which all are asked for."""
    document = {
        "filters": list(filters),
        "site_id": "x",
        "metrics": list(metrics),
        "dimensions": [dimension] if dimension else [],
        "date_range": [FIRST.isoformat(), last.isoformat()],
        "pagination": {"limit": limit_rows, "offset": offset_rows},
    }
    query = parse_query(document, SiteFacts(sites.site_id, sites.calendar, sites.calendar.start_ms(LAST + DAY)))
    closed = load_closed_figures(sites.world.engine, sites.site_id, [query.range])
    assert len({has_values(version) for version in closed.versions.values()}) == 2
    rows = Answerer(reader, closed=closed, first_lists=lists).answer(query).rows
    with closing(EventReader(lambda: sites.address)) as other:
        everything = Answerer(other).answer(replace(query, limit_rows=10_000, offset_rows=0)).rows
    assert rows == everything[offset_rows : offset_rows + limit_rows], (dimension, limit_rows, offset_rows)
    return rows


def test_the_lists_of_a_look_are_read_together(mixed: ClosedSites, reader: Counting) -> None:
    lists = FirstLists(reader, Seconds())
    for dimension in SHARED:
        for limit_rows, offset_rows in ((1, 0), (2, 1), (100, 0)):
            assert first_of(mixed, reader, lists, dimension.name, limit_rows, offset_rows)
    assert reader.asked == 1
    mixed.store([view(mixed, FIRST, 9)])
    mixed.note_hits(view(mixed, FIRST, 9)["time_ms"])
    mixed.close()
    first_of(mixed, reader, lists, "visit:os", 8)
    assert reader.asked == 2


def test_the_lists_and_the_chart_of_a_filtered_look_are_read_together(mixed: ClosedSites, reader: Counting) -> None:
    lists = FirstLists(reader, Seconds())
    by_device = [["is", "visit:device", ["Mobile"]]]
    by_page = [["is", "event:page", [PATHS[0]]], *by_device]
    for filters, dimensions in ((by_device, ("time:day",)), (by_page, ("time:week", "event:page"))):
        reader.asked = 0
        for dimension in (*(each.name for each in FIRST_DIMENSIONS), *dimensions):
            for limit_rows, offset_rows in ((100, 0), (1, 1)):
                first_of(mixed, reader, lists, dimension, limit_rows, offset_rows, filters)
        assert reader.asked == 1
    assert first_of(mixed, reader, lists, "event:page", 8, filters=by_page)[0].dimensions == (PATHS[0],)
    reader.asked = 0
    assert first_of(mixed, reader, lists, "visit:os", 8, filters=by_page), "behind a tab"
    several = [["is", "event:page", [PATHS[0], PATHS[1]]]]
    assert first_of(mixed, reader, lists, "event:page", 8, filters=several), "may have several rows"
    assert reader.asked == 2


def test_headline_and_chart_by_page_read_the_lists_as_well(mixed: ClosedSites, reader: Counting) -> None:
    by_page = [["is", "event:page", [PATHS[0]]]]
    figures = ("visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration")

    def look(lists: FirstLists, asked: Sequence[tuple[str, Sequence[str]]]) -> int:
        reader.asked = 0
        for dimension, metrics in asked:
            assert first_of(mixed, reader, lists, dimension, 8, filters=by_page, metrics=metrics)
        return reader.asked

    rest = (("visit:source", ("visitors",)), ("event:page", ("visitors",)), ("time:day", ("visitors",)))
    assert look(FirstLists(reader, Seconds()), (("", figures), *rest, ("time:day", figures))) == 1
    assert look(FirstLists(reader, Seconds()), (("time:day", ("visitors",)), ("", figures), *rest)) == 1
    lists = FirstLists(reader, Seconds())
    assert look(lists, rest) == 1, "a list that is asked for first"
    assert look(lists, (("", figures),)) == 1, "by itself: the lists are there"
    assert look(FirstLists(reader, Seconds()), (("", ("visitors",)), ("", ("visitors", "events")))) == 2


def test_lists_of_a_day_that_is_not_over_are_kept_for_one_look(mixed: ClosedSites, reader: Counting) -> None:
    seconds = Seconds()
    lists = FirstLists(reader, seconds)
    day = LAST + DAY
    mixed.store([view(mixed, day, n) | AGENTS[n % len(AGENTS)] for n in range(3)])
    for dimension in FIRST_DIMENSIONS:
        first_of(mixed, reader, lists, dimension.name, 8, last=day)
    assert reader.asked == 1
    mixed.store([view(mixed, day, 7)])
    seconds.now_s = OPEN_KEPT_S
    first_of(mixed, reader, lists, "visit:browser", 8, last=day)
    assert reader.asked == 2


def test_lists_are_forgotten(mixed: ClosedSites, reader: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = Seconds()
    lists = FirstLists(reader, seconds)
    first_of(mixed, reader, lists, "visit:os", 8)
    seconds.now_s = KEPT_S
    first_of(mixed, reader, lists, "visit:os", 8)
    assert reader.asked == 2
    monkeypatch.setattr(first_lists, "MOST_LOOKS", 1)
    mixed.store([view(mixed, FIRST, 9)])
    mixed.note_hits(view(mixed, FIRST, 9)["time_ms"])
    mixed.close()
    first_of(mixed, reader, lists, "visit:os", 8)
    assert len(lists._looks) == 1


def test_a_list_stands_alone_where_all_of_them_are_too_much(mixed: ClosedSites, reader: Counting) -> None:
    class Narrow(Counting):
        def rows(self, statement: str, *rest: Any, **settings: Any) -> list[Row]:
            if "LIMIT 100 BY" in statement:
                self.asked += 1
                raise TooManyRows("rows", "too many rows")
            return super().rows(statement, *rest, **settings)

    with closing(Narrow(lambda: mixed.address)) as narrow:
        lists = FirstLists(narrow, Seconds())
        first_of(mixed, narrow, lists, "visit:os", 8)
        first_of(mixed, narrow, lists, "visit:browser", 8)
        assert narrow.asked == 3, "refused once, then each alone"
