"""The demo's year in ClickHouse: made there, a month at a time, up to the present moment.

Each part is rows, then their counts, then a note in the app database of how far they go. A part that was cut short is
taken away and made again, so the law of accounting (`server.audit`) holds whenever a `fill` has ended. A later `fill`
goes on where the last one stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy import Engine

from server.clickhouse_tcp import BlockConnection
from server.demo.rows import Demo, save_filled
from server.migrate import SchemaForm
from server.queries import run_query
from server.queries.statements import sql_text

Progress = Callable[[int, int], None]
"""Told (milliseconds told, milliseconds in all)."""

# Rows come block by block from one thread: a part is one query, whatever becomes of it.
_SETTINGS = {
    "max_insert_threads": 1,
    "async_insert": 0,
    "insert_deduplicate": 0,  # what was taken away is made again
    "max_partitions_per_insert_block": 0,
    "compile_expressions": 0,  # each part runs once: compiling takes longer than it saves
}


@dataclass(frozen=True)
class Filled:
    """What a `fill` has added: rows, and the local days that they lie on."""

    rows: int
    days: tuple[date, ...]


def fill(
    engine: Engine, connection: BlockConnection, form: SchemaForm, demo: Demo, now_ms: int, progress: Progress
) -> Filled:
    """Tell the story up to `now_ms`. Raises what ClickHouse's driver raises."""
    begin_ms = demo.filled_until_ms
    _take_away(connection, form, demo)
    rows = 0
    for from_ms, until_ms in parts(demo, now_ms):
        progress(from_ms - begin_ms, now_ms - begin_ms)
        told = _tell(connection, demo, from_ms, until_ms, now_ms)
        save_filled(engine, demo, until_ms, told)
        rows += told
    progress(now_ms - begin_ms, now_ms - begin_ms)
    if now_ms <= begin_ms:
        return Filled(0, ())
    first, last = demo.calendar.day_at(begin_ms), demo.calendar.day_at(now_ms - 1)
    days = tuple(first + timedelta(days=number) for number in range((last - first).days + 1))
    return Filled(rows, days)


def parts(demo: Demo, now_ms: int) -> Iterator[tuple[int, int]]:
    """[from, until) of what is to be told, cut where months begin."""
    calendar = demo.calendar
    from_ms = demo.filled_until_ms
    while from_ms < now_ms:
        day = calendar.day_at(from_ms)
        next_month = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
        until_ms = min(calendar.start_ms(next_month), now_ms)
        yield from_ms, until_ms
        from_ms = until_ms


def _tell(connection: BlockConnection, demo: Demo, from_ms: int, until_ms: int, now_ms: int) -> int:
    """Store one part; how many rows it has."""
    calendar = demo.calendar
    days = [
        (calendar.start_ms(day.day), calendar.start_ms(day.day + timedelta(days=1)), day)
        for day in demo.story.days(calendar.day_at(from_ms), calendar.day_at(until_ms - 1))
    ]
    about = {
        "site_id": demo.site_id,
        "from_ms": from_ms,
        "until_ms": until_ms,
        "batch_id": batch_id(demo, from_ms),
        "batch_time_s": now_ms // 1000,
    }
    visits = [
        (
            start_ms,
            end_ms,
            (day.day - date(1970, 1, 1)).days,
            day.visits,
            day.spike_share,
            day.sale_share,
            day.paid_social_share,
            day.newsletter_share,
            day.slow_pictures,
            day.slow_clicks,
        )
        for start_ms, end_ms, day in days
    ]
    hostname, retention_class = demo.domain, demo.retention_class
    parameters = {**about, "days": visits, "hostname": hostname, "retention_class": retention_class}
    connection.select(sql_text("demo_events"), parameters, **_SETTINGS)
    kept_out = [
        (start_ms, end_ms, round(day.visits * day.bots_per_visit, 3), day.visits) for start_ms, end_ms, day in days
    ]
    connection.select(sql_text("demo_ledger"), {**about, "days": kept_out}, **_SETTINGS)
    ((rows,),) = run_query(connection, "demo_rows", site_id=demo.site_id, batch_id=about["batch_id"])
    return int(rows)


def batch_id(demo: Demo, from_ms: int) -> str:
    """The batch of the part that begins at this moment."""
    return f"demo-{demo.site_id}-{from_ms}"


def _take_away(connection: BlockConnection, form: SchemaForm, demo: Demo) -> None:
    """Remove what a part left that was cut short: it lies behind what is known to be there.

    Rows forget their batch after a week; hits that somebody sent to the demo have one of their own until then.
    """
    ours = f"site_id = {demo.site_id} AND batch_id = '{batch_id(demo, demo.filled_until_ms)}'"
    behind = f"time >= fromUnixTimestamp64Milli({demo.filled_until_ms}, 'UTC') AND batch_id = ''"
    for table, where in ((form.events, f"{ours} OR (site_id = {demo.site_id} AND {behind})"), (form.ledger, ours)):
        ((found,),) = connection.select(f"SELECT count() FROM {table} WHERE {where}")  # noqa: S608 - our tables and numbers
        if found:
            statement = f"DELETE FROM {table} {form.on_cluster} WHERE {where}"  # noqa: S608 - the same
            connection.command(statement, lightweight_deletes_sync=2)
