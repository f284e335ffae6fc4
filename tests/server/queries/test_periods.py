"""Days, ranges and buckets in the site's own time, and periods that are compared."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.queries.parsing import SiteFacts, compared_range, parse_date_range
from server.queries.periods import Interval, SiteCalendar, TimeRange, TooManyBuckets, auto_interval, buckets
from tests.server.queries.traffic import ZONES

HOUR_MS = 3_600_000


def ms(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        ("Pacific/Chatham", date(2026, 4, 5), 25),
        ("Pacific/Chatham", date(2026, 9, 27), 23),
        ("Asia/Kathmandu", date(2026, 3, 10), 24),
        ("America/Santiago", date(2026, 9, 6), 23),  # midnight is skipped
        ("Pacific/Apia", date(2011, 12, 30), 0),  # the date is skipped
    ],
)
def test_the_length_of_a_day(zone: str, day: date, hours: float) -> None:
    range_ = TimeRange.of_days(SiteCalendar.of(zone), day, day)
    assert (range_.until_ms - range_.from_ms) / HOUR_MS == hours
    if hours:
        assert range_.days == (day,)
        assert range_.is_whole_days
        cut = buckets(range_, Interval.HOUR)
        assert cut.starts_ms[0] == range_.from_ms
        assert sum(end - start for start, end in cut.ends()) == range_.until_ms - range_.from_ms
        assert len(set(cut.labels)) == len(cut.labels)


def test_an_hour_that_is_shown_twice_has_two_names() -> None:
    range_ = TimeRange.of_days(SiteCalendar.of("America/New_York"), date(2026, 11, 1), date(2026, 11, 1))
    labels = buckets(range_, Interval.HOUR).labels
    assert labels[:4] == (
        "2026-11-01 00:00:00",
        "2026-11-01 01:00:00-04:00",
        "2026-11-01 01:00:00-05:00",
        "2026-11-01 02:00:00",
    )


@given(
    zone=st.sampled_from(sorted(ZONES)),
    first=st.dates(date(2025, 1, 1), date(2027, 1, 1)),
    length=st.integers(0, 400),
    interval=st.sampled_from((Interval.DAY, Interval.WEEK, Interval.MONTH)),
)
def test_buckets_cover_a_range_without_overlap(zone: str, first: date, length: int, interval: Interval) -> None:
    calendar = SiteCalendar.of(zone)
    range_ = TimeRange.of_days(calendar, first, date.fromordinal(first.toordinal() + length))
    cut = buckets(range_, interval)
    assert cut.starts_ms[0] == range_.from_ms
    assert list(cut.starts_ms) == sorted(set(cut.starts_ms))
    assert all(calendar.start_ms(calendar.day_at(start)) == start for start in cut.starts_ms)
    assert len(set(cut.labels)) == len(cut.labels)


def test_minutes_of_a_month_are_too_many() -> None:
    range_ = TimeRange.of_days(SiteCalendar.of("UTC"), date(2026, 1, 1), date(2026, 1, 31))
    with pytest.raises(TooManyBuckets):
        buckets(range_, Interval.MINUTE)


def test_a_change_of_zone_leaves_counted_days_alone() -> None:
    calendar = SiteCalendar(((date.min, "Europe/Tallinn"), (date(2026, 6, 10), "America/New_York")))
    assert calendar.start_ms(date(2026, 6, 9)) == ms("2026-06-09", "Europe/Tallinn")
    assert calendar.start_ms(date(2026, 6, 10)) == ms("2026-06-10", "America/New_York")
    assert calendar.day_at(ms("2026-06-10T02:00", "Europe/Tallinn")) == date(2026, 6, 9)


@pytest.mark.parametrize(
    ("given_range", "first", "last"),
    [
        ("day", "2026-03-10", "2026-03-10"),
        ("7d", "2026-03-04", "2026-03-10"),
        ("30d", "2026-02-09", "2026-03-10"),
        ("month", "2026-03-01", "2026-03-31"),
        ("6mo", "2025-10-01", "2026-03-31"),
        ("year", "2026-01-01", "2026-12-31"),
        ("all", "2026-01-02", "2026-03-10"),
        (["2026-01-05", "2026-01-06"], "2026-01-05", "2026-01-06"),
    ],
)
def test_named_ranges_are_of_the_sites_day(given_range: object, first: str, last: str) -> None:
    # A quarter to six in the afternoon in UTC is already the 10th for half of Kathmandu's evening.
    now_ms = int(datetime(2026, 3, 9, 18, 15, tzinfo=UTC).timestamp() * 1000)
    facts = SiteFacts(1, SiteCalendar.of("Asia/Kathmandu"), now_ms, date(2026, 1, 2))
    range_ = parse_date_range(given_range, facts)
    assert (str(range_.first_day), str(range_.last_day)) == (first, last)
    assert range_.is_whole_days
    assert range_.texts()[0].startswith(f"{first}T00:00:00+05:45")


@pytest.mark.parametrize(
    ("days", "interval"),
    [(1, "hour"), (2, "hour"), (3, "day"), (40, "day"), (41, "week"), (364, "week"), (400, "month")],
)
def test_time_means_what_suits_the_range(days: int, interval: str) -> None:
    last = date.fromordinal(date(2025, 1, 1).toordinal() + days - 1)
    assert auto_interval(TimeRange.of_days(SiteCalendar.of("Pacific/Chatham"), date(2025, 1, 1), last)) == interval


def compare(zone: str, first: str, last: str, now: str, mode: str, *, match_weekday: bool = False) -> tuple[str, str]:
    calendar = SiteCalendar.of(zone)
    range_ = TimeRange.of_days(calendar, date.fromisoformat(first), date.fromisoformat(last))
    found = compared_range(range_, mode, ms(now, zone), match_weekday=match_weekday)
    return tuple(text[:19] for text in found.texts())  # type: ignore[return-value]


def test_an_unfinished_day_is_compared_with_as_much_of_another() -> None:
    assert compare("America/New_York", "2026-03-09", "2026-03-09", "2026-03-09T12:30:00", "previous_period") == (
        "2026-03-08T00:00:00",
        "2026-03-08T12:29:59",
    )
    assert compare("UTC", "2026-03-01", "2026-03-31", "2026-03-10T06:00:00", "previous_period") == (
        "2026-02-19T00:00:00",
        "2026-02-28T05:59:59",
    )


def test_a_period_that_is_over_is_compared_whole() -> None:
    assert compare("Asia/Kathmandu", "2026-02-08", "2026-02-14", "2026-03-10T06:00:00", "previous_period") == (
        "2026-02-01T00:00:00",
        "2026-02-07T23:59:59",
    )
    assert compare("UTC", "2024-02-29", "2024-02-29", "2026-03-10T06:00:00", "year_over_year") == (
        "2023-02-28T00:00:00",
        "2023-02-28T23:59:59",
    )


def test_a_weekday_may_be_matched() -> None:
    first, _ = compare("UTC", "2026-03-02", "2026-03-02", "2026-03-10T00:00:00", "year_over_year", match_weekday=True)
    assert first == "2025-03-03T00:00:00"  # Mondays both
    first, last = compare(
        "UTC", "2026-02-01", "2026-02-10", "2026-03-10T00:00:00", "previous_period", match_weekday=True
    )
    assert datetime.fromisoformat(first).weekday() == date(2026, 2, 1).weekday()
    assert last < "2026-02-01"
