"""The naive twin of `server.billing.periods`: boundaries found by walking through days and quarters of an hour.

An account's life is told as what was known when: (since when, zone, what is billed or None), ascending. The twin knows
all of it at once, where the real one sees one change after the other.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

QUARTER_MS = 15 * 60_000
TWO_DAYS_MS = 2 * 24 * 3_600_000

Billed = tuple[int, int]


def month_begins_after(zone: str, at_ms: int) -> int:
    """The first moment after this one at which a month of the zone begins, to the quarter of an hour."""
    local = ZoneInfo(zone)
    at_ms -= at_ms % QUARTER_MS
    month = datetime.fromtimestamp(at_ms / 1000, local).month
    # Days first, so that it takes no thousand steps.
    while datetime.fromtimestamp((at_ms + 86_400_000) / 1000, local).month == month:
        at_ms += 86_400_000
    while datetime.fromtimestamp(at_ms / 1000, local).month == month:
        at_ms += QUARTER_MS
    return at_ms


def calendar_end(zone: str, start_ms: int) -> int:
    """The first beginning of a month that is at least two days away."""
    end_ms = start_ms
    while end_ms < start_ms + TWO_DAYS_MS:
        end_ms = month_begins_after(zone, end_ms)
    return end_ms


def billed_boundaries(billed: Billed, until_ms: int) -> list[int]:
    """Where months of what is billed begin, walking through its days, and on until some time."""
    starts, ends = (datetime.fromtimestamp(each / 1000, UTC) for each in billed)
    found = [billed[0]]
    at, day = starts + timedelta(days=1), _day_of_months(starts, ends)
    while at < ends:
        # What is left of what is billed is no month of its own.
        if _is_on(day, at) and (ends - at).days >= 20 and (at - starts).days >= 20:
            found.append(_ms(at))
        at += timedelta(days=1)
    found.append(billed[1])
    at, day = ends + timedelta(days=1), _day_of_months(ends, starts)
    while found[-1] <= until_ms:
        if _is_on(day, at) and (at.year, at.month) != (ends.year, ends.month):
            found.append(_ms(at))
        at += timedelta(days=1)
    return found


def _day_of_months(base: datetime, other: datetime) -> int:
    return other.day if _is_last(base) and other.day > base.day else base.day


def _is_on(day: int, at: datetime) -> bool:
    return at.day == day or (at.day < day and _is_last(at))


def _is_last(at: datetime) -> bool:
    return (at + timedelta(days=1)).month != at.month


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
