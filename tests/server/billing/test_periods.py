"""Billing periods against their naive twin: a partition of time, whatever changes when."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.billing.periods import (
    SHORTEST_MS,
    Anchor,
    Period,
    Terms,
    Window,
    follow,
    natural_end,
    natural_start,
)
from server.clock import DAY_MS, HOUR_MS, MINUTE_MS
from tests.reference.billing_periods import billed_boundaries, calendar_end, month_begins_after

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Pacific/Kiritimati",
    "Pacific/Apia",
    "Asia/Kathmandu",
    "Pacific/Chatham",
)


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def texts(periods: list[Period]) -> list[str]:
    return [f"{datetime.fromtimestamp(each.starts_at_ms / 1000, UTC):%Y-%m-%d %H:%M}" for each in periods]


times = st.integers(ms("2025-01-01"), ms("2029-06-01"))
zones = st.sampled_from(ZONES)


@given(zone=zones, at_ms=times)
def test_months_begin_at_midnight_there(zone: str, at_ms: int) -> None:
    terms = Terms(zone)
    assert natural_end(terms, at_ms) == calendar_end(zone, at_ms)
    start_ms = natural_start(terms, at_ms)
    assert start_ms <= at_ms < month_begins_after(zone, start_ms)
    assert month_begins_after(zone, start_ms - 1) == start_ms or month_begins_after(zone, start_ms - DAY_MS) == start_ms


@given(start_ms=times, days=st.sampled_from([14, 28, 29, 30, 31]), at_days=st.integers(0, 200))
def test_months_that_are_billed_go_on(start_ms: int, days: int, at_days: int) -> None:
    start_ms -= start_ms % 1000
    billed = (start_ms, start_ms + days * DAY_MS)
    at_ms = start_ms + at_days * DAY_MS
    boundaries = billed_boundaries(billed, at_ms)
    terms = Terms("UTC", Window(*billed))
    assert natural_start(terms, at_ms) == max(each for each in boundaries if each <= at_ms)
    assert natural_end(terms, at_ms) == min(each for each in boundaries if each > at_ms)


@given(start_ms=times, at_days=st.integers(0, 500))
def test_a_year_is_cut_into_twelve_months(start_ms: int, at_days: int) -> None:
    start_ms -= start_ms % 1000
    starts = datetime.fromtimestamp(start_ms / 1000, UTC)
    day = 28 if (starts.month, starts.day) == (2, 29) else starts.day
    billed = (start_ms, int(starts.replace(year=starts.year + 1, day=day).timestamp() * 1000))
    boundaries = billed_boundaries(billed, billed[1] + 200 * DAY_MS)
    assert boundaries.index(billed[1]) == 12
    at_ms = start_ms + at_days * DAY_MS
    assert natural_end(Terms("UTC", Window(*billed)), at_ms) == min(each for each in boundaries if each > at_ms)


def test_a_month_that_began_on_the_31st_ends_on_the_last_of_shorter_ones() -> None:
    february = Window(ms("2026-01-31 10:00"), ms("2026-02-28 10:00"))
    assert natural_end(Terms("UTC", february), ms("2026-02-28 10:00")) == ms("2026-03-31 10:00")
    year = Window(ms("2026-01-31 10:00"), ms("2027-01-31 10:00"))
    periods = follow(None, Terms("UTC", year), ms("2026-01-31 10:00"))
    periods = follow(periods[-1], Terms("UTC", year), ms("2026-05-02"))
    assert texts(periods) == ["2026-01-31 10:00", "2026-02-28 10:00", "2026-03-31 10:00", "2026-04-30 10:00"]


def test_months_have_the_hour_that_daylight_saving_gives_them() -> None:
    first = follow(None, Terms("Europe/Berlin"), ms("2026-03-15"))[0]
    assert (first.starts_at_ms, first.ends_at_ms) == (ms("2026-02-28 23:00"), ms("2026-03-31 22:00"))


def test_subscribing_cuts_the_month_and_ending_begins_another() -> None:
    month = follow(None, Terms("UTC"), ms("2026-03-10"))[0]
    billed = Terms("UTC", Window(ms("2026-03-12 08:30"), ms("2026-04-12 08:30")))
    cut, paid = follow(month, billed, ms("2026-03-12 08:31"))
    assert (cut.ends_at_ms, cut.anchor) == (ms("2026-03-12 08:30"), Anchor.CALENDAR)
    assert (paid.starts_at_ms, paid.ends_at_ms) == (ms("2026-03-12 08:30"), ms("2026-04-12 08:30"))
    ended, free = follow(paid, Terms("UTC"), ms("2026-03-20"))
    assert (ended.ends_at_ms, free.ends_at_ms, free.anchor) == (ms("2026-03-20"), ms("2026-04-01"), Anchor.CALENDAR)


def test_another_zone_holds_from_the_next_month_and_makes_none_of_an_hour() -> None:
    month = follow(None, Terms("Europe/Berlin"), ms("2026-03-10"))[0]
    moved = follow(month, Terms("America/New_York"), ms("2026-03-31 23:00"))
    assert texts(moved) == ["2026-02-28 23:00", "2026-03-31 22:00"]
    assert moved[-1].ends_at_ms == ms("2026-05-01 04:00")


changes = st.lists(
    st.tuples(st.integers(1, 40 * 24 * 60), zones, st.sampled_from(["free", "month", "year", "same"])),
    max_size=12,
)


@given(at_ms=times, changes=changes)
def test_whatever_changes_periods_are_a_partition(at_ms: int, changes: list[tuple[int, str, str]]) -> None:
    now_ms, terms = at_ms, Terms("UTC")
    chain = follow(None, terms, now_ms)
    for minutes, zone, billed in changes:
        now_ms += minutes * MINUTE_MS
        subscribed = {"free": None, "same": terms.subscribed}.get(billed, Window(now_ms - now_ms % 1000, 0))
        if subscribed is not None and subscribed.ends_at_ms == 0:
            length_ms = (365 if billed == "year" else 31) * DAY_MS
            subscribed = Window(subscribed.starts_at_ms, subscribed.starts_at_ms + length_ms)
        terms = Terms(zone, subscribed)
        chain = [*chain[:-1], *follow(chain[-1], terms, now_ms)]
        # To follow once more changes nothing: the job may be killed and come again.
        assert follow(chain[-1], terms, now_ms) == [chain[-1]]
    assert chain[-1].starts_at_ms <= now_ms < chain[-1].ends_at_ms
    for before, after in pairwise(chain):
        assert before.starts_at_ms < before.ends_at_ms == after.starts_at_ms
    for each in chain:
        assert each.ends_at_ms - each.starts_at_ms <= 31 * DAY_MS + SHORTEST_MS + HOUR_MS * 26


@pytest.mark.parametrize("anchor", list(Anchor))
def test_a_period_that_is_over_is_not_touched(anchor: Anchor) -> None:
    over = Period(ms("2026-03-01"), ms("2026-04-01"), anchor)
    billed = Window(ms("2026-04-05"), ms("2026-05-05"))
    first, between, paid = follow(over, Terms("UTC", billed), ms("2026-04-06"))
    assert first == over
    assert (between.ends_at_ms, paid.starts_at_ms) == (ms("2026-04-05"), ms("2026-04-05"))
