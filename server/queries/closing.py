"""Condensing some days of some sites: the statements that fill the closed tables, in their order.

Each statement reads `events` or what an earlier one wrote under the same versions, so nothing here is read by anybody
until `server.closed_days.switch` names the versions. Running a `Chunk` again needs a new `closing_ms`.

All sites of a chunk share their time zones, so that a day begins for all of them at the same time; its days follow each
other. What fills the placeholders is numbers and names of ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from server.clickhouse_tcp import BlockConnection
from server.closed_days import DAY_NUMBERS, EPOCH, version_of
from server.migrate import SchemaForm
from server.queries.closed_tables import (
    ATTRIBUTES,
    EMPTY_NAME_ID,
    MOST_VALUES,
    VALUES_LEAST_EVENTS,
    VITAL_ATTRIBUTES,
)
from server.queries.metrics import VITALS
from server.queries.periods import HOUR_MS, Interval, SiteCalendar, TimeRange, buckets
from server.queries.statements import fill, sql_text
from server.queries.stitching import RANK, RANK_BITS, SCREEN_CLASS
from server.queries.vital_buckets import bucket_sql

SETTINGS: Mapping[str, int | str] = {
    "max_threads": 2,
    "max_insert_threads": 1,
    "max_block_size": 16_384,
    "max_bytes_before_external_group_by": 1024**3,
    "max_bytes_before_external_sort": 1024**3,
    "max_memory_usage": 4 * 1024**3,
    "max_execution_time": 3_600,
    "max_partitions_per_insert_block": 1_000,
    # The numbers of a few thousand sites times a month's days stand in a statement.
    "max_query_size": 16 * 1024**2,
    "max_ast_elements": 1_000_000,
    "max_expanded_ast_elements": 1_000_000,
    # An INSERT into a Distributed table returns when the shards have stored the rows.
    "distributed_foreground_insert": 1,
    "async_insert": 0,
    # Tables of names beside Distributed ones are read once and sent along.
    "distributed_product_mode": "global",
    # The smaller side is on the right already; the planner's guess builds the larger one, a quarter to a half dearer.
    "query_plan_join_swap_table": "false",
    "insert_deduplicate": 0,
    "optimize_on_insert": 0,
}
"""Of every statement. The two group limits make room on disk instead of failing."""

SLICE_EVENTS = 4_000_000
"""Visitors are taken in so many parts that the visits of about this many events are stitched at once."""

MOST_RUNS = 16
"""Of site numbers that follow each other: with more, sites are listed."""

_PAIRED_DAYS = DAY_NUMBERS

_BEGUN = "INSERT INTO closings (site_id, day, version, event_rows) VALUES"


@dataclass(frozen=True, slots=True)
class DayRows:
    """What `events` has of a site's day."""

    rows: int
    counted: int
    """Views and custom events."""
    least_weight: int
    most_weight: int

    @property
    def has_values(self) -> bool:
        """Whether the day is large enough for breakdowns."""
        return self.counted >= VALUES_LEAST_EVENTS

    @property
    def has_one_weight(self) -> bool:
        """Whether all its hits have the same weight: others are not closed."""
        return self.least_weight == self.most_weight


NOTHING = DayRows(0, 0, 1, 1)


@dataclass(frozen=True)
class Chunk:
    """Days that follow each other, of sites with the same zones. `closing_ms`: no other attempt may have the same."""

    site_ids: tuple[int, ...]
    calendar: SiteCalendar
    days: tuple[date, ...]
    closing_ms: int
    least_events: int = VALUES_LEAST_EVENTS
    most_values: int = MOST_VALUES
    cut_ms: int = 0
    """Of a day that is not over: only its rows before this are condensed, and no page loads."""

    @cached_property
    def starts_ms(self) -> tuple[int, ...]:
        """Where each day starts, and where the last one ends."""
        return tuple(
            self.calendar.start_ms(day) for day in (*self.days, date.fromordinal(self.days[-1].toordinal() + 1))
        )

    @property
    def until_ms(self) -> int:
        """Where its rows end."""
        return self.cut_ms or self.starts_ms[-1]

    @cached_property
    def real_days(self) -> tuple[tuple[date, int], ...]:
        """The days that have any length, and where they start: a zone may skip a date."""
        ends = self.starts_ms[1:]
        return tuple(
            (day, start) for day, start, end in zip(self.days, self.starts_ms, ends, strict=False) if end > start
        )


