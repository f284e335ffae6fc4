"""Closing against its naive twin, in zones with odd days, and what happens when it is cut anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from clickhouse_driver import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from jobs.closing_chunk import ClosingLimits
from server.app_database import reading, writing
from server.clickhouse_url import ClickHouseAddress
from server.closed_days import has_values, mark_dirty
from server.config import Settings
from server.models import OpenDay
from server.open_days import begin_open, forget_open
from server.queries.closed_figures import Begun, load_closed_figures
from server.queries.closed_tables import daily_sql
from server.queries.event_reader import EventReader
from server.queries.parameters import Parameters
from server.queries.periods import SiteCalendar, TimeRange
from tests.jobs.closed_site import KEYS, ClosedSites, without_zeros
from tests.jobs.one_job import World
from tests.reference.closed_figures import daily_figures, hourly_figures, vital_rows
from tests.server.queries.traffic import ZONES, Event, event, traffic

DAY = timedelta(days=1)
MINUTE_MS = 60_000
CASES = [(zone, day) for zone, days in ZONES.items() for day in days]


@pytest.fixture
def make_sites(sqlite_settings: Settings, app: Engine, address: ClickHouseAddress, client: Client) -> Any:
    def make(zone: str, first: date, last: date, **more: Any) -> ClosedSites:
        return ClosedSites(World(sqlite_settings, app), address, client, zone, first, last, **more)

    return make


def of_days(events: list[Event], calendar: SiteCalendar, first: date, last: date) -> list[Event]:
    until_ms = calendar.start_ms(last + DAY)
    return [each for each in events if calendar.start_ms(first) <= each["time_ms"] < until_ms]


def assert_closed(sites: ClosedSites, events: list[Event], site_id: int = 0) -> None:
    """Everything that readers see is what the twin counts of these events."""
    events = of_days(events, sites.calendar, sites.first, sites.last)
    limits = sites.limits
    expected = daily_figures(events, sites.calendar, limits.least_events, limits.most_values)
    assert without_zeros(sites.daily(site_id)) == without_zeros(expected)
    assert without_zeros(sites.hourly(site_id)) == without_zeros(
        hourly_figures(events, sites.calendar, limits.least_events)
    )
    assert sites.vitals(site_id) == vital_rows(events, sites.calendar, KEYS)


@st.composite
def weighed_traffic(draw: st.DrawFn, zone: str, days: tuple[date, ...], first_load: int) -> list[Event]:
    """Traffic of one weight; loads from a number on."""
    weight = draw(st.sampled_from((1, 4)))
    events = draw(traffic(SiteCalendar.of(zone), days))
    return [{**each, "sample_weight": weight, "load_id": each["load_id"] + first_load} for each in events]


@pytest.mark.parametrize(("zone", "day"), CASES)
@settings(
    max_examples=3,
    deadline=None,
    # To make an example smaller takes a hundred closings.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_closed_days_say_what_the_events_say(make_sites: Any, zone: str, day: date, data: st.DataObject) -> None:
    days = (day - DAY, day, day + DAY)
    limits = ClosingLimits(
        least_events=data.draw(st.sampled_from((1, 4))),
        most_values=data.draw(st.sampled_from((2, 10_000))),
        chunk_rows=data.draw(st.sampled_from((3, 1_000))),
    )
    sites: ClosedSites = make_sites(zone, days[0], days[-1], limits=limits, count=3)
    stored = {site_id: data.draw(weighed_traffic(zone, days, 0)) for site_id in sites.site_ids}
    for site_id, events in stored.items():
        sites.store(events, site_id)
    assert sites.close() == ["succeeded"]
    for site_id, events in stored.items():
        assert set(sites.versions(site_id)) == set(days)
        assert_closed(sites, events, site_id)


def test_rows_that_come_later_make_their_days_dirty(make_sites: Any) -> None:
    zone, day = "Australia/Lord_Howe", date(2026, 4, 5)
    sites: ClosedSites = make_sites(zone, day - DAY, day)
    start_ms = sites.calendar.start_ms(day)
    first = [event(time_ms=start_ms + minute * MINUTE_MS, visitor_id=1, load_id=minute + 9) for minute in (-5, 5, 500)]
    sites.store(first)
    sites.close()
    before = sites.versions()
    assert sites.close() == ["succeeded"]
    assert sites.versions() == before
    late = [event(time_ms=start_ms + 10 * MINUTE_MS, visitor_id=2, path="/late")]
    sites.store(late)
    sites.note_hits(start_ms + 10 * MINUTE_MS)
    sites.close()
    after = sites.versions()
    assert after[day - DAY] == before[day - DAY]
    assert after[day] != before[day]
    assert_closed(sites, [*first, *late])
    assert f"site:{sites.site_id}:closed" in sites.answers.topics


def test_a_dirty_day_stays_readable_and_is_closed_again(make_sites: Any) -> None:
    sites: ClosedSites = make_sites("Asia/Kathmandu", date(2026, 3, 10), date(2026, 3, 10))
    at_ms = sites.calendar.start_ms(sites.first) + MINUTE_MS
    sites.store([event(time_ms=at_ms, visitor_id=1)])
    sites.close()
    first = sites.versions()
    with writing(sites.world.engine) as session:
        mark_dirty(session, sites.site_id, [sites.first], sites.world.clock.now_ms)
    assert sites.versions() == first
    assert sites.rows()[sites.first].is_dirty
    sites.close()
    assert not sites.rows()[sites.first].is_dirty
    assert sites.versions() != first


def test_a_day_that_is_marked_while_it_is_closed_stays_dirty(make_sites: Any) -> None:
    sites: ClosedSites = make_sites("Asia/Kathmandu", date(2026, 3, 10), date(2026, 3, 11))
    at_ms = sites.calendar.start_ms(sites.first) + MINUTE_MS
    sites.store([event(time_ms=at_ms, visitor_id=1)])

    def mark(step: str) -> None:
        if step.endswith("daily"):
            with writing(sites.world.engine) as session:
                mark_dirty(session, sites.site_id, [sites.first], sites.world.clock.now_ms)

    for _ in range(2):  # a day without a row, then one with a version
        sites.interrupt = mark
        sites.close()
        assert [row.is_dirty for row in sites.rows().values()] == [True, False]
        assert_closed(sites, [event(time_ms=at_ms, visitor_id=1)])
    sites.interrupt = lambda step: None
    sites.close()
    assert not sites.rows()[sites.first].is_dirty


STEPS = ("begun", "names", "sessions 1/1", "daily", "hourly", "vitals", "switch", "closed")


def test_a_crash_at_any_step_leaves_readers_on_the_version_before(make_sites: Any) -> None:
    day = date(2026, 3, 8)
    sites: ClosedSites = make_sites("America/New_York", day, day)
    start_ms = sites.calendar.start_ms(day)
    events = [event(time_ms=start_ms + MINUTE_MS, visitor_id=1, load_id=1, metrics={})]
    sites.store(events)
    sites.close()
    before = sites.versions()
    added = []
    # Each run goes on after what the one before left, and gets one step further.
    for number, crash_at in enumerate(STEPS):
        added.append(event(time_ms=start_ms + (number + 2) * MINUTE_MS, visitor_id=number % 3, path=f"/{number}"))
        sites.store(added[-1:])
        with writing(sites.world.engine) as session:
            mark_dirty(session, sites.site_id, [day], sites.world.clock.now_ms)

        def crash(step: str, crash_at: str = crash_at) -> None:
            if step.endswith(crash_at):
                raise KeyboardInterrupt

        sites.interrupt = crash
        with pytest.raises(KeyboardInterrupt):
            sites.close()
        if crash_at == "closed":
            assert sites.versions() != before
            assert_closed(sites, [*events, *added])
        else:
            assert sites.versions() == before
            assert_closed(sites, events)
        sites.world.clock.advance(3_600)
    sites.interrupt = lambda step: None
    with writing(sites.world.engine) as session:
        mark_dirty(session, sites.site_id, [day], sites.world.clock.now_ms)
    assert sites.close()[-1] == "succeeded"
    assert_closed(sites, [*events, *added])
    # What the crashes left behind is gone once it is old enough.
    sites.world.clock.advance(3_600)
    sites.close()
    for table in ("sessions", "daily", "hourly", "closings"):
        versions = sites.client.execute(f"SELECT DISTINCT version FROM {table} WHERE site_id = {sites.site_id}")
        assert versions == [(sites.versions()[day],)], table


def test_small_days_have_no_breakdowns_and_say_so(make_sites: Any) -> None:
    day = date(2026, 3, 10)
    sites: ClosedSites = make_sites("Asia/Kathmandu", day, day + DAY, limits=ClosingLimits(least_events=2))
    start_ms = sites.calendar.start_ms(day)
    events = [event(time_ms=start_ms + at * MINUTE_MS, visitor_id=at) for at in (1, 1441, 1442)]
    sites.store(events)
    sites.close()
    assert [has_values(version) for version in sites.versions().values()] == [False, True]
    assert_closed(sites, events)


def test_a_day_of_two_weights_stays_open(make_sites: Any) -> None:
    day = date(2026, 3, 10)
    sites: ClosedSites = make_sites("Asia/Kathmandu", day, day + DAY)
    start_ms = sites.calendar.start_ms(day)
    open_day = [event(time_ms=start_ms + at * MINUTE_MS, visitor_id=at, sample_weight=at) for at in (1, 2)]
    other = [event(time_ms=start_ms + 1441 * MINUTE_MS, visitor_id=3, sample_weight=2)]
    sites.store([*open_day, *other])
    sites.close()
    assert set(sites.versions()) == {day + DAY}
    assert not any(row.is_dirty for row in sites.rows().values())
    assert_closed(sites, other)


def test_events_of_one_instant_have_one_order_and_one_that_came_twice_is_one_visit(make_sites: Any) -> None:
    day = date(2026, 3, 10)
    sites: ClosedSites = make_sites("Asia/Kathmandu", day, day)
    at_ms = sites.calendar.start_ms(day) + MINUTE_MS
    # As an access log has them: to the second, and of no page load.
    paths = ["/", "", *(f"/{'long/' * (2 * number)}{number}" for number in range(20))]
    events = [
        event(time_ms=at_ms + visitor, visitor_id=visitor, path=path, country=f"{chr(65 + place)}A", load_id=load)
        for visitor in range(1, 5)
        for place, path in enumerate(paths[visitor:])
        for load in ((0,) if visitor < 3 else (0, 2**64 - 1 - place))
    ]
    twice = event(time_ms=at_ms, visitor_id=7, path="/", country="EE")
    events += [twice, twice, event(time_ms=at_ms + 31 * MINUTE_MS, visitor_id=7, path="/", country="NP")]
    sites.store(events)
    sites.close()
    assert_closed(sites, events)


def test_days_before_the_site_was_created_are_closed_when_they_are_marked(make_sites: Any) -> None:
    day = date(2026, 3, 10)
    sites: ClosedSites = make_sites("Asia/Kathmandu", day, day)
    at_ms = sites.calendar.start_ms(day - 40 * DAY) + MINUTE_MS
    sites.store([event(time_ms=at_ms, visitor_id=1)])
    sites.close()
    assert set(sites.versions()) == {day}
    with writing(sites.world.engine) as session:
        mark_dirty(session, sites.site_id, [day - 40 * DAY], sites.world.clock.now_ms)
    sites.close()
    assert set(sites.versions()) == {day - 40 * DAY, day}
    assert sites.daily()[day - 40 * DAY, "total", "", ""]["visitors"] == 1


def test_a_day_waits_for_its_end_and_for_the_watermark(make_sites: Any) -> None:
    day = date(2026, 3, 10)
    sites: ClosedSites = make_sites("Asia/Kathmandu", day, day + DAY)
    sites.complete_until(day)
    sites.close()
    assert sites.versions() == {}
    sites.complete_until(day + DAY)
    sites.close()
    assert set(sites.versions()) == {day}


def test_rebuild_closes_the_days_that_have_ended_again(make_sites: Any) -> None:
    day = date(2026, 3, 10)
    sites: ClosedSites = make_sites("Asia/Kathmandu", day, day + DAY)
    at_ms = sites.calendar.start_ms(day) + MINUTE_MS
    sites.store([event(time_ms=at_ms, visitor_id=1)])
    sites.close()
    before = sites.versions()
    sites.store([event(time_ms=at_ms, visitor_id=2, load_id=2)])
    sites.world.clock.advance(1)
    assert sites.rebuild([day, day + DAY, day + 2 * DAY]) == 2
    assert all(sites.versions()[each] != before[each] for each in before)
    assert sites.daily()[day, "total", "", ""]["visitors"] == 2


def test_a_short_list_has_its_names_and_what_ties_with_its_last(make_sites: Any, address: ClickHouseAddress) -> None:
    day = date(2026, 3, 10)
    sites: ClosedSites = make_sites("Asia/Kathmandu", day, day)
    start_ms = sites.calendar.start_ms(day)
    paths = ("/a", "/a", "/b", "/c")
    views = [event(time_ms=start_ms + n, visitor_id=n, path=path, country="NP") for n, path in enumerate(paths)]
    custom = event(time_ms=start_ms, visitor_id=9, kind="custom", event_name="Order", path="/d", country="EE")
    sites.store([*views, custom])
    sites.close()
    reader = EventReader(lambda: address)

    def rows(dimension: str, **more: Any) -> list[Any]:
        parameters = Parameters()
        versions = list(sites.versions().values())
        statement = daily_sql(parameters, sites.site_id, day, day, versions, dimension, ["visitors"], **more)
        return sorted(reader.rows(statement, parameters.values))

    assert rows("total") == [(5,)]
    assert rows("total", bucket="toStartOfMonth(day)") == [(date(2026, 3, 1), 5)]
    assert rows("path", order_by="visitors DESC", limit_rows=1) == [("/a", 2)]
    assert rows("path", order_by="visitors DESC", limit_rows=2) == [("/a", 2), ("/b", 1), ("/c", 1), ("/d", 1)]
    assert rows("entry_page", bucket="day") == [(day, "", 1), (day, "/a", 2), (day, "/b", 1), (day, "/c", 1)]
    assert rows("country") == [("EE", 1), ("NP", 4)]
    reader.close()


OPEN_LIMITS = ClosingLimits(least_events=1, open_least_rows=3)


def open_rows(sites: ClosedSites) -> dict[date, OpenDay]:
    with reading(sites.world.engine) as session:
        found = session.query(OpenDay).filter(OpenDay.site_id == sites.site_id).all()
        session.expunge_all()
    return {date.fromisoformat(row.day): row for row in found}


def begun(sites: ClosedSites) -> Mapping[date, Begun]:
    """What readers know of open days."""
    days = TimeRange.of_days(sites.calendar, sites.first, sites.last)
    return load_closed_figures(sites.world.engine, sites.site_id, [days]).begun


def test_a_large_open_day_is_condensed_until_the_watermark_and_closed_when_it_is_over(make_sites: Any) -> None:
    day = date(2026, 4, 5)
    sites: ClosedSites = make_sites("Australia/Lord_Howe", day, day, limits=OPEN_LIMITS)
    start_ms = sites.calendar.start_ms(day)
    events = [event(time_ms=start_ms + number * MINUTE_MS, visitor_id=number % 3) for number in range(20)]
    sites.store(events)
    sites.complete_until_ms(start_ms + 2 * MINUTE_MS)
    sites.close()
    assert not open_rows(sites)  # too few
    versions = []
    for cut_ms in (start_ms + 10 * MINUTE_MS, start_ms + 15 * MINUTE_MS):
        sites.complete_until_ms(cut_ms)
        sites.close()
        row = open_rows(sites)[day]
        assert (row.starts_at_ms, row.cut_ms) == (start_ms, cut_ms)
        assert sites.versions() == {}
        versions.append(row.version)
        counted = sites.client.execute(
            f"SELECT pageviews FROM daily WHERE site_id = {sites.site_id} AND version = {row.version} "
            "AND dimension = 'total'"
        )
        assert counted == [((cut_ms - start_ms) // MINUTE_MS,)]
    assert versions[0] < versions[1]
    sites.complete_until(day + DAY)
    sites.close()
    assert_closed(sites, events)
    sites.close()
    assert not open_rows(sites)
    sites.world.clock.advance(1_800)
    sites.close()
    left = sites.client.execute(f"SELECT DISTINCT version FROM closings WHERE site_id = {sites.site_id}")
    assert left == [(version,) for version in sites.versions().values()]
    assert_closed(sites, events)


def test_an_open_day_is_not_condensed_again_at_once(make_sites: Any) -> None:
    day = date(2026, 4, 5)
    sites: ClosedSites = make_sites("Australia/Lord_Howe", day, day, limits=OPEN_LIMITS)
    start_ms = sites.calendar.start_ms(day)
    sites.store([event(time_ms=start_ms + number * MINUTE_MS, visitor_id=number % 3) for number in range(20)])
    sites.interrupt = lambda step: sites.world.clock.advance(200) if step.endswith("daily") else None
    sites.complete_until_ms(start_ms + 10 * MINUTE_MS)
    sites.close()
    first = open_rows(sites)[day]
    sites.complete_until_ms(start_ms + 15 * MINUTE_MS)
    sites.close()
    assert open_rows(sites)[day].version == first.version
    sites.world.clock.advance(2_000)
    sites.close()
    assert open_rows(sites)[day].version != first.version


OPEN_STEPS = ("begun", "names", "sessions 1/1", "daily", "hourly", "switch")


def test_a_crash_at_any_step_leaves_an_open_day_on_the_version_before(make_sites: Any) -> None:
    day = date(2026, 3, 8)
    sites: ClosedSites = make_sites("America/New_York", day, day, limits=OPEN_LIMITS)
    start_ms = sites.calendar.start_ms(day)
    sites.store([event(time_ms=start_ms + number * MINUTE_MS, visitor_id=number % 3) for number in range(60)])
    sites.complete_until_ms(start_ms + 10 * MINUTE_MS)
    sites.close()
    before = open_rows(sites)[day]
    for number, crash_at in enumerate(OPEN_STEPS, start=11):

        def crash(step: str, crash_at: str = crash_at) -> None:
            if step.endswith(f"open {crash_at}"):
                raise KeyboardInterrupt

        sites.interrupt = crash
        sites.complete_until_ms(start_ms + number * MINUTE_MS)
        with pytest.raises(KeyboardInterrupt):
            sites.close()
        after = open_rows(sites)[day]
        assert (after.version, after.cut_ms) == (before.version, before.cut_ms)
        sites.world.clock.advance(3_600)
    sites.interrupt = lambda step: None
    sites.close()
    assert open_rows(sites)[day].cut_ms == start_ms + number * MINUTE_MS
    sites.world.clock.advance(3_600)
    sites.complete_until_ms(start_ms + 30 * MINUTE_MS)
    sites.close()
    sites.world.clock.advance(3_600)
    sites.close()
    left = sites.client.execute(f"SELECT DISTINCT version FROM closings WHERE site_id = {sites.site_id}")
    assert left == [(open_rows(sites)[day].version,)]


@pytest.mark.parametrize("is_first", [True, False], ids=["the first time", "later"])
def test_figures_that_were_deleted_meanwhile_do_not_come_back(make_sites: Any, is_first: bool) -> None:
    day = date(2026, 3, 8)
    sites: ClosedSites = make_sites("America/New_York", day, day, limits=OPEN_LIMITS)
    start_ms = sites.calendar.start_ms(day)
    sites.store([event(time_ms=start_ms + number * MINUTE_MS, visitor_id=number % 3) for number in range(60)])
    if not is_first:
        sites.complete_until_ms(start_ms + 10 * MINUTE_MS)
        sites.close()

    def delete(step: str) -> None:
        if step.endswith("open daily"):
            with writing(sites.world.engine) as session:
                forget_open(session, sites.site_id)

    sites.interrupt = delete
    sites.complete_until_ms(start_ms + 20 * MINUTE_MS)
    sites.close()
    assert not open_rows(sites)
    # The next one is made as if there had been none.
    sites.interrupt = lambda step: None
    sites.world.clock.advance(3_600)
    sites.complete_until_ms(start_ms + 25 * MINUTE_MS)
    sites.close()
    assert open_rows(sites)[day].cut_ms == start_ms + 25 * MINUTE_MS


def test_a_first_version_that_was_not_finished_is_nothing_to_readers(make_sites: Any) -> None:
    day = date(2026, 3, 8)
    sites: ClosedSites = make_sites("America/New_York", day, day, limits=OPEN_LIMITS)
    start_ms = sites.calendar.start_ms(day)
    events = [event(time_ms=start_ms + number * MINUTE_MS, visitor_id=number % 3) for number in range(60)]
    sites.store(events)

    def crash(step: str) -> None:
        if step.endswith("open daily"):
            raise KeyboardInterrupt

    sites.interrupt = crash
    sites.complete_until_ms(start_ms + 20 * MINUTE_MS)
    with pytest.raises(KeyboardInterrupt):
        sites.close()
    assert begun(sites) == {}
    sites.interrupt = lambda step: None
    sites.world.clock.advance(3_600)
    sites.close()
    assert begun(sites)[day].cut_ms == start_ms + 20 * MINUTE_MS
    # Left over by a crash and never finished: it goes once the day is closed.
    with writing(sites.world.engine) as session:
        forget_open(session, sites.site_id)
        begin_open(session, sites.site_id, day)
    sites.complete_until(day + DAY)
    sites.close()
    sites.close()
    assert not open_rows(sites)
    assert_closed(sites, events)
