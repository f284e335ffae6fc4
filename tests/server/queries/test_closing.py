"""Which rows of `events` a closing reads."""

from __future__ import annotations

import pytest

from server.queries.closing import MOST_RUNS, of_sites, where_events

HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("site_ids", "condition"),
    [
        ([7], "site_id = 7"),
        ([3, 1, 2, 2], "site_id BETWEEN 1 AND 3"),
        ([1, 2, 4, 6, 7, 8], "(site_id BETWEEN 1 AND 2 OR site_id = 4 OR site_id BETWEEN 6 AND 8)"),
        ([0, 2**32 - 1], "(site_id = 0 OR site_id = 4294967295)"),
    ],
)
def test_sites_are_told_by_runs_of_their_numbers(site_ids: list[int], condition: str) -> None:
    assert of_sites(site_ids) == condition


def test_sites_of_many_runs_are_listed() -> None:
    scattered = range(1, 2 * MOST_RUNS + 2, 2)
    assert of_sites(scattered) == f"site_id IN ({', '.join(map(str, scattered))})"
    assert " OR " in of_sites(list(scattered)[:MOST_RUNS])


def test_times_are_compared_only_where_a_day_does_not_begin_on_the_hour() -> None:
    whole = where_events([1], 0, 24 * HOUR_MS)
    assert "time" not in whole.replace("toDateTime", "")
    assert "hour >= toDateTime(0, 'UTC') AND hour < toDateTime(86400, 'UTC')" in whole
    half = where_events([1], HOUR_MS // 2, 24 * HOUR_MS + HOUR_MS // 2)
    assert "hour >= toDateTime(0, 'UTC') AND hour < toDateTime(90000, 'UTC')" in half
    assert half.endswith("AND time >= fromUnixTimestamp64Milli(1800000) AND time < fromUnixTimestamp64Milli(88200000)")
