"""Retention by plan in a real ClickHouse: figures stay, rows expire when they should, cuts cost nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from clickhouse_driver import Client
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from jobs.context import JobContext
from jobs.job import Job, Shard
from jobs.limits import JobLimits
from jobs.retention_run import WAIT_MS, apply_retention
from jobs.runner import JobRunner, Piece, Result
from jobs.schedule import JOBS
from server.app_database import reading, store_watermark, writing
from server.audit import audit
from server.billing.plan_changes import Reason, change_plan
from server.billing.plans import BASIC, FREE, PREMIUM, Plan
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.clock import DAY_MS
from server.closed_days import version_of
from server.closed_months import CLAIMED, last_date, month_of, month_version_of
from server.config import Settings
from server.models import ClosedMonth, Import, RetentionMove, RetentionWait, Site
from server.quarantine import Quarantine
from server.retention_moves import is_shorter
from server.services import open_services
from server.sites import add_site
from tests.jobs.doubles import Clock
from tests.server.accounts.people import make_owner

_numbers = itertools.count(90_000)
CLOSED = ("daily", "hourly", "sessions", "vitals")


class Stopped(BaseException):
    """The process ends here and now."""


class Shop:
    """One account with sites whose plan changes, and the job."""

    def __init__(self, settings: Settings, address: ClickHouseAddress, client: Client) -> None:
        billing = {"stripe_secret_key": "sk_test_x", "stripe_webhook_secret": "whsec_x"}
        self.services = open_services(settings.model_copy(update=billing))
        self.settings, self.engine = self.services.settings, self.services.engine
        self.address, self.client = address, client
        self.clock = Clock(self.services.tasks.now_ms())
        make_owner(self.services)
        (job,) = [job for job in JOBS if job.name == "retention"]
        self.job = Job(**{**vars(job), "function": self._run})
        self.stop_at = self.steps = 0
        self.at_step: Callable[[], None] = lambda: None
        self.site_id = self.site("shop.example")

    def site(self, domain: str) -> int:
        """A site with a number of its own in the shared store."""
        made, number = add_site(self.engine, domain, account_id=1).site_id, next(_numbers)
        with writing(self.engine) as session:
            session.execute(update(Site).where(Site.site_id == made).values(site_id=number))
        return number

    def store(self, site_id: int, days_ago: int, rows: int = 10, retention_class: int = 1) -> None:
        """Hits of that day, what a closing made of them, and their lines of the ledger."""
        at_s = (self.clock.now_ms - days_ago * DAY_MS) // 1000
        batch = f"{site_id}-{days_ago}-{retention_class}"
        values = {"site": site_id, "at": at_s, "rows": rows, "class": retention_class, "batch": batch}
        values["version"] = version_of(at_s * 1000, _day(at_s), has_values=True)
        self.client.execute(
            "INSERT INTO events (site_id, hour, time, kind, visitor_id, retention_class, batch_time, batch_id) "
            "SELECT %(site)s, toStartOfHour(toDateTime(%(at)s, 'UTC')), toDateTime(%(at)s, 'UTC'), 'pageview', number, "
            "%(class)s, toDateTime(%(at)s, 'UTC'), %(batch)s FROM numbers(%(rows)s)",
            values,
        )
        self.client.execute(
            "INSERT INTO ledger (site_id, hour, outcome, count, batch_time, batch_id) "
            "SELECT %(site)s, toStartOfHour(toDateTime(%(at)s, 'UTC')), 'accepted', %(rows)s, "
            "toDateTime(%(at)s, 'UTC'), %(batch)s",
            values,
        )
        for table in CLOSED:
            self.client.execute(
                f"INSERT INTO {table} (site_id, day, version, retention_class) SELECT %(site)s, "
                "toDate(toDateTime(%(at)s, 'UTC')), %(version)s, %(class)s FROM numbers(3)",
                values,
            )

    def classes(self, site_id: int = 0) -> dict[str, dict[int, int]]:
        """Rows of each table by their class."""
        found = {}
        for table in ("events", *CLOSED):
            rows = self.client.execute(
                f"SELECT retention_class, count() FROM {table} WHERE site_id = {site_id or self.site_id} "
                "GROUP BY retention_class"
            )
            found[table] = dict(rows)
        return found

    def whole(self, rows: int, closed: int, retention_class: int) -> dict[str, dict[int, int]]:
        """All rows are in one class."""
        return {"events": {retention_class: rows}, **{table: {retention_class: closed} for table in CLOSED}}

    def change(self, plan: Plan) -> None:
        with writing(self.engine) as session:
            change_plan(session, self.services, 1, plan, Reason.STAFF, self.clock.now_ms)

    def class_of_site(self) -> int:
        with reading(self.engine) as session:
            return session.get_one(Site, self.site_id).retention_class

    def run(self) -> Result:
        """Run the job at its next due time, everything of the past stored."""
        self.clock.now_ms = self.job.due_after(self.clock.now_ms)
        return self.run_now()

    def run_now(self) -> Result:
        """Run it without waiting."""
        store_watermark(self.engine, "home", "spool", [], self.clock.now_ms, self.clock.now_ms)
        runner = JobRunner(
            self.services,
            [self.job],
            limits=JobLimits(progress_interval_ms=0, record_pause_s=0),
            clock=self.clock,
            pause=lambda seconds: None,
            has_heartbeat=False,
        )
        result = runner.run_at(Piece(self.job, Shard()), self.clock.now_ms)
        assert result is not None
        return result

    def _run(self, context: JobContext) -> int:
        progress, fence = context.progress, context.fence

        def step() -> None:
            self.steps += 1
            if self.steps == self.stop_at:
                raise Stopped

        def observed(rows: int, message: str = "") -> None:
            progress(rows, message)
            if not message.startswith("changing"):
                step()
                self.at_step()

        def fenced(session: Session) -> None:
            fence(session)
            step()

        context.progress, context.fence = observed, fenced  # type: ignore[method-assign]
        with closing(BlockConnection(self.address)) as connection:
            return apply_retention(context, [connection])

    def problems(self) -> list[str]:
        """What the audit says of this site."""
        with reading(self.engine) as session:
            switching = select(RetentionMove).where(RetentionMove.state == "switching")
            moves = list(session.execute(switching.where(RetentionMove.store_table == "events")).scalars())
        with closing(BlockConnection(self.address)) as connection:
            quarantine = Quarantine(self.settings.quarantine_dir)
            report = audit(connection, self.settings.spool_root, quarantine, moves=moves)
        return [problem for problem in report.problems if str(self.site_id) in problem]

    def count(self, model: Any) -> int:
        with reading(self.engine) as session:
            return len(session.execute(select(model)).all())


def _day(at_s: int) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_s, UTC).date()


@pytest.fixture
def shop(sqlite_settings: Settings, address: ClickHouseAddress, client: Client) -> Iterator[Shop]:
    made = Shop(sqlite_settings, address, client)
    yield made
    made.services.close()


def test_a_greater_plan_keeps_what_is_there_longer_at_once(shop: Shop) -> None:
    other = shop.site("other.example")
    for days_ago in (2, 40, 80):
        shop.store(shop.site_id, days_ago)
    shop.store(other, 40, retention_class=2)
    shop.change(BASIC)
    assert shop.class_of_site() == 2, "new hits carry it from now on"
    assert shop.run().rows == 30 + 9 * len(CLOSED)
    assert shop.classes() == shop.whole(30, 9, 2)
    assert shop.classes(other) == shop.whole(10, 3, 2)
    assert shop.problems() == []
    assert shop.run().rows == 0
    masked = shop.client.execute(
        "SELECT count() FROM system.parts WHERE database = currentDatabase() AND active AND has_lightweight_delete"
    )
    assert masked == [(0,)], "what was moved is still on the disk where it was"
    staging = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE '%moving'"
    assert shop.client.execute(staging) == [(0,)]


def test_sums_of_months_move_with_their_days(shop: Shop) -> None:
    """And what is being summed is begun anew, because its days are away for a moment."""
    shop.store(shop.site_id, 40)
    at_ms = shop.clock.now_ms - 40 * DAY_MS
    month = month_of(_day(at_ms // 1000))
    young, old = (month_version_of(shop.clock.now_ms - age_ms, month) for age_ms in (-DAY_MS, 2 * DAY_MS))
    with writing(shop.engine) as session:
        session.add(ClosedMonth(site_id=shop.site_id, month=month.isoformat(), version=old, days_digest="x"))
        session.add(ClosedMonth(site_id=shop.site_id, month="2020-01-01", version=young, days_digest=CLAIMED))
    for version in (young, old):
        shop.client.execute(
            "INSERT INTO daily (site_id, dimension, day, version, retention_class) VALUES",
            [(shop.site_id, "path", last_date(month), version, 1)],
        )
    shop.change(BASIC)
    assert shop.run().rows == 10 + 3 * len(CLOSED) + 1
    rows = f"SELECT version FROM daily WHERE site_id = {shop.site_id} AND retention_class = "
    assert shop.client.execute(rows + "1") == [(young,)], "somebody may still be writing it"
    assert (old,) in shop.client.execute(rows + "2")
    with reading(shop.engine) as session:
        assert session.execute(select(ClosedMonth.version)).scalars().all() == [old]


def test_a_lesser_plan_waits_for_30_days_and_then_old_rows_expire(shop: Shop) -> None:
    shop.change(PREMIUM)
    shop.store(shop.site_id, 20, retention_class=3)
    shop.store(shop.site_id, 700, retention_class=3)
    shop.change(FREE)
    assert shop.run().rows == 0
    assert (shop.class_of_site(), shop.count(RetentionWait)) == (3, 1)
    shop.clock.now_ms += WAIT_MS - 3 * DAY_MS
    assert shop.run().rows == 0
    assert shop.classes() == shop.whole(20, 6, 3)
    shop.clock.now_ms += 3 * DAY_MS
    assert shop.run().rows == 20 + 6 * len(CLOSED)
    assert (shop.class_of_site(), shop.count(RetentionWait)) == (1, 0)
    for table in ("events", *CLOSED):
        shop.client.execute(f"OPTIMIZE TABLE {table} FINAL")
    assert shop.classes() == shop.whole(10, 3, 1), "rows of two years ago are past the lesser plan's time"
    assert shop.problems() == []


def test_who_comes_back_in_time_has_lost_nothing(shop: Shop) -> None:
    shop.change(PREMIUM)
    shop.store(shop.site_id, 700, retention_class=3)
    shop.change(BASIC)
    shop.run()
    shop.clock.now_ms += 20 * DAY_MS
    shop.change(PREMIUM)
    shop.run()
    assert shop.count(RetentionWait) == 0
    shop.change(BASIC)
    shop.run()
    shop.clock.now_ms += 20 * DAY_MS
    assert shop.run().rows == 0, "the wait began anew"
    assert shop.class_of_site() == 3


def test_what_is_still_being_written_to_is_left_alone(shop: Shop) -> None:
    shop.store(shop.site_id, 0)
    late = shop.site("late.example")
    shop.store(late, 10)
    shop.change(BASIC)
    with writing(shop.engine) as session:
        upload = Import(site_id=late, kind="umami", state="running", file_name="x", content_hash="x", created_at_ms=1)
        session.add(upload)
    shop.clock.now_ms -= DAY_MS
    assert shop.run().rows == 0, "no batch is before the watermark, and no closing is old enough"
    shop.clock.now_ms += DAY_MS
    assert shop.run().rows == 10 + 3 * len(CLOSED)
    assert shop.classes(late) == shop.whole(10, 3, 1), "an import is under way"


def test_a_move_that_is_cut_at_any_step_is_completed(shop: Shop) -> None:
    for days_ago in (2, 40):
        shop.store(shop.site_id, days_ago)
    shop.change(BASIC)
    cuts = 0
    while True:
        shop.steps, shop.stop_at = 0, cuts % 9 + 1
        try:
            shop.run()
        except Stopped:
            cuts += 1
            assert shop.problems() == [], f"after cut {cuts}"
            continue
        if shop.classes() == shop.whole(20, 6, 2):
            break
    assert cuts > 9
    assert shop.problems() == []
    assert shop.count(RetentionMove) == 0


def test_a_site_that_is_kept_for_ever_stays_so(shop: Shop) -> None:
    with writing(shop.engine) as session:
        session.get_one(Site, shop.site_id).retention_class = 0
    shop.store(shop.site_id, 10, retention_class=0)
    shop.change(BASIC)
    assert shop.run().rows == 0
    assert shop.class_of_site() == 0
    assert (is_shorter(1, 2), is_shorter(0, 3), is_shorter(3, 0), is_shorter(2, 2)) == (True, False, True, False)
