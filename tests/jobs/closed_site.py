"""Sites whose days are closed in tests: events in a real ClickHouse, rows in an app database, and what is read."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from clickhouse_driver import Client
from sqlalchemy import update

from jobs.closing_chunk import ClosingLimits
from jobs.closing_run import close_due
from jobs.context import JobContext
from jobs.job import CatchUp
from jobs.rebuild import rebuild
from server.app_database import reading, store_watermark, writing
from server.audit import ACCEPTED_LABEL
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.closed_days import closed_versions
from server.migrate import SchemaForm
from server.models import ClosedDay, Site
from server.queries.closed_tables import COMPONENTS, HOURLY_COMPONENTS
from server.queries.closing_store import ClosingStore
from server.queries.metrics import VITALS
from server.queries.periods import SiteCalendar
from tests.jobs.doubles import services_of
from tests.jobs.one_job import World, go
from tests.reference.closed_figures import OF_LOAD, Figures
from tests.server.queries.traffic import Event, store_with

KEYS = [vital.key for vital in VITALS]
YEAR_MS = 366 * 24 * 3_600_000
DAY = timedelta(days=1)
_years = itertools.count()
_numbers = itertools.count(1_000)


class Answers:
    """Takes the place of the cache: writes down what was invalidated."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def invalidate(self, topic: str, session: Any = None) -> None:
        self.topics.append(topic)