class Closing:
    """The statements of one chunk. `counts`: of `count_rows`, for the days to close; `left_out`: days with rows that
    are not to be closed.
    """

    def __init__(
        self,
        chunk: Chunk,
        counts: Mapping[tuple[int, date], DayRows],
        left_out: Collection[tuple[int, date]] = (),
    ) -> None:
        self.chunk = chunk
        self.left_out = left_out
        self.counts = counts
        self.versions = {
            (site_id, day): version_of(chunk.closing_ms, day, has_values=rows.counted >= chunk.least_events)
            for (site_id, day), rows in counts.items()
        }

    def run(self, connection: BlockConnection, progress: Callable[[str], None] = lambda step: None) -> None:
        """Write everything of these versions. `progress` is called before each statement; what it raises ends it."""
        progress("begun")
        # Before anything else of these versions, so that whatever a crash leaves can be found.
        connection.insert_rows(_BEGUN, self._begun())
        for step, statement in self.statements():
            progress(step)
            connection.command(statement, **SETTINGS)

    def statements(self) -> Iterable[tuple[str, str]]:
        """(step, SQL), in the order in which they must run."""
        yield "names", self._filled("closing_names", last_fixed_id=str(EMPTY_NAME_ID))
        total = sum(rows.rows for rows in self.counts.values())
        slices = max(1, -(-total // SLICE_EVENTS))
        for index in range(slices):
            yield f"sessions {index + 1}/{slices}", self._sessions(index, slices)
        large = [version for key, version in self.versions.items() if self.has_values(key)]
        # A day has no more values than rows: where nothing can be cut, nothing is ranked. Sites without such a day in a
        # statement of their own cost more: an INSERT plans its SELECT twice, a tenth of a second each, measured.
        is_cut = any(day.rows > self.chunk.most_values for day in self.counts.values())
        yield "daily", self._daily("closing_daily_cut" if is_cut else "closing_daily")
        if large:
            yield (
                "hourly",
                self._filled("closing_hourly", versions=_numbers(sorted(set(large))), **self._of_versions(large)),
            )
        if not self.chunk.cut_ms:
            yield "vitals", self._vitals()

    def has_values(self, key: tuple[int, date]) -> bool:
        """Whether this day gets breakdowns."""
        return self.counts[key].counted >= self.chunk.least_events

    # -- parts ---------------------------------------------------------------------------------------------------

    def _filled(self, name: str, **parts: str) -> str:
        text = sql_text(name)
        wanted = set(re.findall(r"\$(\w+)", text))
        known = {**self._common, **parts}
        return fill(text, **{part: known[part] for part in wanted})

    @cached_property
    def _sites(self) -> tuple[int, ...]:
        return tuple(sorted({site_id for site_id, _ in self.versions}))

    @cached_property
    def _common(self) -> dict[str, str]:
        days = self.chunk.real_days
        starts = _numbers([start for _, start in days])
        numbers = _numbers([_day_number(day) for day, _ in days])
        hours = [
            (day, index, start_ms)
            for day, _ in days
            for index, start_ms in enumerate(
                buckets(TimeRange.of_days(self.chunk.calendar, day, day), Interval.HOUR).starts_ms
            )
        ]
        hour_starts = _numbers([start_ms for _, _, start_ms in hours])
        day_of_start = f"toDate(transform(day_ms, {starts}, {numbers}, 0))"
        day_of_hour = (
            f"toDate(transform(hour_ms, {hour_starts}, {_numbers([_day_number(day) for day, _, _ in hours])}, 0))"
        )
        return {
            "where": where_events(self._sites, days[0][1], self.chunk.until_ms) + self._except(starts, numbers),
            "of_sites": of_sites(self._sites),
            "day_starts": starts,
            "day_of_start": day_of_start,
            "day_of_hour": day_of_hour,
            "version": self._version("site_id", "day"),
            "hour_starts": hour_starts,
            "hour_starts_s": _numbers([start_ms // 1000 for _, _, start_ms in hours]),
            "hour_numbers": _numbers([index for _, index, _ in hours]),
            "hour_keys": _numbers([_day_number(day) * 32 + index for day, index, _ in hours]),
            "empty_id": str(EMPTY_NAME_ID),
        }

    def _except(self, starts: str, numbers: str) -> str:
        """The condition that passes over the rows of days that are not closed."""
        if not self.left_out:
            return ""
        pairs = _numbers(sorted(_pair(site_id, day) for site_id, day in self.left_out))
        day = f"transform(roundDown(toUnixTimestamp64Milli(time), {starts}), {starts}, {numbers}, 0)"
        return f" AND toUInt64(site_id) * {_PAIRED_DAYS} + {day} NOT IN {pairs}"

    def _version(self, site: str, day: str) -> str:
        """The version of a row's day, as SQL."""
        large = [_pair(site_id, day_) for site_id, day_ in self.versions if self.has_values((site_id, day_))]
        flag = f"(toUInt64({site}) * {_PAIRED_DAYS} + toUInt16({day})) IN {_numbers(large)}" if large else "0"
        return f"toUInt64(({self.chunk.closing_ms} * 2 + ({flag})) * {DAY_NUMBERS} + toUInt16({day}))"

    def _of_versions(self, versions: Iterable[int]) -> dict[str, str]:
        first, last = self.chunk.days[0], self.chunk.days[-1]
        return {
            "where_versions": (
                f"{of_sites(self._sites)} AND day >= '{first}' AND day <= '{last}' "
                f"AND version IN {_numbers(sorted(set(versions)))}"
            )
        }

    def _begun(self) -> list[tuple[int, date, int, int]]:
        return [
            (site_id, day, version, self.counts[site_id, day].rows)
            for (site_id, day), version in sorted(self.versions.items())
        ]

    def _sessions(self, index: int, slices: int) -> str:
        columns = {name: _OF_EVENTS.get(name, name) for name in ATTRIBUTES}
        day_ms = f"roundDown(toUnixTimestamp64Milli(time), {self._common['day_starts']})"
        return self._filled(
            "closing_sessions",
            attributes=", ".join(ATTRIBUTES),
            attribute_columns=", ".join(f"{sql} AS first_{name}" for name, sql in columns.items()),
            attribute_values=", ".join(f"first_{name}" for name in ATTRIBUTES),
            site_day=f"bitShiftLeft(toUInt64(site_id), 32) + intDiv({day_ms}, 1000)",
            place=(
                f"bitShiftLeft(toUInt64(toUnixTimestamp64Milli(time) - {day_ms}), 28) "
                f"+ bitShiftLeft(toUInt64(kind), {RANK_BITS}) + {RANK}"
            ),
            # An odd number, so that no two places of a visitor have the same key.
            key=f"intHash64(visitor_id) + intHash64(site_day) + place * {_ODD}",
            kind="toUInt8(bitAnd(bitShiftRight(r, 98), 3))",
            page_id="toUInt32(bitShiftRight(r, 40))",
            slices=str(slices),
            slice=str(index),
            these_visitors=f" AND visitor_id % {slices} = {index}" if slices > 1 else "",
        )

    def _daily(self, name: str) -> str:
        every = self._of_versions(self.versions.values())
        facts = [fill(sql_text("closing_daily_total"), visitors=_visitors("counts"), **every)]
        large = [version for key, version in self.versions.items() if self.has_values(key)]
        if large:
            those = self._of_versions(large)
            values = ", ".join(f"toString({each})" for each in ATTRIBUTES)
            facts += [
                _of_visits(ATTRIBUTES, ATTRIBUTES, f"[{values}][place]", "0", those),
                # Thousands of values, for each of which an array would be made.
                _of_visits(("entry_page", "exit_page"), ("entry_id", "exit_id"), "''", "entry_id + exit_id", those),
            ]
            facts.append(fill(sql_text("closing_daily_path"), visitors=_visitors("visit_weight > 0"), **those))
            facts.append(fill(sql_text("closing_daily_event_name"), visitors=_visitors(), **those))
            facts.append(fill(sql_text("closing_daily_revenue"), **those))
        return self._filled(
            name,
            facts=" UNION ALL ".join(facts),
            most_values=str(self.chunk.most_values),
        )

    def _vitals(self) -> str:
        keys = [vital.key for vital in VITALS]
        columns = {name: _OF_EVENTS.get(name, name) for name in VITAL_ATTRIBUTES}
        # Each value's bucket once; at the place 0 of a key that is missing there is 0.
        value = "found[indexOf(keys, '{key}')] AS b_{key}"
        return self._filled(
            "closing_vitals",
            attributes=", ".join(VITAL_ATTRIBUTES),
            attribute_columns=", ".join(f"{sql} AS first_{name}" for name, sql in columns.items()),
            attribute_values=", ".join(f"argMin(e.first_{name}, e.place) AS of_{name}" for name in VITAL_ATTRIBUTES),
            attribute_names=", ".join(f"l.of_{name}" for name in VITAL_ATTRIBUTES),
            metrics=", ".join(keys),
            found=f"arrayMap(value -> toUInt16({bucket_sql('value')} + 1), mapValues(metrics))",
            metric_columns=", ".join(value.format(key=key) for key in keys),
            metric_values=", ".join(f"argMaxIf(e.b_{key}, e.place, e.b_{key} > 0) AS of_{key}" for key in keys),
            metric_names=", ".join(f"l.of_{key}" for key in keys),
            has_metric=" + ".join(f"l.of_{key}" for key in keys) + " > 0",
        )


_ODD = 0x9E37_79B9_7F4A_7C15
_OF_EVENTS = {"screen_class": SCREEN_CLASS, "visit_hostname": "hostname"}


def of_sites(site_ids: Iterable[int]) -> str:
    """The condition that `site_id` is one of these, by runs of numbers where these are few.

    A list of a thousand is resolved and named anew for each mention, a third to a half of a statement's planning, and
    searched for each row that is read, 50 ns, both measured.
    """
    known = set(site_ids)
    listed = sorted(known)
    starts = [number for number in listed if number - 1 not in known]
    if len(starts) > MOST_RUNS:
        return f"site_id IN ({', '.join(map(str, listed))})"
    ends = [number for number in listed if number + 1 not in known]
    runs = [
        f"site_id = {first}" if first == last else f"site_id BETWEEN {first} AND {last}"
        for first, last in zip(starts, ends, strict=True)
    ]
    return runs[0] if len(runs) == 1 else f"({' OR '.join(runs)})"


def where_events(site_ids: Iterable[int], from_ms: int, until_ms: int) -> str:
    """The condition on `events` for some sites and a time."""
    first_s, last_s = from_ms // HOUR_MS * 3600, -(-until_ms // HOUR_MS) * 3600
    conditions = [
        of_sites(site_ids),
        f"hour >= toDateTime({first_s}, 'UTC') AND hour < toDateTime({last_s}, 'UTC')",
    ]
    # Where days begin on the hour, as nearly everywhere, the hours say it all.
    if from_ms % HOUR_MS:
        conditions.append(f"time >= fromUnixTimestamp64Milli({from_ms})")
    if until_ms % HOUR_MS:
        conditions.append(f"time < fromUnixTimestamp64Milli({until_ms})")
    return " AND ".join(conditions)


def count_rows(connection: BlockConnection, chunk: Chunk) -> dict[tuple[int, date], DayRows]:
    """What `events` has of the days of a chunk; a day without rows is not among them."""
    if not chunk.real_days:
        return {}
    starts = _numbers([start for _, start in chunk.real_days])
    numbers = _numbers([_day_number(day) for day, _ in chunk.real_days])
    statement = fill(
        sql_text("closing_rows"),
        day=f"transform(roundDown(toUnixTimestamp64Milli(time), {starts}), {starts}, {numbers}, 0)",
        where=where_events(chunk.site_ids, chunk.starts_ms[0], chunk.until_ms),
    )
    rows = connection.select(statement, None, **SETTINGS)
    return {
        (int(site_id), date.fromordinal(EPOCH.toordinal() + int(day))): DayRows(*map(int, numbers_))
        for site_id, day, *numbers_ in rows
    }


def delete_versions(
    connection: BlockConnection, form: SchemaForm, versions: Mapping[tuple[int, date], Sequence[int]]
) -> None:
    """Delete everything of these versions of these days, from every closed table; from `closings` last."""
    pairs = [(site_id, version) for (site_id, _), found in versions.items() for version in found]
    if not pairs:
        return
    days = [day for _, day in versions]
    condition = (
        f"day >= '{min(days)}' AND day <= '{max(days)}' "
        f"AND (site_id, version) IN ({', '.join(f'({site_id}, {version})' for site_id, version in pairs)})"
    )
    for table in ("sessions", "daily", "hourly", "vitals", "closings"):
        connection.command(
            f"DELETE FROM {form.stored(table)} {form.on_cluster} WHERE {condition}",  # noqa: S608 - numbers of ours
            lightweight_deletes_sync=2,
        )


def _of_visits(
    names: Sequence[str], keys: Sequence[str], value: str, value_id: str, where_versions: Mapping[str, str]
) -> str:
    """The figures of each value of some columns of `sessions`, as dimensions of these names."""
    return fill(
        sql_text("closing_daily_visits"),
        keys=", ".join(keys),
        names=", ".join(f"'{each}'" for each in names),
        value=value,
        value_id=value_id,
        groupings=", ".join(f"grouping({each})" for each in keys),
        sets=", ".join(f"(site_id, day, version, {each})" for each in keys),
        visitors=_visitors(),
        **where_versions,
    )


def _visitors(counts: str = "") -> str:
    also = f" AND {counts}" if counts else ""
    once = f"countIf(visitor_number = 0{also})"
    return f"toUInt64(({once} + uniqExactIf(visitor_number, visitor_number > 0{also})) * max(toUInt64(weight)))"


def _numbers(values: Iterable[int]) -> str:
    return f"[{', '.join(map(str, values))}]"


def _day_number(day: date) -> int:
    return (day - EPOCH).days


def _pair(site_id: int, day: date) -> int:
    return site_id * _PAIRED_DAYS + _day_number(day)
