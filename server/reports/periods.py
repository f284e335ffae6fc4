"""Which days a report is about and when it is due, in the site's own time.

A week begins on Monday, a month on its first day. A report is due when the site's clocks first show `DUE_HOUR` on the
day after its period: in the morning people look into their mail, and the day before is closed by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from server.clock import HOUR_MS
from server.queries.periods import SiteCalendar, TimeRange, months_before

DUE_HOUR = 6
"""Of the site's clocks."""
WAITS_MS = 6 * HOUR_MS
"""How long a report waits for figures that are not complete yet; then it goes out marked partial."""

_DAY = timedelta(days=1)
CHART_DAYS = 14
"""A chart has at least so many days: one day alone is no curve."""


class MailKind(StrEnum):
    """What a person can have sent. The first three are reports."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    ALERTS = "alerts"


REPORT_KINDS = (MailKind.DAILY, MailKind.WEEKLY, MailKind.MONTHLY)


@dataclass(frozen=True, slots=True)
class Period:
    """Days from the first to the last."""

    first: date
    last: date

    @property
    def days(self) -> tuple[date, ...]:
        """All of them."""
        return tuple(self.first + index * _DAY for index in range((self.last - self.first).days + 1))

    def range(self, calendar: SiteCalendar) -> TimeRange:
        """The same as instants."""
        return TimeRange.of_days(calendar, self.first, self.last)


def period_of(kind: MailKind, day: date) -> Period:
    """The day, week or month that a date belongs to. Raises `ValueError` for what is no report."""
    match kind:
        case MailKind.DAILY:
            return Period(day, day)
        case MailKind.WEEKLY:
            first = day - day.weekday() * _DAY
            return Period(first, first + 6 * _DAY)
        case MailKind.MONTHLY:
            return Period(day.replace(day=1), months_before(day, -1) - _DAY)
    raise ValueError(f"{kind} is no report")


def period_before(kind: MailKind, period: Period) -> Period:
    """The day, week or month before one."""
    return period_of(kind, period.first - _DAY)


def chart_days(kind: MailKind, period: Period) -> tuple[date, ...]:
    """The days that a report's chart shows: the period and, of a short one, days before it."""
    first = min(period.first, period.last - (CHART_DAYS - 1) * _DAY)
    return Period(first, period.last).days


def due_ms(calendar: SiteCalendar, period: Period) -> int:
    """When the report about a period is due."""
    day = period.last + _DAY
    start_ms = calendar.start_ms(day)
    wall = datetime(day.year, day.month, day.day, DUE_HOUR, tzinfo=calendar.zone(day))
    # The zone of a date that was changed lasts from its midnight on; before the day has begun nothing is due.
    return max(int(wall.timestamp() * 1000), start_ms)


def latest_period(kind: MailKind, calendar: SiteCalendar, now_ms: int) -> Period:
    """The period of the newest report that is due."""
    period = period_of(kind, calendar.day_at(now_ms))
    while due_ms(calendar, period) > now_ms or not _has_length(calendar, period):
        period = period_before(kind, period)
    return period


def next_due_ms(kind: MailKind, calendar: SiteCalendar, now_ms: int) -> int:
    """When the next report falls due, after this moment."""
    period = period_of(kind, latest_period(kind, calendar, now_ms).last + _DAY)
    while not _has_length(calendar, period):
        period = period_of(kind, period.last + _DAY)
    return due_ms(calendar, period)


def _has_length(calendar: SiteCalendar, period: Period) -> bool:
    """Whether there is such a time: a zone may skip a date."""
    return calendar.start_ms(period.first) < calendar.start_ms(period.last + _DAY)


def period_text(kind: MailKind, period: Period) -> str:
    """For people: Sunday, 29 November 2026; 23 to 29 November 2026; November 2026."""
    first, last = period.first, period.last
    match kind:
        case MailKind.DAILY:
            return f"{first:%A}, {first.day} {first:%B %Y}"
        case MailKind.MONTHLY:
            return f"{first:%B %Y}"
    if first.year != last.year:
        return f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}"
    if first.month != last.month:
        return f"{first.day} {first:%B} to {last.day} {last:%B %Y}"
    return f"{first.day} to {last.day} {last:%B %Y}"


def period_query(kind: MailKind, period: Period) -> dict[str, str]:
    """The same period as the dashboard's address names it (dashboards/src/calendar/periods.ts)."""
    match kind:
        case MailKind.DAILY:
            return {"period": "day", "date": period.first.isoformat()}
        case MailKind.MONTHLY:
            return {"period": "month", "date": period.first.isoformat()}
    return {"period": "custom", "from": period.first.isoformat(), "to": period.last.isoformat()}
