"""Realtime, drops, funnels, and values for filters, each on a handful of events that one can count by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from clickhouse_driver import Client

from server.queries.answers import Answerer
from server.queries.drops import REASON_LABELS, drops
from server.queries.errors import Conflict, NotConfigured, QueryError, UnknownValue
from server.queries.event_reader import EventReader
from server.queries.filter_values import filter_values
from server.queries.funnels import funnel
from server.queries.parsing import SiteFacts, parse_date_range, parse_filters
from server.queries.periods import SiteCalendar
from server.queries.realtime import realtime
from tests.server.queries.traffic import GOALS, event, store_with

CALENDAR = SiteCalendar.of("Asia/Kathmandu")
NOW_MS = int(datetime(2026, 3, 10, 6, 15, 30, tzinfo=UTC).timestamp() * 1000)
"""A quarter past noon in Kathmandu."""
MINUTE_MS = 60_000


def facts_of(site_id: int) -> SiteFacts:
    return SiteFacts(site_id, CALENDAR, NOW_MS, first_day=date(2026, 3, 9), goals=GOALS)


def test_who_is_here_now(client: Client, reader: EventReader, site_id: int) -> None:
    store_with(
        client,
        site_id,
        [
            event(visitor_id=1, time_ms=NOW_MS - 50 * MINUTE_MS, referrer_source="Google", country="EE"),
            event(visitor_id=1, time_ms=NOW_MS - 20 * MINUTE_MS, path="/a", country="EE"),
            event(visitor_id=1, time_ms=NOW_MS - 4 * MINUTE_MS, kind="engagement", path="/a", country="EE"),
            event(visitor_id=2, time_ms=NOW_MS - 10_000, path="/a", country="NP", sample_weight=3),
            event(visitor_id=3, time_ms=NOW_MS - 6 * MINUTE_MS, kind="custom", event_name="x", path="/b"),
            event(visitor_id=4, time_ms=NOW_MS - 31 * MINUTE_MS),
            event(visitor_id=5, time_ms=NOW_MS - 1_000, kind="vitals", metrics={"cls": 0.1}),
        ],
    )
    now = realtime(reader, facts_of(site_id))
    assert now["visitors"] == 1 + 3
    assert now["visitors_30m"] == 1 + 3 + 1
    assert now["pages"] == [{"name": "/a", "visitors": 4}]
    assert now["sources"] == [{"name": "Direct / None", "visitors": 4}, {"name": "Google", "visitors": 1}]
    assert now["countries"] == [{"name": "NP", "visitors": 3}, {"name": "EE", "visitors": 1}]
    assert len(now["minutes"]) == 30
    assert now["minutes"][-1] == {"minute": "2026-03-10T12:00+05:45", "visitors": 3, "pageviews": 3}
    assert now["minutes"][-21] == {"minute": "2026-03-10T11:40+05:45", "visitors": 1, "pageviews": 1}
    assert sum(minute["pageviews"] for minute in now["minutes"]) == 4


def test_drops_are_counted_by_reason_and_day(client: Client, reader: EventReader, site_id: int) -> None:
    first, last = CALENDAR.start_ms(date(2026, 3, 9)), CALENDAR.start_ms(date(2026, 3, 10))
    rows = [
        (first + 900_000, "accepted", 1),
        (first + 3_600_000, "accepted", 5),
        (first + 3_600_000 * 3, "bot", 2),
        (last + 3_600_000 * 3, "bot", 4),
        (last + 3_600_000 * 4, "hostname", 1),
        (last + 3_600_000 * 4, "destroyed", 9),
    ]
    client.execute(
        "INSERT INTO ledger (site_id, hour, outcome, bot_reasons, count, batch_time, batch_id) VALUES",
        [
            (
                site_id,
                datetime.fromtimestamp(at // 3_600_000 * 3600, UTC),
                outcome,
                0,
                count,
                datetime(2026, 3, 10, tzinfo=UTC),
                "b",
            )
            for at, outcome, count in rows
        ],
    )
    facts = facts_of(site_id)
    found = drops(reader, facts, parse_date_range(["2026-03-09", "2026-03-10"], facts))
    # The ledger knows hours of UTC: the one that this day begins in is the day's before.
    assert (found["accepted"], found["dropped"], found["answered"]) == (5, 7, 12)
    assert found["reasons"] == [
        {"reason": "bot", "label": "Bots and scripts", "hits": 6, "by_day": [2, 4]},
        {"reason": "hostname", "label": "Hostname not allowed", "hits": 1, "by_day": [0, 1]},
    ]
    assert [day["dropped"] for day in found["days"]] == [2, 5]


def test_each_outcome_of_the_core_has_a_label() -> None:
    source = Path("rust_ext/ingest/src/drop_reason.rs").read_text(encoding="utf-8")
    labels = {line.split('"')[1] for line in source.splitlines() if '=> "' in line}
    assert labels - {"accepted"} == REASON_LABELS.keys()


def funnel_of(reader: EventReader, site_id: int, goal_ids: list[int], filters: list[Any] | None = None) -> list[int]:
    facts = facts_of(site_id)
    found = funnel(reader, facts, parse_date_range("day", facts), parse_filters(filters or [], facts), goal_ids)
    return [found["all_visitors"], *(step["visitors"] for step in found["steps"])]


def test_a_funnel_counts_steps_in_their_order(client: Client, reader: EventReader, site_id: int) -> None:
    start_ms = CALENDAR.start_ms(date(2026, 3, 10))

    def at(minute: int, visitor: int, name: str = "", path: str = "/blog/x", **more: Any) -> dict[str, Any]:
        kind = "custom" if name else "pageview"
        return event(
            visitor_id=visitor,
            time_ms=start_ms + minute * MINUTE_MS,
            kind=kind,
            event_name=name,
            path=path,
            load_id=minute,
            **more,
        )

    store_with(
        client,
        site_id,
        [
            at(0, 1), at(1, 1, "Signup"), at(90, 1, "Order"),
            at(0, 2, "Signup"), at(1, 2), at(2, 2, "Order"),
            at(0, 3), at(1, 3, "Signup", country="EE"),
            at(0, 4, path="/"),
        ],
    )  # fmt: skip
    assert funnel_of(reader, site_id, [3, 1, 2]) == [4, 3, 2, 1]
    assert funnel_of(reader, site_id, [1, 3]) == [4, 3, 1]
    assert funnel_of(reader, site_id, [3, 1], [["is", "visit:entry_page", ["/"]]]) == [1, 0, 0]
    assert funnel_of(reader, site_id, [3, 1], [["has_done", ["is", "event:goal", ["Any order"]]]]) == [2, 1, 0]


def test_a_funnel_says_what_it_cannot(reader: EventReader, site_id: int) -> None:
    with pytest.raises(QueryError, match="2 to 8 steps"):
        funnel_of(reader, site_id, [1])
    with pytest.raises(NotConfigured, match="no goal 77"):
        funnel_of(reader, site_id, [1, 77])
    with pytest.raises(Conflict, match="has_done"):
        funnel_of(reader, site_id, [1, 2], [["is", "event:page", ["/"]]])


def test_values_for_filters(client: Client, reader: EventReader, site_id: int) -> None:
    start_ms = CALENDAR.start_ms(date(2026, 3, 10))
    store_with(
        client,
        site_id,
        [
            event(visitor_id=1, time_ms=start_ms, referrer_source="Google", props={"plan": "pro"}),
            event(visitor_id=2, time_ms=start_ms, referrer_source="DuckDuckGo"),
            event(visitor_id=3, time_ms=start_ms, referrer_source="Google"),
        ],
    )
    facts = facts_of(site_id)
    range_ = parse_date_range("day", facts)

    def values(dimension: str, text: str = "") -> list[Any]:
        found = filter_values(reader, Answerer(reader), facts, range_, dimension, text)
        return [(each["value"], each["visitors"]) for each in found]

    assert values("visit:source") == [("Google", 2), ("DuckDuckGo", 1)]
    assert values("visit:source", "duck") == [("DuckDuckGo", 1)]
    assert values("event:goal", "ORDER") == [("Any order", None), ("Dollar order", None)]
    assert values("event:props") == [("plan", None)]
    assert values("event:props:plan") == [("(none)", 2), ("pro", 1)]
    with pytest.raises(UnknownValue, match="Did you mean visit:source"):
        values("visit:sources")
