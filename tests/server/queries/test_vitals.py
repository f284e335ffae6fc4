"""Percentiles, samples and ratings of what browsers measured, on open and closed days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import pytest
from clickhouse_driver import Client
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from server.clickhouse_url import ClickHouseAddress
from server.queries.answers import Answerer
from server.queries.closed_figures import ClosedFigures
from server.queries.event_reader import EventReader
from server.queries.parsing import SiteFacts, parse_query
from server.queries.periods import SiteCalendar
from server.queries.vital_buckets import bucket_of, upper_end
from tests.server.queries.conftest import new_site_id
from tests.server.queries.test_answers import close
from tests.server.queries.traffic import Event, event, store_with

CALENDAR = SiteCalendar.of("Asia/Kathmandu")
DAYS = [date(2026, 3, 9), date(2026, 3, 10)]
METRICS = ["p1_lcp_ms", "p50_lcp", "p75_lcp_ms", "p99_lcp_ms", "samples_lcp", "rating_lcp", "p75_cls", "samples_cls"]
RANK = 0.02
"""A percentile may be this far from its rank; and values within 1 % of each other are the same."""


@st.composite
def loads(draw: st.DrawFn) -> list[Event]:
    """Page loads that report once or several times, out of order now and then."""
    start_ms = CALENDAR.start_ms(DAYS[0])
    found = []
    for load in range(1, draw(st.integers(1, 40)) + 1):
        at_ms = start_ms + draw(st.integers(0, 2 * 86_400_000 - 1))
        page, browser = draw(st.sampled_from(("/", "/a"))), draw(st.sampled_from(("Firefox", "Chrome")))
        last_ms = CALENDAR.start_ms(date(2026, 3, 11)) - 1
        for sequence in draw(st.permutations(range(draw(st.integers(1, 3))))):
            metrics: dict[str, float] = {}
            if draw(st.booleans()):
                metrics["lcp_ms"] = draw(st.one_of(st.just(0.0), st.floats(0.5, 60_000, width=32)))
            if draw(st.booleans()):
                metrics["cls"] = draw(st.one_of(st.just(0.0), st.floats(0.0009765625, 2, width=32)))
            if metrics:
                found.append(
                    event(
                        kind="vitals",
                        visitor_id=load,
                        load_id=load,
                        time_ms=min(at_ms + sequence, last_ms if at_ms >= CALENDAR.start_ms(DAYS[1]) else at_ms),
                        path=page,
                        browser=browser,
                        sequence=sequence,
                        metrics=metrics,
                        sample_weight=2,
                    )
                )
    return found


def last_values(events: Sequence[Event], key: str, **wanted: str) -> list[float]:
    """The last value of each load, once for each hit that it stands for."""
    found: dict[Any, Event] = {}
    for each in sorted(events, key=lambda each: (each["sequence"], each["time_ms"])):
        if key in each["metrics"] and all(each[name] == value for name, value in wanted.items()):
            found[each["load_id"]] = each
    return sorted(each["metrics"][key] for each in found.values() for _ in range(each["sample_weight"]))


def check_percentile(shown: float | None, percent: int, values: Sequence[float]) -> None:
    if not values:
        assert shown is None
        return
    assert shown is not None
    low, high = shown / 1.011 - 0.06, shown * 1.001 + 0.06
    if values[-1] < 3:  # of CLS, shown with four digits
        low, high = shown / 1.011 - 0.0002, shown * 1.001 + 0.0002
    below = sum(value < low for value in values) / len(values)
    up_to = sum(value <= high for value in values) / len(values)
    assert below - RANK <= percent / 100 <= up_to + RANK, (shown, percent, values)


def check_row(row: Mapping[str, Any], events: Sequence[Event], **wanted: str) -> None:
    lcp, cls = last_values(events, "lcp_ms", **wanted), last_values(events, "cls", **wanted)
    for name, percent in (("p1_lcp_ms", 1), ("p50_lcp", 50), ("p75_lcp_ms", 75), ("p99_lcp_ms", 99)):
        check_percentile(row[name], percent, lcp)
    check_percentile(row["p75_cls"], 75, cls)
    assert row["samples_lcp"] == len(lcp)
    assert row["samples_cls"] == len(cls)
    if lcp:
        good = sum(value <= upper_end(bucket_of(2500)) for value in lcp)
        assert row["rating_lcp"]["good"] == pytest.approx(100 * good / len(lcp), abs=0.051)
        assert sum(row["rating_lcp"].values()) == pytest.approx(100, abs=0.2)
    else:
        assert row["rating_lcp"] is None


def test_percentiles_are_within_two_percent_of_their_rank(
    client: Client, reader: EventReader, event_store: ClickHouseAddress
) -> None:
    @settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
    @given(events=loads(), closed_days=st.sampled_from((0, 1, 2)))
    def check(events: list[Event], closed_days: int) -> None:
        site_id = new_site_id()
        store_with(client, site_id, events)
        closed = close(event_store, site_id, CALENDAR, DAYS[:closed_days], 0) if closed_days else {}
        facts = SiteFacts(site_id, CALENDAR, 1_800_000_000_000)
        base = {"site_id": "x", "date_range": [str(day) for day in DAYS], "metrics": METRICS}
        for dimensions, filters in (
            ([], []),
            (["event:page"], []),
            (["visit:browser"], [["is", "event:page", ["/a"]]]),
            (["time:day"], [["is_not", "visit:browser", ["Chrome"]]]),
        ):
            query = parse_query({**base, "dimensions": dimensions, "filters": filters}, facts)
            answer = Answerer(reader, None, ClosedFigures(closed)).answer(query)
            rows = {row.dimensions: dict(zip(METRICS, row.metrics, strict=True)) for row in answer.rows}
            match dimensions:
                case []:
                    check_row(rows[()], events)
                case ["event:page"]:
                    assert {key for (key,) in rows} == {each["path"] for each in events}
                    for (path,), row in rows.items():
                        check_row(row, events, path=path)
                case ["visit:browser"]:
                    for (browser,), row in rows.items():
                        check_row(row, events, path="/a", browser=browser)
                case _:
                    for (day,), row in rows.items():
                        here = [each for each in events if str(CALENDAR.day_at(each["time_ms"])) == day]
                        check_row(row, here, browser="Firefox")

    check()


def test_buckets_hold_values_within_one_percent() -> None:
    for value in (0.00011, 0.05, 0.1, 1.0, 99.9, 2_500.0, 60_000.0, 5e8):
        assert value <= upper_end(bucket_of(value)) * (1 + 1e-9)
        assert upper_end(bucket_of(value)) <= value * 1.0101
    assert upper_end(bucket_of(0.0)) == 0.0
    assert bucket_of(2_500) < bucket_of(2_526)
