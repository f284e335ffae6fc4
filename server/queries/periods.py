"""Days, ranges and buckets of a site's own time.

A site-local day is [start, next start). It starts at midnight in the zone that holds for its date; where a clock change
skips midnight, it starts at the change. So days have 23, 24 or 25 hours (23.5 and 24.5 on Lord Howe), and a day on
which the site changed its zone has whatever lies between the two midnights.

Instants are milliseconds since 1970 UTC; ranges are half open. Labels are the site's local time, as Plausible writes
them: `2026-11-25`, `2026-11-25 13:00:00`. An hour that the clocks repeat gives two buckets, whose labels then carry
their offset; an hour that they skip gives none.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

from server.clock import utc_date

HOUR_MS = 3_600_000
DAY = timedelta(days=1)

# Longer series are for exports: a year by the hour is 8,784 buckets, a day by the minute up to 1,500.
MAX_BUCKETS = 10_000


class Interval(StrEnum):
    """The widths of time buckets."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class SiteCalendar:
    """When a site's days start. `zones`: (first date, zone name), ascending; the first entry holds before it too."""

    zones: tuple[tuple[date, str], ...]

    @classmethod
    def of(cls, zone: str) -> SiteCalendar:
        """A site that has always been in one zone."""
        return cls(((date.min, zone),))

    def zone(self, day: date) -> ZoneInfo:
        """The zone of a date."""
        return ZoneInfo(self._zone_name(day))

    def start_ms(self, day: date) -> int:
        """When a day starts. A date that its zone skips starts, and ends, where the next one starts."""
        return _start_ms(self._zone_name(day), day)

    def day_at(self, at_ms: int) -> date:
        """The day that an instant belongs to."""
        day = utc_date(at_ms) + DAY
        while self.start_ms(day) > at_ms:
            day -= DAY
        return day

    def local(self, at_ms: int) -> datetime:
        """The site's local time at an instant."""
        return datetime.fromtimestamp(at_ms / 1000, self.zone(self.day_at(at_ms)))

    def _zone_name(self, day: date) -> str:
        if len(self.zones) == 1:
            return self.zones[0][1]
        index = bisect.bisect_right([first for first, _ in self.zones], day) - 1
        return self.zones[max(index, 0)][1]


@dataclass(frozen=True)
class TimeRange:
    """[from_ms, until_ms) in a site's time."""

    calendar: SiteCalendar
    from_ms: int
    until_ms: int

    @classmethod
    def of_days(cls, calendar: SiteCalendar, first: date, last: date) -> TimeRange:
        """Both days and those between."""
        return cls(calendar, calendar.start_ms(first), calendar.start_ms(last + DAY))

    @cached_property
    def first_day(self) -> date:
        """The day of the first instant."""
        return self.calendar.day_at(self.from_ms)

    @cached_property
    def last_day(self) -> date:
        """The day of the last instant."""
        return self.calendar.day_at(max(self.until_ms - 1, self.from_ms))

    @cached_property
    def days(self) -> tuple[date, ...]:
        """Every day that the range touches."""
        return tuple(self.first_day + index * DAY for index in range((self.last_day - self.first_day).days + 1))

    @property
    def is_whole_days(self) -> bool:
        """Whether the range begins and ends where days do."""
        return self.from_ms == self.calendar.start_ms(self.first_day) and self.until_ms == self.calendar.start_ms(
            self.last_day + DAY
        )

    def texts(self) -> tuple[str, str]:
        """First and last second, ISO 8601 with the offset, as Plausible answers them."""
        last_ms = max(self.until_ms - 1000, self.from_ms)
        return tuple(self.calendar.local(at_ms).isoformat(timespec="seconds") for at_ms in (self.from_ms, last_ms))  # type: ignore[return-value]


@dataclass(frozen=True)
class Buckets:
    """The buckets of a range, ascending: where each starts, cut at the range's start, and its label."""

    starts_ms: tuple[int, ...]
    labels: tuple[str, ...]
    until_ms: int

    def label(self, start_ms: int) -> str:
        """The label of the bucket that starts there."""
        return self.labels[self.index(start_ms)]

    def index(self, at_ms: int) -> int:
        """The number of the bucket that an instant of the range belongs to."""
        return bisect.bisect_right(self.starts_ms, at_ms) - 1

    def ends(self) -> tuple[tuple[int, int], ...]:
        """Where each bucket starts and ends."""
        return tuple(zip(self.starts_ms, (*self.starts_ms[1:], self.until_ms), strict=True))

    def present_index(self, now_ms: int) -> int | None:
        """The bucket that is not over yet, if there is one."""
        if not self.starts_ms or not self.starts_ms[0] <= now_ms < self.until_ms:
            return None
        return self.index(now_ms)


class TooManyBuckets(ValueError):
    """The range has more buckets of this width than `MAX_BUCKETS`."""


def buckets(range_: TimeRange, interval: Interval) -> Buckets:
    """Cut a range into buckets. Raises `TooManyBuckets`."""
    if interval in (Interval.MINUTE, Interval.HOUR):
        return _clock_buckets(range_, interval)
    starts: list[int] = []
    labels: list[str] = []
    for day in range_.days:
        first = _bucket_day(day, interval)
        # A week that began before the range is named by the range's first day, a month always by its own first.
        label_day = max(first, range_.first_day) if interval is Interval.WEEK else first
        label = label_day.isoformat()
        start_ms = max(range_.calendar.start_ms(day), range_.from_ms)
        if (labels and labels[-1] == label) or start_ms >= range_.until_ms:
            continue
        if starts and starts[-1] >= start_ms:  # a date that the zone skipped has no length
            starts.pop()
            labels.pop()
        starts.append(start_ms)
        labels.append(label)
        if len(starts) > MAX_BUCKETS:
            raise TooManyBuckets
    return Buckets(tuple(starts), tuple(labels), range_.until_ms)


