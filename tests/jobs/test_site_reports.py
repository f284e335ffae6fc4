"""Figures of reports: of many sites at once they are those that each dashboard shows, and as counted by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from clickhouse_driver import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from jobs.closing_chunk import ClosingLimits
from server.app_database import reading
from server.clickhouse_url import ClickHouseAddress
from server.config import Settings
from server.models import Site
from server.queries import site_reports
from server.queries.engine import StatsEngine
from server.queries.event_reader import EventReader
from server.queries.periods import SiteCalendar
from server.queries.site_reports import Question, SiteReport, are_closed, many_sites, one_site, rating_of
from server.queries.vital_buckets import bucket_of
from tests.jobs.closed_site import ClosedSites
from tests.jobs.one_job import World
from tests.server.queries.traffic import Event, event, traffic

DAY = timedelta(days=1)
MINUTE_MS = 60_000


@pytest.fixture(scope="module")
def reader(address: ClickHouseAddress) -> Iterator[EventReader]:
    asked = EventReader(lambda: address)
    yield asked
    asked.close()


def site_of(engine: Engine, site_id: int) -> Site:
    with reading(engine) as session:
        site = session.get_one(Site, site_id)
        session.expunge(site)
    return site


def shown(report: SiteReport) -> dict[str, Any]:
    return {
        "headlines": [(each.metric.name, each.now, each.before, each.change) for each in report.headlines],
        "days": report.visitors_by_day,
        "pages": [(row.name, row.visitors, row.pageviews) for row in report.pages],
        "sources": [(row.name, row.visitors) for row in report.sources],
        "vitals": [(each.key, each.rating, each.rating_before) for each in report.vitals],
    }


@pytest.mark.parametrize(
    ("zone", "day"), [("Australia/Lord_Howe", date(2026, 4, 5)), ("America/New_York", date(2026, 11, 1))]
)
@settings(
    max_examples=2,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_many_sites_are_told_what_each_dashboard_shows(
    sqlite_settings: Settings,
    app: Engine,
    address: ClickHouseAddress,
    client: Client,
    reader: EventReader,
    monkeypatch: pytest.MonkeyPatch,
    zone: str,
    day: date,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(site_reports, "LEAST_LOADS", 1)
    days = tuple(day + index * DAY for index in range(-2, 2))
    limits = ClosingLimits(least_events=data.draw(st.sampled_from((1, 4, 1_000))))
    sites = ClosedSites(World(sqlite_settings, app), address, client, zone, days[0], days[-1], limits=limits, count=3)
    for number, site_id in enumerate(sites.site_ids[:2]):
        weight = data.draw(st.sampled_from((1, 4)))
        events: list[Event] = data.draw(traffic(SiteCalendar.of(zone), days))
        sites.store(
            [{**each, "sample_weight": weight, "load_id": each["load_id"] + number * 9_000} for each in events], site_id
        )
    sites.close()
    now_ms = sites.calendar.start_ms(days[-1] + DAY)
    questions = [Question(site_id, days[2:], days[:2], days, sites.versions(site_id)) for site_id in sites.site_ids]
    assert all(are_closed(each, days[0], has_imports=False) for each in questions)
    engine = StatsEngine(app, reader)
    found = many_sites(reader, questions)
    for each in questions:
        alone = one_site(engine, site_of(app, each.site_id), each, now_ms)
        assert shown(found[each.site_id]) == shown(alone)
    # A site on which nothing happened has a report too.
    empty = found[sites.site_ids[2]]
    assert [each.now for each in empty.headlines] == [0] * 6
    assert empty.pages == empty.sources == []


def test_figures_are_as_counted_by_hand(
    sqlite_settings: Settings, app: Engine, address: ClickHouseAddress, client: Client, reader: EventReader
) -> None:
    day = date(2026, 3, 10)
    sites = ClosedSites(World(sqlite_settings, app), address, client, "Asia/Kathmandu", day - DAY, day, count=2)

    def at(of: date, minute: int) -> int:
        return sites.calendar.start_ms(of) + minute * MINUTE_MS

    def loads(of: date, lcp_ms: float, first: int) -> list[Event]:
        return [
            event(time_ms=at(of, 700 + n), kind="vitals", visitor_id=50, load_id=first + n, metrics={"lcp_ms": lcp_ms})
            for n in range(10)
        ]

    today = [
        # Ann: two pages from Google, 90 s engaged; later once more, directly.
        event(time_ms=at(day, 0), visitor_id=1, load_id=1, path="/", referrer_source="Google"),
        event(time_ms=at(day, 1), visitor_id=1, load_id=2, path="/prices", referrer_source="Google"),
        event(time_ms=at(day, 2), visitor_id=1, load_id=2, path="/prices", kind="engagement", engaged_ms=90_000),
        event(time_ms=at(day, 300), visitor_id=1, load_id=3, path="/"),
        # Bob: one page, a bounce.
        event(time_ms=at(day, 1439), visitor_id=2, load_id=4, path="/prices"),
    ]
    yesterday = [event(time_ms=at(day - DAY, 5), visitor_id=3, load_id=5, path="/old")]
    # The next day's first minute belongs to nobody here.
    beside = [event(time_ms=at(day + DAY, 0), visitor_id=9, load_id=6)]
    sites.store([*today, *yesterday, *beside, *loads(day, 4_500.0, 100), *loads(day - DAY, 900.0, 200)])
    other = sites.site_ids[1]
    sites.store([event(time_ms=at(day, 10), visitor_id=4, load_id=7, path="/other")], other)
    sites.close()
    questions = [
        Question(site_id, [day], [day - DAY], [day - DAY, day], sites.versions(site_id)) for site_id in sites.site_ids
    ]
    found = many_sites(reader, questions)
    report = shown(found[sites.site_id])
    assert report["headlines"] == [
        ("visitors", 2, 1, 100),
        ("visits", 3, 1, 200),
        ("pageviews", 4, 1, 300),
        ("views_per_visit", 1.33, 1.0, 33),
        ("bounce_rate", 67, 100, -33),
        ("visit_duration", 30, 0, 100),
    ]
    assert report["days"] == {day - DAY: 1, day: 2}
    assert report["pages"] == [("/", 1, 2), ("/prices", 2, 2)] or report["pages"] == [("/prices", 2, 2), ("/", 1, 2)]
    assert report["sources"] == [("Direct / None", 2), ("Google", 1)]
    assert report["vitals"] == [("lcp_ms", "poor", "good")]
    (vital,) = found[sites.site_id].vitals
    assert [vital.now, vital.before] == pytest.approx([4_500, 900], rel=0.011)
    assert shown(found[other])["pages"] == [("/other", 1, 1)]


def test_a_version_counts_for_its_own_site_alone(
    sqlite_settings: Settings, app: Engine, address: ClickHouseAddress, client: Client, reader: EventReader
) -> None:
    """Sites that closed together share a version; one that was closed again has rows of it that nobody may read."""
    day = date(2026, 3, 10)
    sites = ClosedSites(World(sqlite_settings, app), address, client, "UTC", day, day, count=2)
    first, second = sites.site_ids
    for site_id in sites.site_ids:
        sites.store([event(time_ms=sites.calendar.start_ms(day) + 1, visitor_id=1, path="/")], site_id)
    sites.close()
    shared = sites.versions(second)[day]
    assert sites.versions(first)[day] == shared
    sites.store([event(time_ms=sites.calendar.start_ms(day) + 2, visitor_id=2, path="/late")])
    sites.rebuild([day])
    assert sites.versions(first)[day] != shared
    found = many_sites(reader, [Question(each, [day], [day], [day], sites.versions(each)) for each in (first, second)])
    assert found[first].headlines[0].now == 2
    assert [row.name for row in found[first].pages] == ["/", "/late"]
    assert found[second].headlines[0].now == 1


def test_ratings_are_those_of_web_vitals() -> None:
    for key, value, rating in (
        ("lcp_ms", 2_500, "good"),
        ("lcp_ms", 2_600, "needs improvement"),
        ("lcp_ms", 4_100, "poor"),
        ("cls", 0.1, "good"),
        ("cls", 0.26, "poor"),
        ("inp_ms", 0, "good"),
    ):
        assert rating_of(key, bucket_of(value)) == rating


def test_what_is_not_closed_or_was_imported_is_not_read_with_others() -> None:
    day = date(2026, 3, 10)
    question = Question(1, [day], [day - DAY], [day - DAY, day], {day: 7})
    assert not are_closed(question, date(2026, 1, 1), has_imports=False)
    assert are_closed(question, day, has_imports=False), "before it was created a site had nothing"
    assert not are_closed(question, day, has_imports=True)
    never = Question(1, [day], [day - DAY], [day], {day: 7, day - DAY: 0})
    assert not are_closed(never, day, has_imports=False), "a day that is never closed is read from the events"
