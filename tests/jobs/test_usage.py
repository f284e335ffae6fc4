"""Usage against a real event store: what is billable, late rows, sites that move, old periods, telling fronts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from clickhouse_driver import Client
from sqlalchemy import select, update

from jobs.job import CatchUp
from jobs.usage_run import meter
from server.app_database import read_version, reading, store_watermark, writing
from server.billing.period_rows import follow_periods
from server.billing.site_owners import note_move
from server.billing.usage import usage_of
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.clock import DAY_MS, HOUR_MS
from server.config import PlanLimits, Settings
from server.models import Mail, Site, UsageDay, UsagePeriod
from server.queries.usage import EventUsage
from server.services import Services, open_services
from tests.jobs.doubles import NOON_MS
from tests.jobs.one_job import World, go
from tests.server.accounts.people import make_owner, make_person
from tests.server.queries.traffic import event, store_with

_numbers = itertools.count(50_000)
NOVEMBER_MS = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * 1000


class Meter:
    """Two accounts with a site each, and the job."""

    def __init__(self, services: Services, client: Client, address: ClickHouseAddress) -> None:
        self.services, self.client, self.address = services, client, address
        make_owner(services)
        self.accounts = (1, make_person(services, "other@example.com")[1])
        self.sites = [self._site(account_id) for account_id in self.accounts]
        self.world = World(services.settings, services.engine)
        self.world.catch_up = CatchUp.LATEST
        self.world.function = lambda context: self._meter(context)
        self.runner = self.world.runner()
        # The job's own services have no mailer.
        self.runner._services = services
        self.runner.tick()

    def _site(self, account_id: int) -> int:
        number = next(_numbers)
        with writing(self.services.engine) as session:
            site = Site(
                public_id=str(number), domain=f"{number}.test", account_id=account_id, created_at_ms=NOVEMBER_MS
            )
            # Other tests have sites of the first numbers in the same event store.
            site.site_id = number
            session.add(site)
        return number

    def _meter(self, context: Any) -> int:
        connection = BlockConnection(self.address)
        try:
            return meter(context, EventUsage(connection))
        finally:
            connection.close()

    def run(self, *, minutes: int = 10) -> None:
        self.world.clock.advance(minutes * 60)
        (result,) = go(self.runner)
        assert result.error == ""

    def store(self, site: int, at_ms: int, count: int = 1, *, stored_at_ms: int | None = None, **fields: Any) -> None:
        """Rows, and what the ledger says of them."""
        batch_time = datetime.fromtimestamp((stored_at_ms or self.world.clock()) / 1000, UTC)
        each = {**event(time_ms=at_ms), **fields, "batch_time": batch_time}
        store_with(self.client, self.sites[site], [each] * count)
        hour = datetime.fromtimestamp(at_ms // HOUR_MS * 3600, UTC)
        ledger = (self.sites[site], hour, "accepted", count, batch_time)
        self.client.execute("INSERT INTO ledger (site_id, hour, outcome, count, batch_time) VALUES", [ledger])

    def counted(self) -> list[int]:
        with reading(self.services.engine) as session:
            return [usage_of(session, each, self.world.clock()).counted_events for each in self.accounts]

    def periods(self, account: int) -> list[tuple[int, int]]:
        theirs = UsagePeriod.account_id == self.accounts[account]
        with reading(self.services.engine) as session:
            rows = session.execute(select(UsagePeriod).where(theirs).order_by(UsagePeriod.starts_at_ms)).scalars()
            return [(row.counted_events, row.frozen_at_ms is not None) for row in rows]


@pytest.fixture
def metering(sqlite_settings: Settings, client: Client, address: ClickHouseAddress) -> Iterator[Meter]:
    services = open_services(sqlite_settings.model_copy(update={"plan_limits": PlanLimits.ON}))
    try:
        yield Meter(services, client, address)
    finally:
        services.close()


def test_billable_are_views_and_custom_events_that_came_as_hits(metering: Meter) -> None:
    metering.store(0, NOON_MS, 3)
    metering.store(0, NOON_MS - 3 * DAY_MS, 2, kind="custom", event_name="Buy")
    metering.store(0, NOON_MS, 4, sample_weight=10)  # what sampling kept: the others were dropped
    for kind in ("engagement", "vitals", "timings"):
        metering.store(0, NOON_MS, kind=kind)
    metering.store(0, NOON_MS, bot_reasons=4)
    metering.store(0, NOON_MS, import_id=7)
    metering.store(1, NOVEMBER_MS, 1)
    metering.store(1, NOVEMBER_MS - 1, 1)
    metering.run()
    assert metering.counted() == [9, 1]
    with reading(metering.services.engine) as session:
        days = session.execute(select(UsageDay.day, UsageDay.events).order_by(UsageDay.day)).all()
    assert [tuple(each) for each in days] == [("2026-11-01", 1), ("2026-11-20", 2), ("2026-11-23", 7)]


def test_late_rows_are_counted_and_deleted_ones_stay_counted(metering: Meter) -> None:
    metering.store(0, NOON_MS, 5)
    metering.run()
    metering.store(0, NOON_MS - 2 * DAY_MS, 2)
    metering.run()
    assert metering.counted()[0] == 7
    metering.client.execute(f"DELETE FROM events WHERE site_id = {metering.sites[0]}")
    metering.store(0, NOON_MS + 20 * 60_000, 1)
    metering.run()
    assert metering.counted()[0] == 7
    # A replay: its segment was opened long ago, and the daily look finds it.
    metering.store(0, NOON_MS - 3 * DAY_MS, 2, stored_at_ms=NOON_MS - 3 * DAY_MS)
    metering.run()
    assert metering.counted()[0] == 7
    metering.run(minutes=24 * 60)
    assert metering.counted()[0] == 9


def test_a_day_is_cut_where_a_period_begins_and_where_a_site_moves(metering: Meter) -> None:
    metering.run()
    for minutes in (0, 30, 60, 90):
        metering.store(0, NOON_MS + minutes * 60_000)
    metering.world.clock.advance(3600)
    moved_ms = NOON_MS + 60 * 60_000
    with writing(metering.services.engine) as session:
        session.execute(update(Site).where(Site.site_id == metering.sites[0]).values(account_id=metering.accounts[1]))
        note_move(session, metering.sites[0], *metering.accounts, moved_ms)
    metering.run(minutes=60)
    assert metering.counted() == [2, 2]


def test_old_periods_are_frozen_once_the_watermark_has_passed_them(metering: Meter) -> None:
    metering.store(0, NOON_MS, 2)
    metering.run()
    # A machine has hits of November that it cannot store.
    store_watermark(metering.services.engine, "home", "spool", [], NOON_MS, NOON_MS)
    metering.run(minutes=24 * 60 * 25)
    assert metering.periods(0) == [(2, False), (0, False)]
    metering.store(0, NOON_MS, 1)
    store_watermark(metering.services.engine, "home", "spool", [], metering.world.clock(), metering.world.clock())
    metering.run(minutes=24 * 60)
    assert metering.periods(0) == [(3, True), (0, False)]
    metering.store(0, NOON_MS, 1)
    metering.run()
    assert metering.periods(0)[0] == (3, True)


def test_who_is_over_is_told_and_fronts_hear_of_it(metering: Meter) -> None:
    metering.run()
    with writing(metering.services.engine) as session:
        row = follow_periods(session, 1, metering.world.clock())
        day = {"day": "2026-11-02", "from_ms": NOVEMBER_MS, "until_ms": NOVEMBER_MS + DAY_MS}
        session.add(UsageDay(period_id=row.period_id, site_id=1, events=99_999, **day))
        version = read_version(session)
    metering.store(0, NOON_MS)
    metering.run()
    assert metering.counted()[0] == 100_000
    with reading(metering.services.engine) as session:
        assert session.execute(select(Mail.template)).scalars().all() == ["capacity_depleted"]
        assert read_version(session) == version + 1
    metering.run()
    with reading(metering.services.engine) as session:
        assert len(session.execute(select(Mail.template)).scalars().all()) == 1


def test_where_plans_limit_nobody_usage_is_counted_all_the_same(metering: Meter) -> None:
    object.__setattr__(metering.services.settings, "plan_limits", PlanLimits.OFF)
    metering.run()
    with writing(metering.services.engine) as session:
        row = follow_periods(session, 1, metering.world.clock())
        day = {"day": "2026-11-02", "from_ms": NOVEMBER_MS, "until_ms": NOVEMBER_MS + DAY_MS}
        session.add(UsageDay(period_id=row.period_id, site_id=1, events=99_999, **day))
    metering.store(0, NOON_MS)
    metering.run()
    assert metering.counted()[0] == 100_000
    with reading(metering.services.engine) as session:
        assert session.execute(select(Mail.template)).scalars().all() == []
