"""Sums of whole months: they say what their days say, are used only while they are of these, and are made again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from threading import Thread
from typing import Any

import pytest
from clickhouse_driver import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete

from jobs.closing_chunk import ClosingLimits
from server.app_database import reading, writing
from server.clickhouse_url import ClickHouseAddress
from server.closed_days import has_values, mark_dirty
from server.closed_months import (
    MONTH_BIT,
    MonthRows,
    claim_month,
    forget_claims,
    last_date,
    month_rows,
    switch_month,
)
from server.config import Settings
from server.models import RetentionMove, Site
from server.queries.answers import Answerer
from server.queries.closed_figures import ClosedFigures, load_closed_figures
from server.queries.event_reader import EventReader, Ticket
from server.queries.model import Query
from server.queries.name_numbers import NameNumbers
from server.queries.parsing import SiteFacts, parse_query
from server.queries.periods import SiteCalendar
from tests.jobs.closed_site import ClosedSites
from tests.jobs.one_job import World
from tests.server.queries.traffic import ZONES, Event, event, traffic

DAY = timedelta(days=1)
HOUR_MS = 3_600_000
MONTH = date(2026, 2, 1)
COUNTS = ["visitors", "visits", "pageviews", "events"]
QUESTIONS: tuple[dict[str, Any], ...] = (
    {"metrics": [*COUNTS, "bounce_rate", "visit_duration"], "dimensions": ["event:page"]},
    {"metrics": ["visitors", "time_on_page", "scroll_depth"], "dimensions": ["event:page"]},
    {"metrics": [*COUNTS, "views_per_visit"], "dimensions": ["visit:entry_page"]},
    {"metrics": ["visitors", "exit_rate"], "dimensions": ["visit:exit_page"]},
    {"metrics": ["visitors", "bounce_rate"], "dimensions": ["visit:referrer"]},
    {"metrics": ["visitors", "pageviews"], "dimensions": ["event:page", "time:month"]},
    {"metrics": ["visitors"], "dimensions": ["event:page", "time:week"]},
    {"metrics": ["visitors"], "dimensions": ["event:page"], "pagination": {"limit": 2}},
    {"metrics": COUNTS},
)


@pytest.fixture(scope="module")
def reader(address: ClickHouseAddress) -> Iterator[EventReader]:
    asked = EventReader(lambda: address)
    yield asked
    asked.close()


@pytest.fixture
def make_sites(sqlite_settings: Settings, app: Engine, address: ClickHouseAddress, client: Client) -> Any:
    def make(first: date, last: date, **more: Any) -> ClosedSites:
        return ClosedSites(World(sqlite_settings, app), address, client, "Asia/Kathmandu", first, last, **more)

    return make


def months_of(sites: ClosedSites) -> dict[date, MonthRows]:
    with reading(sites.world.engine) as session:
        return month_rows(session, sites.site_id, sites.first, sites.last)


def is_valid(sites: ClosedSites, month: date = MONTH) -> bool:
    rows = months_of(sites).get(month)
    days = sites.versions()
    return rows is not None and rows.is_of(days[day] for day in days if month <= day <= last_date(month))


def view(sites: ClosedSites, day: date, visitor_id: int = 1, path: str = "/") -> Event:
    return event(time_ms=sites.calendar.start_ms(day) + HOUR_MS, visitor_id=visitor_id, path=path)


def pages(sites: ClosedSites, reader: EventReader, first: date, last: date, *, months: bool = True) -> Any:
    now_ms = sites.calendar.start_ms(sites.last + DAY)
    document = {
        "site_id": "x",
        "metrics": ["visitors"],
        "dimensions": ["event:page"],
        "date_range": [first.isoformat(), last.isoformat()],
    }
    query = parse_query(document, SiteFacts(sites.site_id, sites.calendar, now_ms))
    closed = load_closed_figures(sites.world.engine, sites.site_id, [query.range])
    return Answerer(reader, closed=closed if months else replace(closed, months={})).answer(query).rows


@pytest.mark.parametrize(("zone", "day"), [(zone, days[-1]) for zone, days in ZONES.items()])
@settings(
    max_examples=1,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_months_say_what_their_days_say(
    sqlite_settings: Settings,
    app: Engine,
    address: ClickHouseAddress,
    client: Client,
    reader: EventReader,
    zone: str,
    day: date,
    data: st.DataObject,
) -> None:
    """The month with an odd day, between days of its neighbours; small days without breakdowns, and `(other)`."""
    first, last = day.replace(day=1), last_date(day.replace(day=1))
    limits = data.draw(
        st.sampled_from((ClosingLimits(least_events=1), ClosingLimits(least_events=5), ClosingLimits(1, most_values=1)))
    )
    sites = ClosedSites(World(sqlite_settings, app), address, client, zone, first - DAY, last + DAY, limits=limits)
    of_days = [first - DAY, first, day, last, last + DAY]
    events: list[Event] = data.draw(traffic(SiteCalendar.of(zone), of_days))
    sites.store([{**each, "sample_weight": 1} for each in events])
    sites.close()
    have_values = any(has_values(version) for each, version in sites.versions().items() if first <= each <= last)
    assert set(months_of(sites)) == ({first} if have_values else set())
    facts = SiteFacts(sites.site_id, sites.calendar, sites.calendar.start_ms(last + 2 * DAY))
    ranges = ((first - DAY, last + DAY), (first, last), (first, last - DAY), (day, last + DAY))
    for from_day, until_day in ranges:
        for question in data.draw(st.lists(st.sampled_from(QUESTIONS), min_size=2, max_size=2, unique_by=str)):
            asked = {"site_id": "x", "date_range": [from_day.isoformat(), until_day.isoformat()], **question}
            query = parse_query(asked, facts)
            closed = load_closed_figures(app, sites.site_id, [query.range])
            from_months = Answerer(reader, closed=closed).answer(query)
            from_days = Answerer(reader, closed=replace(closed, months={})).answer(query)
            assert from_months.rows == from_days.rows, asked
            if limits.most_values > 1:
                assert from_months.rows == Answerer(reader).answer(query).rows, asked


def test_a_month_is_summed_when_its_last_day_is_closed(make_sites: Any, reader: EventReader) -> None:
    last = last_date(MONTH)
    sites: ClosedSites = make_sites(MONTH, last + DAY)
    sites.store([view(sites, MONTH + number * DAY, visitor_id=number) for number in range(29)])
    sites.complete_until(last)
    sites.close()
    assert not months_of(sites), "its last day is open"
    sites.complete_until(last + 2 * DAY)
    sites.close()
    assert is_valid(sites)
    rows = months_of(sites)[MONTH]
    stored = sites.client.execute(
        "SELECT day, sum(visitors) FROM daily WHERE site_id = %(site)s AND version = %(version)s "
        "AND dimension = 'path' GROUP BY day",
        {"site": sites.site_id, "version": rows.version},
    )
    assert stored == [(last, 28)]
    before = months_of(sites)
    sites.close()
    assert months_of(sites) == before, "nothing changed"
    # What is read is the month's row, not those of the days.
    sites.client.execute(
        "ALTER TABLE daily UPDATE visitors = visitors + 100 "
        f"WHERE site_id = {sites.site_id} AND version = {rows.version}",
        settings={"mutations_sync": 1},
    )
    assert [row.metrics for row in pages(sites, reader, MONTH, last)] == [(128,)]
    assert [row.metrics for row in pages(sites, reader, MONTH, last + DAY)] == [(129,)]
    assert [row.metrics for row in pages(sites, reader, MONTH, last - DAY)] == [(27,)]


def test_a_month_is_summed_again_after_a_day_of_it_was_closed_again(make_sites: Any, reader: EventReader) -> None:
    sites: ClosedSites = make_sites(MONTH, last_date(MONTH))
    sites.store([view(sites, MONTH), view(sites, MONTH + DAY)])
    sites.close()
    first = months_of(sites)[MONTH]
    sites.store([view(sites, MONTH + DAY, visitor_id=2)])
    days = [MONTH + DAY]
    with writing(sites.world.engine) as session:
        mark_dirty(session, sites.site_id, days, sites.world.clock.now_ms)
    assert is_valid(sites), "readers stay with the days as they were closed"
    seen = []
    sites.interrupt = lambda step: seen.append((step, is_valid(sites)))
    sites.close()
    assert ("2026-02 begun", False) in seen, "nobody may use the month of the versions before"
    assert is_valid(sites)
    assert months_of(sites)[MONTH].version > first.version
    assert [row.metrics for row in pages(sites, reader, MONTH, last_date(MONTH))] == [(3,)]
    sites.world.clock.advance(60)
    assert sites.rebuild(days) == 1
    assert is_valid(sites), "a rebuild sums it again too"
    # Old versions are deleted, of the days and of the month.
    sites.interrupt = lambda step: None
    sites.world.clock.advance(1_800)
    sites.close()
    left = sites.client.execute(f"SELECT DISTINCT version FROM closings WHERE site_id = {sites.site_id}")
    assert {version for (version,) in left if version >= MONTH_BIT} == {months_of(sites)[MONTH].version}
    assert [row.metrics for row in pages(sites, reader, MONTH, last_date(MONTH))] == [(3,)]


class Crash(Exception):
    """The process ends here."""


@pytest.mark.parametrize("step", ["begun", "check", "switch", "closed"])
def test_a_crash_leaves_readers_with_the_days_until_the_next_day(
    make_sites: Any, reader: EventReader, step: str
) -> None:
    sites: ClosedSites = make_sites(MONTH, last_date(MONTH))
    sites.store([view(sites, MONTH)])

    def crash(message: str) -> None:
        if message == f"2026-02 {step}":
            raise Crash

    sites.interrupt = crash
    sites.close()
    assert [row.metrics for row in pages(sites, reader, MONTH, last_date(MONTH))] == [(1,)]
    sites.interrupt = lambda message: None
    sites.world.clock.advance(86_400)
    sites.close()
    assert is_valid(sites), "found by the look of the day"
    assert [row.metrics for row in pages(sites, reader, MONTH, last_date(MONTH))] == [(1,)]


def test_rows_of_versions_that_were_replaced_meanwhile_are_not_switched_to(make_sites: Any) -> None:
    sites: ClosedSites = make_sites(MONTH, last_date(MONTH))
    sites.store([view(sites, MONTH)])
    sites.close()
    days = sites.versions()
    with writing(sites.world.engine) as session:
        assert claim_month(session, MONTH, MONTH_BIT + 1, [sites.site_id, 999_999_999]) == [sites.site_id]
    assert not is_valid(sites), "nobody reads what is being summed"
    with writing(sites.world.engine) as session:
        assert not switch_month(session, sites.site_id, MONTH, MONTH_BIT + 1, {**days, MONTH: 7})
        assert not switch_month(session, sites.site_id, MONTH, MONTH_BIT + 2, days), "another claimed it"
        assert switch_month(session, sites.site_id, MONTH, MONTH_BIT + 1, days)
        assert not switch_month(session, sites.site_id, MONTH, MONTH_BIT + 1, days), "once"
        assert not switch_month(session, 999_999_999, MONTH, MONTH_BIT + 3, {})
    assert months_of(sites)[MONTH].version == MONTH_BIT + 1
    with writing(sites.world.engine) as session:
        mark_dirty(session, sites.site_id, [MONTH], sites.world.clock.now_ms)
    assert is_valid(sites)


@pytest.mark.parametrize(
    "change",
    [
        "visitors = visitors",
        "pageviews = pageviews + 1 WHERE dimension = 'path'",
        "more_visits = more_visits + 1 WHERE dimension = 'entry_page'",
        "bounces = bounces - 1 WHERE dimension = 'exit_page'",
        "engaged_ms = engaged_ms + 1 WHERE dimension = 'referrer'",
    ],
)
def test_sums_that_are_not_those_of_their_days_are_refused(
    make_sites: Any, reader: EventReader, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    """Either the month's rows are wrong, or, here alike, those of a day are not all there."""
    sites: ClosedSites = make_sites(MONTH, last_date(MONTH))
    sites.store([view(sites, MONTH), view(sites, MONTH + DAY)])
    changed, _, where = change.partition(" WHERE ")

    def tamper(step: str) -> None:
        if step == "2026-02 check":
            sites.client.execute(
                f"ALTER TABLE daily UPDATE {changed} WHERE site_id = {sites.site_id} "
                f"AND version >= {MONTH_BIT} AND {where or '1'}",
                settings={"mutations_sync": 1},
            )

    sites.interrupt = tamper
    sites.close()
    assert is_valid(sites) == (not where)
    assert [record.sites for record in caplog.records if hasattr(record, "sites")] == (
        [[sites.site_id]] if where else []
    )
    assert [row.metrics for row in pages(sites, reader, MONTH, last_date(MONTH))] == [(2,)], "from the days"


