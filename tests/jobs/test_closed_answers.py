"""The same questions answered from closed days and from the events behind them: the answers are equal.

`tests.server.queries.test_answers` holds the answers from events against the naive twin; this holds those from closed
days against them. Some rows come after their days were closed, and figures of an import are added by hand.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from typing import Any

import pytest
from clickhouse_driver import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from server.app_database import writing
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.config import Settings
from server.imports.figures import COUNTS, TOTAL, Figure
from server.imports.stored_figures import FigureWriter
from server.models import Import
from server.queries.answers import Answerer
from server.queries.closed_figures import load_closed_figures
from server.queries.event_reader import EventReader
from server.queries.parsing import SiteFacts, parse_query
from server.queries.periods import SiteCalendar
from tests.jobs.closed_site import ClosedSites
from tests.jobs.one_job import World
from tests.server.queries.traffic import GOALS, ZONES, Event, traffic

DAY = timedelta(days=1)
HOUR_MS = 3_600_000
CASES = [(zone, days[-1]) for zone, days in ZONES.items()]
VISIT_FIGURES = ["visitors", "visits", "pageviews", "events", "views_per_visit", "bounce_rate", "visit_duration"]
EVENT_FIGURES = ["visitors", "visits", "pageviews", "events"]
FILTERS: tuple[list[Any], ...] = (
    [],
    [["is", "visit:country", ["EE"]]],
    [["is_not", "visit:source", ["Google"]], ["is", "visit:browser", ["Firefox"]]],
    [["is", "event:page", ["/blog/a"]]],
    [["is", "event:page", ["/blog/a", "/"]], ["contains", "event:page", ["a"]]],
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
    {"metrics": ["visitors", "pageviews", "visit_duration"], "dimensions": ["visit:country"]},
    {"metrics": ["visitors"], "dimensions": ["visit:channel"], "pagination": {"limit": 2}},
    {"metrics": ["visitors", "percentage"], "dimensions": ["visit:device"], "order_by": [["visitors", "desc"]]},
    {"metrics": EVENT_FIGURES, "dimensions": ["event:page"]},
    {"metrics": ["visitors", "visits"], "dimensions": ["event:page"]},
    {"metrics": ["pageviews", "bounce_rate"], "dimensions": ["event:page"]},
    {"metrics": ["visitors", "time_on_page", "scroll_depth"], "dimensions": ["event:page"]},
    {"metrics": ["visitors", "visits"], "dimensions": ["visit:entry_page"]},
    {"metrics": ["visitors", "events"], "dimensions": ["event:name"]},
    {"metrics": ["visitors", "events", "conversion_rate"], "dimensions": ["event:goal"]},
    {"metrics": ["p75_lcp_ms", "samples_lcp_ms"]},
    {"metrics": ["p50_cls", "samples_cls"], "dimensions": ["visit:device"]},
)


COUNTED = ("visitors", "visits", "pageviews", "events")
BY_IMPORT: dict[tuple[str, ...], Callable[[date, str], tuple[str, ...]]] = {
    (): lambda day, source: (),
    ("time:day",): lambda day, source: (day.isoformat(),),
    ("visit:source",): lambda day, source: (source,),
}
"""Where imported figures of a day and a source are counted, by the dimensions of a question."""


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


def bring_figures(sites: ClosedSites, days: Sequence[date], data: st.DataObject) -> dict[tuple[date, str], list[int]]:
    """Import figures of some of these days; what there is of each (day, source), in the order of `COUNTS`."""
    taken = data.draw(st.lists(st.sampled_from(days), unique=True, min_size=1))
    with writing(sites.world.engine) as session:
        row = Import(
            site_id=sites.site_id,
            kind="plausible",
            state="done",
            file_name="x.zip",
            content_hash="x",
            first_day=min(taken).isoformat(),
            last_day=max(taken).isoformat(),
            created_at_ms=1,
        )
        session.add(row)
        session.flush()
        import_id = row.import_id
    # Visitors, visits, views, events: each at least as many as of the one before.
    steps = st.lists(st.integers(0, 1_000), min_size=4, max_size=4)
    figures = {
        (day, source): list(itertools.accumulate(data.draw(steps)))
        for day in taken
        for source in data.draw(st.lists(st.sampled_from(("Google", "Elsewhere")), unique=True, min_size=1))
    }
    with closing(BlockConnection(sites.address)) as connection:
        writer = FigureWriter(connection, sites.site_id, import_id, 1)
        for day in taken:
            of_day = {source: counts for (each, source), counts in figures.items() if each == day}
            whole = [sum(numbers) for numbers in zip(*of_day.values(), strict=True)]
            by_value = {(TOTAL, ""): whole, **{("referrer_source", source): of for source, of in of_day.items()}}
            rest = (0,) * (len(COUNTS) - len(whole))
            writer.add(day.isoformat(), [Figure(*key, (*counts, *rest)) for key, counts in by_value.items()])
        writer.flush()
    return figures


def counted(rows: Iterable[Any]) -> dict[tuple[str, ...], Counter[str]]:
    """Counts by dimensions, without those that are 0."""
    found = {tuple(row.dimensions): +Counter(dict(zip(COUNTED, row.metrics, strict=True))) for row in rows}
    return {key: counts for key, counts in found.items() if counts}


@pytest.mark.parametrize(("zone", "day"), CASES)
@settings(
    max_examples=4,
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
    drawn: list[Event] = data.draw(traffic(SiteCalendar.of(zone), days))
    events = [{**each, "sample_weight": 1} for each in drawn]
    late = data.draw(st.integers(0, len(events)))
    sites.store(events[late:])
    # The last day stays open: answers are made of both.
    sites.complete_until(days[-1])
    sites.close()
    assert set(sites.versions()) == set(days[:2])
    if data.draw(st.booleans()):
        # A day that was closed by a release that did not count them, beside one by this.
        where = f"site_id = {sites.site_id} AND day = '{days[0]}'"
        client.execute(f"ALTER TABLE sessions UPDATE silent_pages = -1 WHERE {where}", settings={"mutations_sync": 1})
    facts = SiteFacts(sites.site_id, sites.calendar, sites.calendar.start_ms(days[-1] + DAY), goals=GOALS)

    def answers(document: dict[str, Any]) -> tuple[list[Any], list[Any]]:
        """From closed days and from events."""
        query = parse_query({"site_id": "x", **document}, facts)
        closed = load_closed_figures(app, sites.site_id, [query.range])
        assert closed.versions
        return Answerer(reader, closed=closed).answer(query).rows, Answerer(reader).answer(query).rows

    if late:
        whole = {"date_range": [days[0].isoformat(), days[1].isoformat()], "metrics": VISIT_FIGURES}
        before, truth = answers(whole)
        assert before == truth
        sites.store(events[:late])
        for hour_ms in {each["time_ms"] // HOUR_MS * HOUR_MS for each in events[:late]}:
            sites.note_hits(hour_ms)
        # Days that rows came to are read as they were closed, until they are closed again.
        assert answers(whole)[0] == before
        sites.close()
    first, last = data.draw(st.sampled_from(((days[0], days[-1]), (days[0], days[1]), (day, day))))
    for question in data.draw(asked_questions()):
        document = {"date_range": [first.isoformat(), last.isoformat()], **question}
        from_closed, from_events = answers(document)
        assert from_closed == from_events, document

    figures = bring_figures(sites, days, data)
    for dimensions, key_of in BY_IMPORT.items():
        document = {
            "date_range": [first.isoformat(), last.isoformat()],
            "metrics": list(COUNTED),
            "dimensions": list(dimensions),
            "include": {"imports": True},
        }
        from_closed, from_events = answers(document)
        expected: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter, counted(from_events))
        for (imported_day, source), counts in figures.items():
            if first <= imported_day <= last:
                expected[key_of(imported_day, source)].update(dict(zip(COUNTED, counts, strict=True)))
        assert counted(from_closed) == {key: +counts for key, counts in expected.items() if +counts}, document
