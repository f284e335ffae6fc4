"""Vitals and timings of open days, as sums: how many loads have a value in which bucket."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from server.queries.conditions import Scope, condition, shown
from server.queries.dimensions import Level
from server.queries.facts import CLOCK_INTERVALS, FactsRequest
from server.queries.parameters import Parameters
from server.queries.periods import HOUR_MS, day_starts, every_day
from server.queries.statements import fill, sql_text
from server.queries.stitching import SCREEN_CLASS, these_days
from server.queries.vital_buckets import bucket_sql

COUNTS_TYPE = "Map(Int32, Int64)"


def column_of(key: str) -> str:
    """The component that holds the counts of a metric of `events.metrics`."""
    return f"vital_{key}"


def vital_facts_sql(request: FactsRequest, keys: Sequence[str], days: Sequence[date], parameters: Parameters) -> str:
    """`SELECT d1, …, vital_lcp_ms, …` grouped by the dimensions."""
    query = request.query
    range_ = query.range
    starts_ms = day_starts(range_.calendar, every_day(days))
    from_ms = max(starts_ms[0], range_.from_ms)
    until_ms = min(range_.calendar.start_ms(date.fromordinal(days[-1].toordinal() + 1)), range_.until_ms)
    scope = Scope(_column, _column)
    values = names = ""
    for index, dimension in enumerate(query.dimensions, start=1):
        if dimension.level is Level.TIME:
            assert request.buckets is not None
            at = "toUnixTimestamp64Milli(time)"
            if query.interval not in CLOCK_INTERVALS:
                at = f"roundDown({at}, {parameters.numbers(starts_ms)})"
            text = f"toInt64(roundDown({at}, {parameters.numbers(request.buckets.starts_ms)}))"
        else:
            text = f"toString({shown(dimension, scope, parameters)})"
        values += f", argMin({text}, (sequence, time)) AS d{index}"
        names += f"d{index}, "
    bucket = bucket_sql("last_value")
    counted = f"map({bucket}, toInt64(weight))"
    counts = ", ".join(
        f"sumMap(if(metric = {parameters.text(key)}, {counted}, {EMPTY_COUNTS})) AS {column_of(key)}" for key in keys
    )
    return fill(
        sql_text("vital_facts"),
        keys=names,
        counts=counts,
        values=values,
        grouped=f"GROUP BY {names.rstrip(', ')}" if names else "",
        metrics=parameters.texts(list(keys)),
        matching=condition(query.filters, scope, parameters),
        day_starts=parameters.numbers(starts_ms),
        these_days=these_days(range_.calendar, days, "time", parameters),
        site_id=parameters.bind(query.site_id, "UInt32"),
        from_ms=parameters.number(from_ms),
        until_ms=parameters.number(until_ms),
        from_hour_s=parameters.number(from_ms // HOUR_MS * 3600),
        until_hour_s=parameters.number(-(-until_ms // HOUR_MS) * 3600),
    )


EMPTY_COUNTS = f"CAST(map(), '{COUNTS_TYPE}')"


def _column(name: str) -> str:
    if name == "screen_class":
        return SCREEN_CLASS
    if name == "visit_hostname":
        return "hostname"
    return f"toString({name})" if name in ("device", "channel") else name
