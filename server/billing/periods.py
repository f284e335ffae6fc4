"""Billing periods: in which stretch of time an account's events are added up. Pure; times are in ms since 1970 UTC.

| who | a period |
|---|---|
| has no subscription | a calendar month in the account's time zone |
| pays by month | what Stripe bills at once |
| pays by year | a month of that year: from the day of the month on which it began, or the last day of a shorter month |

An account's periods follow each other without a gap and without overlap (`follow`): the open one is cut short where a
subscription begins, is billed anew or ends. A change of the time zone holds from the next period on. What is left of a
calendar month is no period of its own when it is shorter than `SHORTEST_MS`: it goes with the month after it.

The twin of this module is `tests/reference/billing_periods.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from enum import StrEnum

from server.clock import DAY_MS, utc_date
from server.site_zones import BEGINNING, start_of

SHORTEST_MS = 2 * DAY_MS
"""More than two time zones differ, so that moving from one to another makes no month of an hour."""

MEAN_MONTH_DAYS = 365.25 / 12


class Anchor(StrEnum):
    """What periods begin with."""

    CALENDAR = "calendar"
    SUBSCRIPTION = "subscription"


@dataclass(frozen=True)
class Window:
    """From, and until without it."""

    starts_at_ms: int
    ends_at_ms: int


@dataclass(frozen=True)
class Period:
    """One period of an account, and what it began with."""

    starts_at_ms: int
    ends_at_ms: int
    anchor: Anchor


@dataclass(frozen=True)
class Terms:
    """What an account's periods depend on. `subscribed`: what Stripe bills now, None for who pays nothing."""

    timezone: str
    subscribed: Window | None = None

    @property
    def anchor(self) -> Anchor:
        """What its periods begin with."""
        return Anchor.CALENDAR if self.subscribed is None else Anchor.SUBSCRIPTION


def follow(last: Period | None, terms: Terms, now_ms: int) -> list[Period]:
    """The periods from `last` on until the one with this moment in it: `last` itself comes first, as it is then.

    Without one the first is that which is natural now. A last period that ends after `now_ms` may be cut, or end at
    another time than was thought; one that is over is never touched, unless what is billed began within it.
    """
    if last is None:
        if terms.subscribed is not None and terms.subscribed.starts_at_ms > now_ms:
            terms = replace(terms, subscribed=None)  # clocks differ
        start_ms = natural_start(terms, now_ms)
        return _continued([Period(start_ms, natural_end(terms, start_ms), terms.anchor)], terms, now_ms)
    begins_ms = _anew_at(last, terms, now_ms)
    if begins_ms is not None:
        cut = replace(last, ends_at_ms=begins_ms)
        return _continued([cut, Period(begins_ms, natural_end(terms, begins_ms), terms.anchor)], terms, now_ms)
    if last.anchor is Anchor.SUBSCRIPTION and last.ends_at_ms > now_ms:
        # Stripe moved the end, as a longer trial does.
        end_ms = natural_end(terms, last.starts_at_ms)
        last = replace(last, ends_at_ms=end_ms) if end_ms > now_ms else last
    return _continued([last], terms, now_ms)


def natural_start(terms: Terms, at_ms: int) -> int:
    """When the period with this moment in it began, for who had these terms all the time."""
    if terms.subscribed is None:
        day = utc_date(at_ms)
        year, month = _month_after(day.year, day.month)
        while _month_start(terms.timezone, year, month) > at_ms:
            year, month = _month_before(year, month)
        return _month_start(terms.timezone, year, month)
    start_ms = terms.subscribed.starts_at_ms
    while (end_ms := natural_end(terms, start_ms)) <= at_ms:
        start_ms = end_ms
    return start_ms


def natural_end(terms: Terms, start_ms: int) -> int:
    """When a period that begins at this moment ends, unless something changes meanwhile."""
    if terms.subscribed is not None:
        number = 0
        while (end_ms := _subscription_boundary(terms.subscribed, number)) <= start_ms:
            number += 1
        return end_ms
    day = utc_date(start_ms)
    year, month = _month_before(day.year, day.month)
    while _month_start(terms.timezone, year, month) < start_ms + SHORTEST_MS:
        year, month = _month_after(year, month)
    return _month_start(terms.timezone, year, month)


def _anew_at(last: Period, terms: Terms, now_ms: int) -> int | None:
    """Where `last` is cut because other terms hold now."""
    if terms.subscribed is not None:
        begins_ms = terms.subscribed.starts_at_ms
        if begins_ms > now_ms:
            return None  # clocks differ: it begins in a moment
        if last.starts_at_ms < begins_ms < last.ends_at_ms:
            return begins_ms
    if last.anchor is terms.anchor or last.ends_at_ms <= now_ms:
        return None
    return now_ms if now_ms > last.starts_at_ms else None


def _continued(periods: list[Period], terms: Terms, now_ms: int) -> list[Period]:
    while periods[-1].ends_at_ms <= now_ms:
        start_ms = periods[-1].ends_at_ms
        if terms.subscribed is not None and start_ms < terms.subscribed.starts_at_ms:
            # Nobody looked for a while: what lies before the subscription are months without one.
            end_ms = min(natural_end(Terms(terms.timezone), start_ms), terms.subscribed.starts_at_ms)
            periods.append(Period(start_ms, end_ms, Anchor.CALENDAR))
        else:
            periods.append(Period(start_ms, natural_end(terms, start_ms), terms.anchor))
    return periods


def _subscription_boundary(subscribed: Window, number: int) -> int:
    """The moment at which the months of a subscription begin: 0 the first, then each that follows.

    They begin on the same day of the month; where one end of what is billed is the last day of a short month, the other
    end tells which: a month until the 28th of February may have begun on the 31st of January. After what is billed now
    months go on in the same way, for as long as Stripe was not asked.
    """
    starts = datetime.fromtimestamp(subscribed.starts_at_ms / 1000, UTC)
    ends = datetime.fromtimestamp(subscribed.ends_at_ms / 1000, UTC)
    length_days = (subscribed.ends_at_ms - subscribed.starts_at_ms) / DAY_MS
    months = max(1, round(length_days / MEAN_MONTH_DAYS))
    if number == 0:
        return subscribed.starts_at_ms
    if number == months:
        return subscribed.ends_at_ms
    base, other, count = (starts, ends, number) if number < months else (ends, starts, number - months)
    is_last_of_month = base.day == _days_in(base.year, base.month)
    index = base.year * 12 + base.month - 1 + count
    year, month = index // 12, index % 12 + 1
    day = min(max(base.day, other.day) if is_last_of_month else base.day, _days_in(year, month))
    moved = datetime(year, month, day, base.hour, base.minute, base.second, tzinfo=UTC)
    return int(moved.timestamp()) * 1000 + subscribed.starts_at_ms % 1000


def _month_start(timezone: str, year: int, month: int) -> int:
    return start_of(((BEGINNING, timezone),), date(year, month, 1)) * 1000


def _days_in(year: int, month: int) -> int:
    return (date(*_month_after(year, month), 1) - date(year, month, 1)).days


def _month_after(year: int, month: int) -> tuple[int, int]:
    return (year + 1, 1) if month == 12 else (year, month + 1)


def _month_before(year: int, month: int) -> tuple[int, int]:
    return (year - 1, 12) if month == 1 else (year, month - 1)
