"""Whole answers of Stats API v2: comparisons, labels, pages of rows, what was understood, how it was answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from clickhouse_driver import Client
from sqlalchemy import Engine

from server.app_database import open_app_database, writing
from server.clickhouse_url import ClickHouseAddress
from server.config import Settings
from server.models import ClosedDay, Goal, Import, Segment, Site
from server.queries.engine import StatsEngine
from server.queries.errors import NotConfigured
from server.queries.event_reader import EventReader
from server.queries.parsing import parse_query
from server.queries.periods import SiteCalendar
from server.sites import add_site
from tests.server.queries.conftest import new_site_id
from tests.server.queries.test_answers import close
from tests.server.queries.traffic import event, store_with

ZONE = "America/New_York"
CALENDAR = SiteCalendar.of(ZONE)
NOW_MS = int(datetime(2026, 3, 10, 16, 30, tzinfo=UTC).timestamp() * 1000)  # 12:30 in New York
HOUR_MS = 3_600_000


@pytest.fixture
def app_database(sqlite_settings: Settings) -> Iterator[Engine]:
    engine = open_app_database(sqlite_settings)
    yield engine
    engine.dispose()


@pytest.fixture
def site(app_database: Engine) -> Site:
    """A site with a number that the event store has nothing of."""
    made = add_site(app_database, "shop.test", ZONE)
    with writing(app_database) as session:
        stored = session.get(Site, made.site_id)
        assert stored is not None
        stored.site_id = new_site_id() + 1_000_000
        session.flush()
        session.expunge(stored)
        return stored


@pytest.fixture
def engine(app_database: Engine, reader: EventReader) -> StatsEngine:
    return StatsEngine(app_database, reader)


def at(day: str, hour: float) -> int:
    return int(CALENDAR.start_ms(date.fromisoformat(day)) + hour * HOUR_MS)


def visits(client: Client, site_id: int, *seen: tuple[str, float, int, str]) -> None:
    """(day, hour, visitor, path) each."""
    rows = [event(time_ms=at(day, hour), visitor_id=visitor, path=path) for day, hour, visitor, path in seen]
    store_with(client, site_id, rows)


def close_day(address: ClickHouseAddress, app_database: Engine, site_id: int, day: str, least_events: int) -> None:
    """Close a day, and say so."""
    made = date.fromisoformat(day)
    (version,) = close(address, site_id, CALENDAR, [made], least_events).values()
    span = {"starts_at_ms": at(day, 0), "ends_at_ms": at(day, 24), "closed_at_ms": 1}
    with writing(app_database) as session:
        session.add(ClosedDay(site_id=site_id, day=day, version=version, **span))


def ask(engine: StatsEngine, site: Site, user_id: int | None = None, **asked: Any) -> dict[str, Any]:
    document = {"site_id": site.domain, "metrics": ["visitors"], "date_range": "day", **asked}
    facts = engine.site_facts(site, NOW_MS, user_id=user_id, document=document)
    return engine.document(parse_query(document, facts), document, NOW_MS)


def test_an_aggregate_is_compared_with_as_much_of_the_day_before(
    client: Client, engine: StatsEngine, site: Site
) -> None:
    visits(client, site.site_id, ("2026-03-10", 1, 1, "/"), ("2026-03-10", 2, 2, "/"), ("2026-03-10", 3, 3, "/"))
    visits(client, site.site_id, ("2026-03-09", 1, 1, "/"), ("2026-03-09", 12, 2, "/"), ("2026-03-09", 13, 3, "/"))
    answer = ask(engine, site, metrics=["visitors", "bounce_rate"], include={"compare": "previous_period"})
    assert answer["results"] == [
        {
            "dimensions": [],
            "metrics": [3, 100],
            "comparison": {"dimensions": [], "metrics": [2, 100], "change": [50, 0]},
        }
    ]
    assert answer["query"]["date_range"] == ["2026-03-10T00:00:00-04:00", "2026-03-10T23:59:59-04:00"]
    assert answer["query"]["comparison_date_range"] == ["2026-03-09T00:00:00-04:00", "2026-03-09T12:29:59-04:00"]


def test_a_chart_has_a_label_for_each_bucket_and_its_twin(client: Client, engine: StatsEngine, site: Site) -> None:
    visits(client, site.site_id, ("2026-03-10", 1, 1, "/"), ("2026-03-07", 1, 1, "/"), ("2026-03-06", 1, 1, "/"))
    answer = ask(
        engine,
        site,
        date_range=["2026-03-09", "2026-03-10"],
        dimensions=["time:day"],
        include={"time_labels": True, "comparisons": {"mode": "custom", "date_range": ["2026-03-06", "2026-03-07"]}},
    )
    meta = answer["meta"]
    assert meta["time_labels"] == ["2026-03-09", "2026-03-10"]
    assert meta["comparison_time_labels"] == ["2026-03-06", "2026-03-07"]
    assert meta["present_index"] == 1
    assert meta["partial_time_labels"] == ["2026-03-10"]
    rows = {row["dimensions"][0]: (row["metrics"], row["comparison"]) for row in answer["results"]}
    assert rows["2026-03-10"] == ([1], {"dimensions": ["2026-03-07"], "metrics": [1], "change": [0]})
    # Nobody came on the 9th, but there is something to compare with.
    assert rows["2026-03-09"] == ([0], {"dimensions": ["2026-03-06"], "metrics": [1], "change": [-100]})
    assert [answer["results"][index]["dimensions"][0] for index in meta["time_label_result_indices"]] == meta[
        "time_labels"
    ]


def test_rows_are_compared_by_their_dimensions(client: Client, engine: StatsEngine, site: Site) -> None:
    visits(client, site.site_id, ("2026-03-10", 1, 1, "/a"), ("2026-03-10", 2, 2, "/a"), ("2026-03-10", 3, 3, "/b"))
    visits(client, site.site_id, ("2026-03-09", 1, 1, "/a"), ("2026-03-09", 2, 2, "/c"))
    answer = ask(engine, site, dimensions=["event:page"], include={"compare": "previous_period"})
    assert [(row["dimensions"], row["metrics"], row["comparison"]) for row in answer["results"]] == [
        (["/a"], [2], {"dimensions": ["/a"], "metrics": [1], "change": [100]}),
        (["/b"], [1], {"dimensions": ["/b"], "metrics": [0], "change": [100]}),
    ]


@pytest.mark.parametrize("least_events", [None, 0, 1_000])
def test_pages_of_rows_neither_overlap_nor_leave_out(
    client: Client,
    engine: StatsEngine,
    app_database: Engine,
    site: Site,
    event_store: ClickHouseAddress,
    least_events: int | None,
) -> None:
    """Of an open day, of whole numbers, and of closed visits: the first rows of many with as many visitors each."""
    visits(client, site.site_id, *(("2026-03-09", 1, visitor, f"/{visitor % 7}") for visitor in range(14)))
    if least_events is not None:
        close_day(event_store, app_database, site.site_id, "2026-03-09", least_events)
    day = ["2026-03-09", "2026-03-09"]
    for include in ({"total_rows": True}, {}):
        seen = []
        for offset in range(0, 9, 3):
            page = {"limit": 3, "offset": offset}
            answer = ask(engine, site, date_range=day, dimensions=["event:page"], include=include, pagination=page)
            assert answer["meta"].get("total_rows", 7) == 7
            seen += [row["dimensions"][0] for row in answer["results"]]
        assert seen == [f"/{number}" for number in range(7)]
    beyond = {"limit": 3, "offset": 90}
    answer = ask(
        engine, site, date_range=day, dimensions=["event:page"], include={"total_rows": True}, pagination=beyond
    )
    assert (answer["results"], answer["meta"]["total_rows"]) == ([], 7)


def test_orders(client: Client, engine: StatsEngine, site: Site) -> None:
    visits(client, site.site_id, ("2026-03-10", 1, 1, "/a"), ("2026-03-10", 1.1, 1, "/b"), ("2026-03-10", 2, 2, "/b"))
    for order, expected in (
        ([["visitors", "asc"]], ["/a", "/b"]),
        ([["bounce_rate", "desc"], ["event:page", "asc"]], ["/b", "/a"]),
        ([["event:page", "desc"]], ["/b", "/a"]),
    ):
        answer = ask(engine, site, metrics=["visitors", "bounce_rate"], dimensions=["event:page"], order_by=order)
        assert [row["dimensions"][0] for row in answer["results"]] == expected


def test_revenue_says_why_there_is_none(client: Client, engine: StatsEngine, app_database: Engine, site: Site) -> None:
    with writing(app_database) as session:
        for name, currency in (("Buy", "EUR"), ("Tip", "USD"), ("Look", "")):
            session.add(
                Goal(
                    site_id=site.site_id,
                    display_name=name,
                    kind="event",
                    event_name=name,
                    currency=currency,
                    created_at_ms=1,
                )
            )
    bought = {"kind": "custom", "event_name": "Buy", "revenue_currency": "EUR", "visitor_id": 1}
    rows = [
        event(**bought, time_ms=at("2026-03-10", 1), revenue_micros=micros, load_id=micros)
        for micros in (1_500_000_000, 20_500_000)
    ]
    store_with(client, site.site_id, rows)
    metrics = ["total_revenue", "average_revenue", "conversion_rate"]
    answer = ask(engine, site, metrics=metrics, filters=[["is", "event:goal", ["Buy"]]])
    (row,) = answer["results"]
    assert row["metrics"][0] == {"value": 1520.5, "currency": "EUR", "short": "€1.5K", "long": "€1,520.50"}
    assert row["metrics"][1]["value"] == 760.25
    assert row["metrics"][2] == 100.0
    both = ask(engine, site, metrics=["total_revenue"], filters=[["is", "event:goal", ["Buy", "Tip"]]])
    assert both["results"][0]["metrics"] == [None]
    assert both["meta"]["metric_warnings"]["total_revenue"]["code"] == "no_single_revenue_currency"
    none = ask(engine, site, metrics=["total_revenue"], filters=[["is", "event:goal", ["Look"]]])
    assert none["meta"]["metric_warnings"]["total_revenue"]["code"] == "no_revenue_goals_matching"


def test_segments_are_those_of_the_caller(engine: StatsEngine, app_database: Engine, site: Site) -> None:
    with writing(app_database) as session:
        shared = Segment(
            site_id=site.site_id,
            name="EE",
            filters=[["is", "visit:country", ["EE"]]],
            is_personal=False,
            created_at_ms=1,
        )
        mine = Segment(site_id=site.site_id, name="NP", filters=[["is", "visit:country", ["NP"]]], created_at_ms=1)
        session.add_all([shared, mine])
        session.flush()
        shared_id, mine_id = shared.segment_id, mine.segment_id
    assert ask(engine, site, filters=[["is", "segment", [shared_id]]])["results"][0]["metrics"] == [0]
    with pytest.raises(NotConfigured):
        ask(engine, site, user_id=5, filters=[["is", "segment", [mine_id]]])


def test_all_begins_with_the_first_hit(client: Client, engine: StatsEngine, site: Site) -> None:
    visits(client, site.site_id, ("2025-12-24", 5, 1, "/"), ("2026-03-10", 5, 1, "/"))
    answer = ask(engine, site, date_range="all")
    assert answer["query"]["date_range"][0] == "2025-12-24T00:00:00-05:00"
    assert answer["results"][0]["metrics"] == [2]


def test_closed_days_are_read_from_closed_tables_and_say_so(
    client: Client, engine: StatsEngine, app_database: Engine, site: Site, event_store: ClickHouseAddress
) -> None:
    visits(
        client, site.site_id, *(("2026-03-09", 1, visitor, "/a") for visitor in range(5)), ("2026-03-10", 1, 1, "/a")
    )
    document = {"site_id": "shop.test", "metrics": ["visitors"], "date_range": ["2026-03-09", "2026-03-10"]}
    facts = engine.site_facts(site, NOW_MS)
    before = engine.data_version(parse_query(document, facts))
    close_day(event_store, app_database, site.site_id, "2026-03-09", 0)
    after = engine.data_version(parse_query(document, facts))
    assert before.token != after.token
    assert not after.is_settled
    assert engine.data_version(parse_query({**document, "date_range": ["2026-03-09", "2026-03-09"]}, facts)).is_settled
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, ["daily", "events"]),
        ({"dimensions": ["event:page"]}, ["daily", "events"]),
        ({"filters": [["is", "event:page", ["/a"]]]}, ["sessions", "events"]),
        ({"filters": [["is", "event:hostname", ["a.test"]]]}, ["events"]),
        ({"dimensions": ["event:hostname"]}, ["events"]),
        ({"filters": [["is_not", "event:props:plan", ["pro"]]]}, ["events"]),
        ({"dimensions": ["event:props:plan"]}, ["events"]),
        ({"dimensions": ["time:hour"]}, ["hourly", "events"]),
        ({"metrics": ["samples_lcp"]}, ["vitals", "events"]),
    ]
    for asked, sources in cases:
        answer = ask(engine, site, **{**document, **asked, "include": {"explain": True}})
        assert [part["source"] for part in answer["meta"]["explain"]] == sources, asked
        # Facts that closed tables do not hold are read from events of closed days too, and that is said.
        why = answer["meta"]["explain"][0]["why"]
        assert why.startswith("closed tables do not tell: ") == (sources == ["events"]), (asked, why)
        if "metrics" not in asked:
            assert sum(row["metrics"][0] for row in answer["results"]) == 6


def test_days_before_the_first_event_are_not_read(
    client: Client, engine: StatsEngine, app_database: Engine, site: Site, event_store: ClickHouseAddress
) -> None:
    visits(client, site.site_id, ("2026-03-09", 1, 1, "/a"), ("2026-03-09", 1, 2, "/b"))
    close_day(event_store, app_database, site.site_id, "2026-03-09", 0)
    before: dict[str, Any] = {"mode": "custom", "date_range": ["2026-03-05", "2026-03-08"]}
    document: dict[str, Any] = {
        "metrics": ["visitors", "bounce_rate"],
        "date_range": ["2026-03-08", "2026-03-09"],
        "include": {"explain": True, "comparisons": before},
    }
    answer = ask(engine, site, **document)
    assert [(part["source"], part["days"]) for part in answer["meta"]["explain"]] == [("daily", 1)]
    assert answer["results"][0]["metrics"] == [2, 100]
    assert answer["results"][0]["comparison"]["metrics"] == [0, 0]
    cases: list[dict[str, Any]] = [
        {"dimensions": ["event:page"]},
        {"dimensions": ["time:day", "visit:source"], "metrics": ["visitors", "pageviews"]},
        {"filters": [["is", "event:page", ["/c"]]]},
        {"metrics": ["p75_lcp", "samples_lcp"]},
        {"metrics": ["visitors", "percentage", "samples_lcp"], "dimensions": ["visit:browser"]},
    ]
    for asked in cases:
        every = ask(engine, site, **{**document, **asked, "include": {"comparisons": before}})
        own = ask(engine, site, **{**document, **asked, "include": {}, "date_range": ["2026-03-09", "2026-03-09"]})
        kept = [{name: row[name] for name in ("dimensions", "metrics")} for row in every["results"]]
        assert kept == own["results"], asked
    # What comes late is counted at once, as on any day that is not closed.
    visits(client, site.site_id, ("2026-03-06", 1, 3, "/c"))
    assert ask(engine, site, **document)["results"][0]["comparison"]["metrics"][0] == 1


def test_imported_figures_join_in_when_they_are_wanted(
    client: Client, engine: StatsEngine, app_database: Engine, site: Site
) -> None:
    visits(client, site.site_id, ("2026-03-09", 1, 1, "/a"), ("2026-03-10", 1, 1, "/a"))
    with writing(app_database) as session:
        row = Import(
            site_id=site.site_id,
            kind="ga4",
            state="done",
            file_name="x.csv",
            content_hash="x",
            first_day="2026-03-08",
            last_day="2026-03-09",
            created_at_ms=1,
        )
        session.add(row)
        session.flush()
        import_id = row.import_id
    columns = "site_id, dimension, value, day, version, visitors, pageviews"
    client.execute(
        f"INSERT INTO daily ({columns}) VALUES",
        [
            (site.site_id, dimension, value, date(2026, 3, day), version, 10 * day, 20 * day)
            for dimension, value in (("total", ""), ("path", "/a"), ("path", "/old"))
            for day, version in ((8, import_id), (9, import_id), (8, import_id + 1))
        ],
    )
    asked: dict[str, Any] = {"date_range": ["2026-03-08", "2026-03-10"], "metrics": ["visitors"]}
    assert ask(engine, site, **asked)["results"][0]["metrics"] == [2]
    wanted: dict[str, Any] = {**asked, "include": {"imports": True}}
    answer = ask(engine, site, **wanted)
    assert answer["results"][0]["metrics"] == [2 + 170]
    assert answer["meta"]["imports_included"] is True
    pages = ask(engine, site, **wanted, dimensions=["event:page"])
    assert [(row["dimensions"][0], row["metrics"][0]) for row in pages["results"]] == [("/a", 172), ("/old", 170)]
    assert ask(engine, site, date_range="all")["query"]["date_range"][0].startswith("2026-03-08")
    skipped: list[tuple[dict[str, Any], str]] = [
        ({"filters": [["is", "event:page", ["/a"]]]}, "unsupported_query"),
        ({"dimensions": ["time:hour"]}, "unsupported_interval"),
        ({"date_range": ["2025-03-08", "2025-03-10"]}, "no_imported_data"),
    ]
    for changes, reason in skipped:
        meta = ask(engine, site, **{**wanted, **changes})["meta"]
        assert meta["imports_included"] is False
        assert meta["imports_skip_reason"] == reason
        assert meta["imports_warning"]