def test_a_day_that_is_away_while_its_month_is_summed_is_not_left_out(
    make_sites: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sites: ClosedSites = make_sites(MONTH, last_date(MONTH))
    sites.store([view(sites, MONTH), view(sites, MONTH + DAY)])

    def lose(step: str) -> None:
        if step == "2026-02 begun":
            sites.client.execute(f"DELETE FROM daily WHERE site_id = {sites.site_id} AND day = '{MONTH}'")

    sites.interrupt = lose
    sites.close()
    assert not is_valid(sites)
    assert "a month is not the sum of its days" in caplog.text


def test_a_month_is_not_summed_while_rows_are_on_their_way_to_another_class(make_sites: Any) -> None:
    sites: ClosedSites = make_sites(MONTH, last_date(MONTH))
    sites.store([view(sites, MONTH)])
    with writing(sites.world.engine) as session:
        session.add(move_of(sites.site_id, "switching"))
    sites.close()
    assert sites.versions()
    assert not months_of(sites)
    with writing(sites.world.engine) as session:
        session.execute(delete(RetentionMove))
    sites.world.clock.advance(86_400)
    sites.close()
    assert is_valid(sites), "found by the look of the day"


def test_a_move_that_switches_while_a_month_is_summed_ends_that(make_sites: Any) -> None:
    sites: ClosedSites = make_sites(MONTH, last_date(MONTH))
    sites.store([view(sites, MONTH)])

    def begin_to_switch(step: str) -> None:
        if step == "2026-02 switch":
            with writing(sites.world.engine) as session:
                forget_claims(session, sites.site_id)

    sites.interrupt = begin_to_switch
    sites.close()
    assert not months_of(sites)
    sites.interrupt = lambda step: None
    sites.world.clock.advance(86_400)
    sites.close()
    assert is_valid(sites)
    with writing(sites.world.engine) as session:
        forget_claims(session, sites.site_id)
    assert is_valid(sites), "what is summed stays: it moves with its days"


def move_of(site_id: int, state: str) -> RetentionMove:
    values = {"shard": 0, "store_table": "daily", "month": 202602, "from_class": 1, "to_class": 2, "cutoff": 1}
    return RetentionMove(site_id=site_id, state=state, **values)


def test_a_claim_waits_for_a_move_that_is_about_to_switch(engine: Engine) -> None:
    """On both stores whoever comes second sees what the first one did."""
    with writing(engine) as session:
        session.add_all(
            [Site(site_id=number, public_id=str(number), domain=f"{number}.test", created_at_ms=1) for number in (1, 2)]
        )
    claimed: list[int] = []

    def claim() -> None:
        with writing(engine) as session:
            claimed.extend(claim_month(session, MONTH, MONTH_BIT + 1, [1, 2]))

    with writing(engine) as session:
        forget_claims(session, 1)
        session.add(move_of(1, "switching"))
        session.add(move_of(2, "copying"))
        session.flush()
        thread = Thread(target=claim)
        thread.start()
        thread.join(0.2)
        assert thread.is_alive(), "it holds the site"
    thread.join()
    assert claimed == [2]
    with writing(engine) as session:
        assert claim_month(session, MONTH, MONTH_BIT + 2, [2]) == [2]
        assert not switch_month(session, 2, MONTH, MONTH_BIT + 1, {}), "another one claimed it since"
        forget_claims(session, 1)
        assert switch_month(session, 2, MONTH, MONTH_BIT + 2, {}), "moves of other sites do not matter"


SHORT_LISTS: tuple[dict[str, Any], ...] = (
    {"metrics": ["visitors"], "dimensions": ["event:page"]},
    {"metrics": ["pageviews", "visitors"], "dimensions": ["event:page"]},
    {"metrics": ["visitors", "percentage"], "dimensions": ["visit:exit_page"]},
    {"metrics": [*COUNTS, "bounce_rate"], "dimensions": ["visit:entry_page"]},
    {"metrics": ["bounce_rate"], "dimensions": ["visit:entry_page"], "order_by": [["bounce_rate", "desc"]]},
    {"metrics": ["visit_duration"], "dimensions": ["visit:country"], "order_by": [["visit_duration", "asc"]]},
    {"metrics": ["time_on_page"], "dimensions": ["event:page"], "order_by": [["time_on_page", "desc"]]},
)


def short_list(sites: ClosedSites, limit_rows: int, **asked: Any) -> tuple[Query, ClosedFigures]:
    page = {"limit": limit_rows, "offset": limit_rows % 2}
    document = {"site_id": "x", "date_range": [sites.first.isoformat(), sites.last.isoformat()], "pagination": page}
    now_ms = sites.calendar.start_ms(sites.last + DAY)
    query = parse_query({**document, **asked}, SiteFacts(sites.site_id, sites.calendar, now_ms))
    return query, load_closed_figures(sites.world.engine, sites.site_id, [query.range])


def test_the_first_of_a_list_are_those_of_all_its_events(make_sites: Any, reader: EventReader) -> None:
    """Lists of one closed table, of which the store keeps the first rows: with ties, empty pages, and in any order."""
    sites: ClosedSites = make_sites(MONTH, MONTH + 3 * DAY, limits=ClosingLimits(least_events=1))
    paths = ("/a", "/b", "/a", "/c", "/d", "/b", "/e")
    sites.store([view(sites, MONTH + n % 4 * DAY, visitor_id=n, path=path) for n, path in enumerate(paths * 3)])
    sites.complete_until(sites.last + DAY)
    sites.close()
    for asked in SHORT_LISTS:
        for limit_rows in range(1, 7):
            query, closed = short_list(sites, limit_rows, **asked)
            assert Answerer(reader, closed=closed).answer(query).rows == Answerer(reader).answer(query).rows, asked


def test_names_that_are_added_meanwhile_are_not_left_out(make_sites: Any, reader: EventReader) -> None:
    class Outdated(NameNumbers):
        def below(self, site_id: int, ticket: Ticket | None = None) -> int:
            asked.append(site_id)
            return 3

    asked: list[int] = []
    sites: ClosedSites = make_sites(MONTH, MONTH + 2 * DAY, limits=ClosingLimits(least_events=1))
    sites.store([view(sites, MONTH + n % 3 * DAY, visitor_id=n, path=f"/{n % 4}") for n in range(12)])
    sites.complete_until(sites.last + DAY)
    sites.close()
    query, closed = short_list(sites, 3, metrics=["visitors"], dimensions=["event:page"])
    rows = Answerer(reader, closed=closed, numbers=Outdated(reader)).answer(query).rows
    assert [row.metrics for row in rows] == [(3,), (3,), (3,)]
    assert rows == Answerer(reader).answer(query).rows
    assert asked == [sites.site_id]
    assert NameNumbers(reader).below(sites.site_id) > 5
