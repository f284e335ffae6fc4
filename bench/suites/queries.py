"""The first look of a dashboard over a year of events, and what the closed tables behind it cost.

The server makes the events itself (`bench.traffic.generated_year`), the job's own code closes their days. Then the
questions of a first look (`FIRST_LOOK`) are asked through the engine of the stats API, two at a time, without the
result cache and with nothing remembered of the looks before, over random ranges of random sites: half of them site 1,
which has 60 % of everything.

| line | what |
|---|---|
| closing_us | CPU of the server for one event, all closed tables |
| closed_bytes | bytes on disk of all closed tables for one page view, merged |
| first_look_ms, filtered_ms | the 95th percentile of a whole first look, without and with one filter |
| today_ms | median of a first look at today and yesterday, of a site that was condensed a quarter of an hour ago |
| … cpu_ms_p95, load | the server's CPU for it, and the machine's load while it was measured |
| ten_times_the_events | median of an unfiltered first look at the whole, against the same at a tenth of it |

`--events` says how many events there are: the default is what fits into ten minutes on two CPUs; the budgets are for
100 million. `--keep DIR` leaves the filled store in a folder, and what is found there is not made again.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from clickhouse_driver import Client
from clickhouse_driver.protocol import ServerPacketTypes
from sqlalchemy import Engine, select

from bench.harness import Budget, Result, Run, pinned
from bench.traffic.generated_year import (
    DAYS,
    SITES,
    TODAY,
    TODAY_SITE,
    fill_today,
    fill_year,
    start_ms,
)
from jobs.closing_chunk import Closer, ClosingLimits
from jobs.closing_days import due_groups
from jobs.closing_months import MonthCloser
from jobs.closing_open import condense_open_days
from jobs.context import JobContext
from jobs.job import Shard
from server.app_database import migrate_app_database, open_app_database, reading, writing
from server.clickhouse_tcp import BlockConnection, Row
from server.clickhouse_url import ClickHouseAddress
from server.config import load_settings
from server.migrate import SchemaForm, migrate
from server.models import Site
from server.queries.engine import StatsEngine
from server.queries.event_reader import EventReader, Ticket
from server.queries.parameters import Value
from server.queries.parsing import parse_query
from server.services import Services
from tests.services.clickhouse import running_clickhouse

DEFAULT_EVENTS = 10_000_000
QUICK_EVENTS = 200_000
ASKED_AT_ONCE = 2
RANGES = 200
CHECKED_RANGES = 6
"""Of which the answers are held against the events."""
QUICK_RANGES = 5
QUICK_DAYS = 10
SEED = 20_261_127

HEADLINES = ["visitors", "visits", "pageviews", "views_per_visit", "bounce_rate", "visit_duration"]
FIRST_LOOK: tuple[Mapping[str, Any], ...] = (
    {"metrics": HEADLINES, "include": {"comparisons": {"mode": "previous_period"}}},
    {"metrics": ["visitors"], "dimensions": ["time"]},
    *(
        {"metrics": ["visitors"], "dimensions": [dimension], "pagination": {"limit": 8}}
        for dimension in ("visit:source", "event:page", "visit:country", "visit:browser")
    ),
)
"""What the dashboard asks before anybody scrolls (dashboards/src/widgets)."""

FILTERS: tuple[list[Any], ...] = (
    ["is", "visit:country", ["DE"]],
    ["is", "visit:source", ["Google"]],
    ["is", "visit:device", ["Desktop"]],
    ["is", "visit:browser", ["Firefox"]],
    ["is", "event:page", ["/docs/2-a-page-about-something"]],
)
"""One of each first look with a filter."""


NOW_MS = start_ms(TODAY + timedelta(days=1)) - 1
"""When all of today's events have come."""
CONDENSED_AGO_MS = 15 * 60_000

SURE_SITES = (1, TODAY_SITE)
"""They have events on every day that is asked about."""


class WrongAnswer(Exception):
    """The closed tables say something else than the events that they were made of: what was measured is worthless."""


class OtherStore(Exception):
    """The folder that was to be used again was filled otherwise: take another, or delete it."""