def _bucket_day(day: date, interval: Interval) -> date:
    if interval is Interval.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval is Interval.MONTH else day


def whole_bucket(calendar: SiteCalendar, interval: Interval, at_ms: int) -> tuple[int, int]:
    """Where the day, week or month of an instant starts and ends, whatever range it is cut by."""
    first = _bucket_day(calendar.day_at(at_ms), interval)
    after = first + DAY
    if interval is Interval.WEEK:
        after = first + 7 * DAY
    elif interval is Interval.MONTH:
        after = months_before(first, -1)
    return calendar.start_ms(first), calendar.start_ms(after)


def _clock_buckets(range_: TimeRange, interval: Interval) -> Buckets:
    """Minutes and hours as the clocks on the site's walls show them."""
    step_ms = 60_000 if interval is Interval.MINUTE else HOUR_MS
    if (range_.until_ms - range_.from_ms) // step_ms > MAX_BUCKETS:
        raise TooManyBuckets
    starts: list[int] = []
    walls: list[datetime] = []
    for day in range_.days:
        zone = range_.calendar.zone(day)
        at_ms = range_.calendar.start_ms(day)
        end_ms = min(range_.calendar.start_ms(day + DAY), range_.until_ms)
        while at_ms < end_ms:
            wall = datetime.fromtimestamp(at_ms / 1000, zone)
            next_ms = _next_wall_ms(at_ms, wall, zone, step_ms)
            if next_ms > range_.from_ms:
                starts.append(max(at_ms, range_.from_ms))
                walls.append(wall)
            at_ms = next_ms
    shown = "%Y-%m-%d %H:00:00" if interval is Interval.HOUR else "%Y-%m-%d %H:%M:00"
    names = [wall.strftime(shown) for wall in walls]
    labels = [
        f"{name}{_offset_text(wall)}" if names[max(index - 61, 0) : index + 62].count(name) > 1 else name
        for index, (name, wall) in enumerate(zip(names, walls, strict=True))
    ]
    return Buckets(tuple(starts), tuple(labels), range_.until_ms)


def _next_wall_ms(at_ms: int, wall: datetime, zone: ZoneInfo, step_ms: int) -> int:
    """The instant at which the clock next shows a full minute or hour, or at which it is changed."""
    past_ms = (wall.minute * 60 + wall.second) * 1000 % step_ms
    next_ms = at_ms + step_ms - past_ms
    offset = wall.utcoffset()
    if datetime.fromtimestamp(next_ms / 1000, zone).utcoffset() == offset:
        return next_ms
    # Clocks are changed inside this bucket, or at its end: find the second.
    low_ms, high_ms = at_ms, next_ms
    while high_ms - low_ms > 1000:
        middle_ms = (low_ms + high_ms) // 2000 * 1000
        if datetime.fromtimestamp(middle_ms / 1000, zone).utcoffset() == offset:
            low_ms = middle_ms
        else:
            high_ms = middle_ms
    return high_ms


def _offset_text(wall: datetime) -> str:
    return wall.strftime("%z")[:3] + ":" + wall.strftime("%z")[3:5]


def auto_interval(range_: TimeRange) -> Interval:
    """What the dimension `time` means: hours up to two days, days up to 40, weeks up to a year, then months."""
    length = timedelta(milliseconds=range_.until_ms - range_.from_ms)
    if length <= 2 * DAY + timedelta(hours=2):  # two days may have 50 hours
        return Interval.HOUR
    if length <= 40 * DAY + timedelta(hours=2):
        return Interval.DAY
    return Interval.WEEK if length <= 52 * 7 * DAY else Interval.MONTH


def months_before(day: date, months: int) -> date:
    """The first day of the month that lies so many months before a date's."""
    index = day.year * 12 + day.month - 1 - months
    return date(index // 12, index % 12 + 1, 1)


def year_before(day: date) -> date:
    """The same date a year earlier; the 28th for a leap day."""
    try:
        return day.replace(year=day.year - 1)
    except ValueError:
        return day.replace(year=day.year - 1, day=28)


@lru_cache(maxsize=16_384)
def _start_ms(zone: str, day: date) -> int:
    """Remembered: a question about a year asks for each of its days several times."""
    # Where a clock change skips midnight, fold=0 counts with the offset before it, which gives the change itself.
    return _epoch_ms(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)))


def _epoch_ms(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp()) * 1000


def day_starts(calendar: SiteCalendar, days: Sequence[date]) -> list[int]:
    """Where each of some consecutive days starts; a date that the zone skipped is left out."""
    starts = [calendar.start_ms(day) for day in days]
    return [start for index, start in enumerate(starts) if index + 1 == len(starts) or starts[index + 1] > start]


def every_day(days: Sequence[date]) -> list[date]:
    """From the first of some ascending days to the last, without gaps."""
    return [days[0] + index * DAY for index in range((days[-1] - days[0]).days + 1)]
