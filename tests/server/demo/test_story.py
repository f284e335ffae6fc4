"""The demo's story: the same day is always the same, and what is to be seen is in it."""

from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from server.demo.story import MOMENTS, SLOW_BEGAN, SPIKE_BEGAN, Story

LAST_DAY = date(2026, 11, 25)
DAYS = st.integers(0, 400).map(lambda number: LAST_DAY - timedelta(days=number))


@given(DAYS, DAYS)
def test_a_day_is_the_same_whatever_is_told_around_it(first: date, last: date) -> None:
    story = Story(LAST_DAY)
    told = list(story.days(min(first, last), max(first, last)))
    assert [day.day for day in told] == [min(first, last) + timedelta(days=number) for number in range(len(told))]
    assert story.day(first) in told


@given(st.dates(date(2024, 1, 1), date(2030, 1, 1)), DAYS)
def test_shares_are_shares_and_every_day_has_visits(last_day: date, day: date) -> None:
    told = Story(last_day, 0.01).day(day)
    assert told.visits >= 1
    for share in (told.spike_share, told.sale_share, told.paid_social_share, told.newsletter_share):
        assert 0 <= share < 1


def test_what_is_to_be_seen_is_there() -> None:
    story = Story(LAST_DAY)
    spike, slow = story.date_of(SPIKE_BEGAN), story.date_of(SLOW_BEGAN)
    assert story.day(spike).visits > 4 * story.day(spike - timedelta(days=1)).visits
    assert story.day(slow).slow_pictures > 1.5 > story.day(slow - timedelta(days=1)).slow_pictures
    week = [story.day(date(2026, 5, 4) + timedelta(days=number)).visits for number in range(7)]
    assert min(week[:5]) > max(week[5:])
    assert all(story.first_day < story.date_of(moment) < LAST_DAY for moment in MOMENTS)
    assert story.day(date(2026, 11, 20)).visits > 1.4 * story.day(date(2026, 8, 20)).visits


def test_days_after_the_end_are_told_too() -> None:
    day = Story(LAST_DAY).day(LAST_DAY + timedelta(days=40))
    assert day.spike_share == 0
    assert day.slow_pictures == day.slow_clicks == 1