class MeasuredConnection(BlockConnection):
    """Adds up the CPU time that the server says it took for the statements of this connection."""

    cpu_us = 0

    def command(self, statement: str, **settings: Any) -> None:
        """A statement without rows."""
        self._client.connection.receive_packet = self._received
        try:
            super().command(statement, **settings)
        finally:
            del self._client.connection.receive_packet

    def _received(self) -> Any:
        connection = self._client.connection
        packet = type(connection).receive_packet(connection)
        self.cpu_us += _cpu_us(packet)
        return packet


class MeasuredReader(EventReader):
    """Adds up the CPU time that the server says it took for all questions: what a loaded machine does not stretch."""

    cpu_us = 0

    def rows(
        self, statement: str, parameters: Mapping[str, Value], ticket: Ticket | None = None, **settings: Any
    ) -> list[Row]:
        """As it is asked, but that the server tells what it took."""
        return super().rows(statement, parameters, ticket, send_profile_events=1, **settings)

    def _take(self, address: ClickHouseAddress) -> Client:
        client = super()._take(address)
        connection = client.connection

        def received() -> Any:
            packet = type(connection).receive_packet(connection)
            self._add(_cpu_us(packet))
            return packet

        connection.receive_packet = received
        return client

    def _add(self, cpu_us: int) -> None:
        with self._lock:
            self.cpu_us += cpu_us


def _cpu_us(packet: Any) -> int:
    """CPU time that a packet of the server tells of."""
    if packet.type != ServerPacketTypes.PROFILE_EVENTS:
        return 0
    names = [name for name, _ in packet.block.columns_with_types]
    events = dict(zip(names, packet.block.get_columns(), strict=True))
    # Thread 0 stands for the whole query; each packet has what came since the last.
    return sum(
        int(value)
        for thread, name, value in zip(events["thread_id"], events["name"], events["value"], strict=True)
        if thread == 0 and name == "OSCPUVirtualTimeMicroseconds"
    )


@dataclass(frozen=True, slots=True)
class Look:
    """What a whole first look took: until its last answer was there, and of the server's CPUs."""

    ms: float
    cpu_ms: float


@dataclass
class Bench:
    """A filled store, closed, and the engine over it."""

    address: ClickHouseAddress
    app: Engine
    reader: MeasuredReader
    engine: StatsEngine
    days: int
    """How many days before today have events."""

    @property
    def first_day(self) -> date:
        """The first of them."""
        return TODAY - timedelta(days=self.days)

    def first_look(self, site_id: int, date_range: Sequence[str] | str, filters: Sequence[Any] = ()) -> Look:
        """How long a whole first look takes an engine that remembers nothing of the looks before."""
        now_ms = NOW_MS
        site = self._site(site_id)
        engine = StatsEngine(self.app, self.reader)

        def ask(question: Mapping[str, Any]) -> None:
            document = {"site_id": site.domain, "date_range": date_range, "filters": list(filters), **question}
            facts = engine.site_facts(site, now_ms, document=document)
            answer = engine.document(parse_query(document, facts), document, now_ms)
            if not answer["results"] and not filters and site_id in SURE_SITES:
                raise WrongAnswer(f"nothing for {document}")

        began_s, cpu_us = time.perf_counter(), self.reader.cpu_us
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            list(pool.map(ask, FIRST_LOOK))
        return Look((time.perf_counter() - began_s) * 1000, (self.reader.cpu_us - cpu_us) / 1000)

    def headlines(self, site_id: int, date_range: Sequence[str]) -> tuple[int, int]:
        """Visitors and page views, as the dashboard would show them."""
        now_ms = NOW_MS
        site = self._site(site_id)
        document = {"site_id": site.domain, "date_range": list(date_range), "metrics": ["visitors", "pageviews"]}
        facts = self.engine.site_facts(site, now_ms, document=document)
        visitors, views = self.engine.answer(parse_query(document, facts)).rows[0].metrics
        return int(visitors), int(views)

    def _site(self, site_id: int) -> Site:
        with reading(self.app) as session:
            site = session.execute(select(Site).where(Site.site_id == site_id)).scalar_one()
            session.expunge(site)
        return site