@dataclass
class ClosedSites:
    """Some sites of one zone that exist from `first` to `last`. `interrupt` is called with each step of a closing."""

    world: World
    address: ClickHouseAddress
    client: Client
    zone: str
    first: date
    last: date
    limits: ClosingLimits = field(default_factory=lambda: ClosingLimits(least_events=1))
    count: int = 1
    interrupt: Callable[[str], None] = lambda step: None
    answers: Answers = field(default_factory=Answers)

    def __post_init__(self) -> None:
        self.calendar = SiteCalendar.of(self.zone)
        with writing(self.world.engine) as session:
            # Those of earlier examples.
            session.execute(update(Site).values(state="destroyed"))
            sites = [
                Site(
                    public_id=f"closed-{number}",
                    domain=f"closed-{number}.test",
                    timezone=self.zone,
                    created_at_ms=self.calendar.start_ms(self.first),
                )
                for number in (next(_numbers) for _ in range(self.count))
            ]
            session.add_all(sites)
            session.flush()
            # Sites of other tests, whose app databases began anew, are in the same ClickHouse.
            for site in sites:
                session.execute(update(Site).where(Site.site_id == site.site_id).values(site_id=next(_numbers)))
            session.expire_all()
            self.site_ids = [site.site_id for site in session.query(Site).filter(Site.state != "destroyed")]
        # The jobs' clock only goes forward; how far events are complete is the watermark's to say.
        self.world.catch_up = CatchUp.LATEST
        self.world.clock.now_ms = self.calendar.start_ms(self.last + DAY) + next(_years) * YEAR_MS
        self.world.runner().tick()
        self.complete_until(self.last + DAY)
        self.world.function = self._run

    @property
    def site_id(self) -> int:
        """The first of them."""
        return self.site_ids[0]

    def complete_until(self, day: date) -> None:
        """Everything before this day is stored."""
        self.complete_until_ms(self.calendar.start_ms(day))

    def complete_until_ms(self, at_ms: int) -> None:
        """Everything before this time is stored."""
        store_watermark(self.world.engine, "home", "spool", [], at_ms, self.world.clock.now_ms)

    def store(self, events: Sequence[Event], site_id: int = 0) -> None:
        """Insert events."""
        store_with(self.client, site_id or self.site_id, events)

    def note_hits(self, at_ms: int) -> None:
        """A batch of the present was stored with a hit of that time."""
        self.client.execute(
            "INSERT INTO ledger (site_id, hour, outcome, count, batch_time, batch_id) SELECT %(site)s, "
            "toDateTime(%(hour_s)s, 'UTC'), %(accepted)s, 1, toDateTime(%(now_s)s, 'UTC'), 'late'",
            {
                "site": self.site_id,
                "hour_s": at_ms // 3_600_000 * 3_600,
                "accepted": ACCEPTED_LABEL,
                "now_s": self.world.clock.now_ms // 1000,
            },
        )

    def close(self) -> list[str]:
        """Run the job at its next due time. Returns how its runs ended."""
        self.world.clock.advance(600)
        return [str(result.outcome) for result in go(self.world.runner())]

    def rebuild(self, days: list[date]) -> int:
        """Close these days again, as `footfall rebuild`; how many were."""
        services = services_of(self.world.engine, self.world.settings, self.world.alerts, cache=self.answers)
        with reading(self.world.engine) as session:
            site = session.get_one(Site, self.site_id)
            session.expunge(site)
        connection = BlockConnection(self.address)
        try:
            return rebuild(services, connection, site, days, self.world.clock)
        finally:
            connection.close()

    def _run(self, context: JobContext) -> int:
        connection = BlockConnection(self.address)
        services = context.services
        services.__dict__["cache"] = self.answers
        progress = context.progress

        def observed(rows: int, message: str = "") -> None:
            progress(rows, message)
            self.interrupt(message)

        context.progress = observed  # type: ignore[method-assign]
        try:
            return close_due(context, ClosingStore(connection, SchemaForm()), self.limits)
        finally:
            connection.close()

    # -- what is read --------------------------------------------------------------------------------------------

    def versions(self, site_id: int = 0) -> dict[date, int]:
        """The versions that readers use."""
        with reading(self.world.engine) as session:
            return closed_versions(session, site_id or self.site_id, date.min, date.max)

    def rows(self, site_id: int = 0) -> dict[date, ClosedDay]:
        """`closed_days`."""
        with reading(self.world.engine) as session:
            found = session.query(ClosedDay).filter(ClosedDay.site_id == (site_id or self.site_id)).all()
            session.expunge_all()
        return {date.fromisoformat(row.day): row for row in found}

    def _select(self, columns: str, table: str, site_id: int, more_versions: Sequence[int] = ()) -> list[Any]:
        versions = [0, *self.versions(site_id).values(), *more_versions]
        rows: list[Any] = self.client.execute(
            f"SELECT {columns} FROM {table} WHERE site_id = {site_id} AND version IN {versions}"
        )
        return rows

    def names(self, site_id: int) -> dict[int, str]:
        """Paths by number."""
        rows = self.client.execute(f"SELECT name_id, name FROM names WHERE site_id = {site_id}")
        return {1: "", **dict(rows)}

    def daily(self, site_id: int = 0, more_versions: Sequence[int] = ()) -> Figures:
        """All of `daily` that readers see."""
        site_id = site_id or self.site_id
        names = self.names(site_id)
        columns = f"day, toString(dimension), toString(value), value_id, toString(currency), {', '.join(COMPONENTS)}"
        found: Figures = defaultdict(Counter)
        for day, dimension, value, value_id, currency, *row in self._select(columns, "daily", site_id, more_versions):
            value = names[value_id] if value_id else value
            found[day, dimension, value, currency].update(dict(zip(COMPONENTS, row, strict=True)))
        return found

    def hourly(self, site_id: int = 0) -> dict[tuple[date, int], Counter[str]]:
        """All of `hourly` that readers see."""
        columns = f"day, toUnixTimestamp(starts_at) * 1000, {', '.join(HOURLY_COMPONENTS)}"
        rows = self._select(columns, "hourly", site_id or self.site_id)
        return {(day, at_ms): Counter(dict(zip(HOURLY_COMPONENTS, row, strict=True))) for day, at_ms, *row in rows}

    def vitals(self, site_id: int = 0) -> Counter[tuple[Any, ...]]:
        """All of `vitals` that readers see."""
        site_id = site_id or self.site_id
        names = self.names(site_id)
        known = ", ".join(f"toString({name})" for name in (*OF_LOAD, "screen_class"))
        rows = self._select(f"day, page_id, ({known}), weight, ({', '.join(KEYS)})", "vitals", site_id)
        return Counter((day, names[page_id], *rest) for day, page_id, *rest in rows)


def without_zeros(figures: dict[Any, Counter[str]]) -> dict[Any, dict[str, int]]:
    """Figures as they compare: what is 0 is left out, and so is a value of which everything is 0."""
    shown = {key: {name: number for name, number in sums.items() if number} for key, sums in figures.items()}
    return {key: sums for key, sums in shown.items() if sums}
