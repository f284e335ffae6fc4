"""The same questions answered from closed days and from the events behind them: the answers are equal.

`tests.server.queries.test_answers` holds the answers from events against the naive twin; this holds those from closed
days against them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from clickhouse_driver import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from server.clickhouse_url import ClickHouseAddress
from server.config import Settings
from server.queries.answers import Answerer
from server.queries.closed_figures import load_closed_figures
from server.queries.event_reader import EventReader
from server.queries.parsing import SiteFacts, parse_query
from server.queries.periods import SiteCalendar
from tests.jobs.closed_site import ClosedSites
from tests.jobs.one_job import World
from tests.server.queries.traffic import GOALS, ZONES, Event, traffic

DAY = timedelta(days=1)
CASES = [(zone, days[-1]) for zone, days in ZONES.items()]
VISIT_FIGURES = ["visitors", "visits", "pageviews", "events", "views_per_visit", "bounce_rate", "visit_duration"]
EVENT_FIGURES = ["visitors", "visits", "pageviews", "events"]
FILTERS: tuple[list[Any], ...] = (
    [],
    [["is", "visit:country", ["EE"]]],
    [["is_not", "visit:source", ["Google"]], ["is", "visit:browser", ["Firefox"]]],
    [["is", "event:page", ["/blog/a"]]],
    [["contains", "event:page", ["blog"]]],
    [["is", "visit:entry_page", ["/"]]],
    [["is", "event:goal", ["Signup"]]],
    [["or", [["is", "visit:device", ["Mobile"]], ["is", "visit:exit_page", ["/blog/b"]]]]],
)
QUESTIONS: tuple[dict[str, Any], ...] = (
    {"metrics": VISIT_FIGURES},
    {"metrics": VISIT_FIGURES, "dimensions": ["time:day"]},
    {"metrics": ["visitors", "visits", "pageviews"], "dimensions": ["time:hour"]},
    {"metrics": VISIT_FIGURES, "dimensions": ["visit:source"]},
    {"metrics": ["visitors", "bounce_rate"], "dimensions": ["visit:screen", "visit:country"]},
    {"metrics": EVENT_FIGURES, "dimensions": ["event:page"]},
    {"metrics": ["visitors", "time_on_page", "scroll_depth"], "dimensions": ["event:page"]},
    {"metrics": ["visitors", "visits"], "dimensions": ["visit:entry_page"]},
    {"metrics": ["visitors", "events"], "dimensions": ["event:name"]},
    {"metrics": ["visitors", "events", "conversion_rate"], "dimensions": ["event:goal"]},
    {"metrics": ["p75_lcp_ms", "samples_lcp_ms"]},
    {"metrics": ["p50_cls", "samples_cls"], "dimensions": ["visit:device"]},
)


@pytest.fixture(scope="module")
def reader(address: ClickHouseAddress) -> Iterator[EventReader]:
    asked = EventReader(lambda: address)
    yield asked
    asked.close()


@st.composite
def asked_questions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Some questions, each with a filter that it allows."""
    found = []
    for _ in range(6):
        question = draw(st.sampled_from(QUESTIONS))
        filters = draw(st.sampled_from(FILTERS))
        of_pages = any("entry_page" in str(each) or "exit_page" in str(each) for each in filters)
        if "lcp" in str(question) or "cls" in str(question):
            filters = [] if of_pages or "goal" in str(filters) else filters
        found.append({**question, "filters": filters})
    return found


@pytest.mark.parametrize(("zone", "day"), CASES)
@settings(
    max_examples=5,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_closed_days_answer_as_their_events_do(
    sqlite_settings: Settings,
    app: Engine,
    address: ClickHouseAddress,
    client: Client,
    reader: EventReader,
    zone: str,
    day: date,
    data: st.DataObject,
) -> None:
    days = (day - DAY, day, day + DAY)
    sites = ClosedSites(World(sqlite_settings, app), address, client, zone, days[0], days[-1])
    events: list[Event] = data.draw(traffic(SiteCalendar.of(zone), days))
    sites.store([{**each, "sample_weight": 1} for each in events])
    # The last day stays open: answers are made of both.
    sites.complete_until(days[-1])
    sites.close()
    assert set(sites.versions()) == set(days[:2])
    facts = SiteFacts(sites.site_id, sites.calendar, sites.calendar.start_ms(days[-1] + DAY), goals=GOALS)
    first, last = data.draw(st.sampled_from(((days[0], days[-1]), (days[0], days[1]), (day, day))))
    for question in data.draw(asked_questions()):
        document = {"site_id": "x", "date_range": [first.isoformat(), last.isoformat()], **question}
        query = parse_query(document, facts)
        closed = load_closed_figures(app, sites.site_id, [query.range])
        assert closed.versions
        from_closed = Answerer(reader, closed=closed).answer(query)
        from_events = Answerer(reader).answer(query)
        assert from_closed.rows == from_events.rows, document