def measure(run: Run) -> Iterator[Result]:
    """See the module."""
    events = run.events or (QUICK_EVENTS if run.quick else DEFAULT_EVENTS)
    home = run.keep or Path(tempfile.mkdtemp(prefix="footfall-bench-", dir=os.environ.get("FOOTFALL_BENCH_DIR")))
    days = QUICK_DAYS if run.quick else DAYS
    try:
        # The server has both CPUs, as in the budgets.
        with pinned(run.cpus.server, run.cpus.client), running_clickhouse(home / "clickhouse") as server:
            tenth = make_bench(home / "tenth", server.address, "tenth", days)
            whole = make_bench(home / "whole", server.address, "whole", days)
            filled = home / f"filled-{events}-{days}"
            cost_us = None
            if not filled.exists():
                if any(home.glob("filled-*")):
                    raise OtherStore(f"{home} holds another number of events")
                fill(tenth, events // 10, today_events=0)
                close_days(tenth)
                fill(whole, events, today_events=events // 10)
                cost_us = close_days(whole)
                filled.touch()
            yield from figures(whole, tenth, cost_us, events, QUICK_RANGES if run.quick else RANGES)
    finally:
        if run.keep is None:
            shutil.rmtree(home, ignore_errors=True)


def figures(whole: Bench, tenth: Bench | None, closing_us: float | None, events: int, ranges: int) -> Iterator[Result]:
    """The results over a store that is filled and closed. `closing_us`: None when that was done by an earlier run."""
    notes: dict[str, object] = {"events": events}
    if closing_us is not None:
        yield _result("closing_us", closing_us, "us/event", 3, notes)
    yield _result("closed_bytes", closed_bytes(whole), "bytes/view", 5, notes)
    check_answers(whole, CHECKED_RANGES)
    plain, filtered = looks(whole, ranges)
    for name, at_most, found in (("first_look_ms", 100, plain), ("filtered_ms", 1_000, filtered)):
        yield _result(name, quantile([look.ms for look in found], 95), "ms", at_most, notes | _spread(found))
    today = [whole.first_look(TODAY_SITE, "day") for _ in range(5)]
    hits = {"hits_today": events // 10}
    yield _result("today_ms", statistics.median(look.ms for look in today), "ms", 1_000, notes | hits | _spread(today))
    if tenth is not None:
        year = [whole.first_day.isoformat(), (TODAY - timedelta(days=1)).isoformat()]
        pairs = [(whole.first_look(1, year).ms, tenth.first_look(1, year).ms) for _ in range(11)]
        ratios = [ours / theirs for ours, theirs in pairs]
        yield Result(
            "ten_times_the_events",
            statistics.median(ours for ours, _ in pairs),
            statistics.median(theirs for _, theirs in pairs),
            statistics.median(ratios),
            "ms",
            Budget(1.5, "at_most"),
            tuple(pairs),
            notes,
        )


def looks(bench: Bench, ranges: int) -> tuple[list[Look], list[Look]]:
    """First looks over random ranges, without and with a filter."""
    chance = random.Random(SEED)
    plain: list[Look] = []
    filtered: list[Look] = []
    for _ in range(ranges):
        site_id = 1 if chance.random() < 0.5 else chance.randint(2, SITES)
        first, last = sorted(chance.sample(range(bench.days), 2))
        date_range = [(bench.first_day + timedelta(days=each)).isoformat() for each in (first, last)]
        plain.append(bench.first_look(site_id, date_range))
        filtered.append(bench.first_look(site_id, date_range, [chance.choice(FILTERS)]))
    return plain, filtered


def check_answers(bench: Bench, ranges: int) -> None:
    """Hold answers against the events. Raises `WrongAnswer`."""
    chance = random.Random(SEED)
    connection = BlockConnection(bench.address)
    try:
        for number in range(ranges):
            site_id = 1 if number % 2 == 0 else chance.randint(2, SITES)
            first, last = sorted(bench.first_day + timedelta(days=chance.randrange(bench.days)) for _ in range(2))
            counted = connection.select(
                "SELECT uniqExactIf((toDate(time), visitor_id), kind IN ('pageview', 'custom')), "
                "countIf(kind = 'pageview') FROM events WHERE site_id = %(site_id)s "
                "AND hour >= toDateTime(%(from_s)s, 'UTC') AND hour < toDateTime(%(until_s)s, 'UTC')",
                {
                    "site_id": site_id,
                    "from_s": start_ms(first) // 1000,
                    "until_s": start_ms(last + timedelta(days=1)) // 1000,
                },
            )
            expected = tuple(int(each) for each in counted[0])
            answered = bench.headlines(site_id, [first.isoformat(), last.isoformat()])
            if answered != expected:
                raise WrongAnswer(f"site {site_id}, {first} to {last}: {answered} instead of {expected}")
    finally:
        connection.close()


def make_bench(home: Path, address: ClickHouseAddress, database: str, days: int) -> Bench:
    """An empty store and app database with the sites."""
    home.mkdir(parents=True, exist_ok=True)
    settings = load_settings(data_dir=home)
    app = open_app_database(settings)
    migrate_app_database(settings, app)
    own = ClickHouseAddress(hosts=address.hosts, database=database, send_receive_timeout_s=3_600)
    migrate(own, SchemaForm())
    with writing(app) as session:
        for site_id in range(1, TODAY_SITE + 1):
            if session.get(Site, site_id) is None:
                session.add(
                    Site(
                        site_id=site_id,
                        public_id=str(site_id),
                        domain=f"www.shop-{site_id}.example",
                        created_at_ms=start_ms(TODAY - timedelta(days=days)),
                    )
                )
    reader = MeasuredReader(lambda: own)
    return Bench(own, app, reader, StatsEngine(app, reader), days)


def fill(bench: Bench, events: int, today_events: int) -> None:
    """Insert the events, and have the server merge what it would have merged in a year."""
    connection = BlockConnection(bench.address)
    try:
        for _ in fill_year(connection, events, bench.days):
            pass
        if today_events:
            fill_today(connection, today_events)
    finally:
        connection.close()


def close_days(bench: Bench) -> float:
    """Close every day that is over, as the job does; microseconds of the server's CPU per event, merges not counted."""
    connection = MeasuredConnection(bench.address)
    nothing = SimpleNamespace(invalidate=lambda topic, session: None)
    services = cast(Services, SimpleNamespace(engine=bench.app, cache=nothing))
    closer = Closer(services, connection, lambda: time.time_ns() // 1_000_000, ClosingLimits(open_least_rows=1))
    try:
        with reading(bench.app) as session:
            groups = due_groups(session, Shard(), start_ms(TODAY))
        for group in groups:
            closer.close(group)
        sites = sorted({site_id for site_id, _ in closer.switched})
        MonthCloser(services, connection, closer.next_ms).close(sites)
        spent_us = connection.cpu_us
        _condense_today(services, closer)
        for table in ("sessions", "daily", "hourly", "vitals", "names"):
            connection.command(f"OPTIMIZE TABLE {table} FINAL")
        return spent_us / max(1, closer.rows)
    finally:
        connection.close()


def _condense_today(services: Services, closer: Closer) -> None:
    """As the job has it every quarter of an hour."""
    shown = SimpleNamespace(
        services=services,
        shard=Shard(),
        now_ms=lambda: NOW_MS,
        fence=lambda session: None,
        progress=lambda rows, message="": None,
    )
    condense_open_days(cast(JobContext, shown), closer, NOW_MS - CONDENSED_AGO_MS)


def closed_bytes(bench: Bench) -> float:
    """Bytes of the closed tables for each page view of the closed days."""
    connection = BlockConnection(bench.address)
    try:
        ((stored,),) = connection.select(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() "
            "AND table IN ('sessions', 'daily', 'hourly', 'vitals', 'names', 'closings')"
        )
        ((views,),) = connection.select("SELECT sum(pageviews) FROM daily WHERE dimension = 'total'")
        return int(stored) / max(1, int(views))
    finally:
        connection.close()


def quantile(values: Sequence[float], percent: int) -> float:
    """The value that this part of all does not exceed."""
    ranked = sorted(values)
    return ranked[max(0, -(-len(ranked) * percent // 100) - 1)]


def _spread(looks: Sequence[Look]) -> dict[str, object]:
    ms, cpu_ms = [look.ms for look in looks], [look.cpu_ms for look in looks]
    return {
        "median": round(statistics.median(ms), 1),
        "largest": round(max(ms), 1),
        "looks": len(looks),
        "cpu_ms_median": round(statistics.median(cpu_ms), 1),
        "cpu_ms_p95": round(quantile(cpu_ms, 95), 1),
        "load": round(os.getloadavg()[0], 1),
    }


def _result(name: str, value: float, unit: str, at_most: float, notes: dict[str, object]) -> Result:
    return Result(name, value, None, None, unit, Budget(at_most, "at_most"), (), notes)
