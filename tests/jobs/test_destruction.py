"""Destroying what is due, in a real ClickHouse: nothing of it is left, nothing else goes, however often it is cut."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from clickhouse_driver import Client
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from jobs.context import JobContext
from jobs.destruction_run import destroy_due
from jobs.job import Job, Shard
from jobs.limits import JobLimits
from jobs.runner import JobRunner, Piece, Result
from jobs.schedule import JOBS
from server.accounts.deletion import APPROVED_AFTER_MS, DESTROYED_AFTER_MS, request_deletion, take_back
from server.accounts.keys import add_api_key
from server.alerts import AlertKind
from server.app_database import reading, store_watermark, writing
from server.audit import audit
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.clock import DAY_MS, HOUR_MS
from server.config import Settings
from server.migrate import SchemaForm
from server.models import (
    Account,
    AuditEntry,
    Base,
    ClosedDay,
    DeletionRequest,
    Goal,
    Import,
    MemberRole,
    Membership,
    Segment,
    Site,
    User,
)
from server.quarantine import Quarantine
from server.queries.closing_store import ClosingStore
from server.services import open_services
from server.site_deletion import DELETION_GRACE_MS, delete_site, restore_site
from server.site_destruction import tables_about
from server.sites import add_site, find_site
from tests.jobs.doubles import AlertBook, Clock
from tests.server.accounts.people import add_member, mails_to, make_owner, make_person
from tests.server.segments import write_segment

SECRET = "/a-path-nobody-else-has"
_numbers = itertools.count(70_000)


class Stopped(BaseException):
    """The process ends here and now."""


class House:
    """An installation with two accounts, and a job that runs when its clock says so."""

    def __init__(self, settings: Settings, address: ClickHouseAddress, client: Client) -> None:
        self.services = open_services(settings)
        self.address, self.client = address, client
        self.settings, self.engine = settings, self.services.engine
        self.clock, self.alerts = Clock(), AlertBook()
        self.stop_at = 0
        self.steps = 0
        self.staff = make_owner(self.services)
        self.user, self.account = make_person(self.services, "only@example.com", "Only")
        (job,) = [job for job in JOBS if job.name == "destruction"]
        self.job = Job(**{**vars(job), "function": self._run})
        # An owner's rows are of the present; the jobs' clock begins there.
        self.clock.now_ms = self.services.tasks.now_ms()

    def site(self, domain: str, account_id: int, rows: int = 20) -> int:
        """A site with a number of its own in the shared store, and rows in every table that has sites."""
        site_id = add_site(self.engine, domain, account_id=account_id).site_id
        number = next(_numbers)
        with writing(self.engine) as session:
            session.execute(update(Site).where(Site.site_id == site_id).values(site_id=number))
        self.store(number, rows)
        for (table,) in self.client.execute(
            "SELECT DISTINCT table FROM system.columns WHERE database = currentDatabase() AND name = 'site_id' "
            "AND table NOT IN ('events', 'ledger')"
        ):
            self.client.execute(f"INSERT INTO {table} (site_id) VALUES", [(number,)])
        return number

    def store(self, site_id: int, rows: int, batch_id: str = "") -> None:
        now_s = self.clock.now_ms // 1000 - 100
        batch = batch_id or os.urandom(16).hex()
        self.client.execute(
            "INSERT INTO events (site_id, hour, time, kind, path, retention_class, batch_time, batch_id) "
            "SELECT %(site)s, "
            "toStartOfHour(toDateTime(%(now)s, 'UTC') - number * 86400), toDateTime(%(now)s, 'UTC') - number * 86400, "
            "'pageview', %(path)s, 1, toDateTime(%(now)s, 'UTC'), %(batch)s FROM numbers(%(rows)s)",
            {"site": site_id, "now": now_s, "path": f"{SECRET}/{site_id}", "batch": batch, "rows": rows},
        )
        self.client.execute(
            "INSERT INTO ledger (site_id, hour, outcome, bot_reasons, count, batch_time, batch_id) "
            "SELECT site_id, hour, 'accepted', 0, count(), batch_time, batch_id FROM events "
            "WHERE site_id = %(site)s AND batch_id = %(batch)s "
            "GROUP BY site_id, hour, batch_time, batch_id",
            {"site": site_id, "batch": batch},
        )

    def rows(self, site_id: int) -> dict[str, int]:
        """Rows in each table but the ledger."""
        tables = self.client.execute(
            "SELECT DISTINCT table FROM system.columns WHERE database = currentDatabase() AND name = 'site_id' "
            "AND table != 'ledger' ORDER BY table"
        )
        return {
            table: self.client.execute(f"SELECT count() FROM {table} WHERE site_id = {site_id}")[0][0]
            for (table,) in tables
        }

    def run(self) -> Result:
        """Run the job at its next due time."""
        self.clock.now_ms = self.job.due_after(self.clock.now_ms)
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
        context.services.__dict__["alerts"] = self.alerts
        progress, fence = context.progress, context.fence

        def step() -> None:
            self.steps += 1
            if self.steps == self.stop_at:
                raise Stopped

        def observed(rows: int, message: str = "") -> None:
            progress(rows, message)
            step()

        def fenced(session: Session) -> None:
            fence(session)
            # Dies with its transaction, which is rolled back, or right after it.
            step()
            event.listen(session, "after_commit", lambda _: step(), once=True)

        context.progress, context.fence = observed, fenced  # type: ignore[method-assign]
        with closing(BlockConnection(self.address)) as connection:
            return destroy_due(context, ClosingStore(connection, SchemaForm()), pause=lambda seconds: None)

    def problems(self) -> list[str]:
        """What the audit says of the sites of this house."""
        with closing(BlockConnection(self.address)) as connection:
            report = audit(connection, self.settings.spool_root, Quarantine(self.settings.quarantine_dir))
        return report.problems

    def read(self, statement: Any) -> list[Any]:
        with reading(self.engine) as session:
            return list(session.execute(statement).scalars())


@pytest.fixture
def house(sqlite_settings: Settings, address: ClickHouseAddress, client: Client) -> Iterator[House]:
    made = House(sqlite_settings, address, client)
    yield made
    made.services.close()


def count_in_app(house: House, word: str) -> list[str]:
    """Tables of the app database, but the log, in which a text is."""
    tables = [table for table in Base.metadata.sorted_tables if table.name != "audit_log"]
    with reading(house.engine) as session:
        return [table.name for table in tables if any(word in str(row) for row in session.execute(select(table)))]


def on_disk(client: Client, word: str) -> list[str]:
    """Columns of active parts in which a text is, in rows that were deleted too."""
    tables = client.execute(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND type LIKE '%String%' "
        "AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree')"
    )
    return [
        f"{table}.{name}"
        for table, name in tables
        if client.execute(
            f"SELECT count() FROM {table} WHERE position(toString(`{name}`), %(word)s) > 0 SETTINGS "
            "apply_deleted_mask = 0",
            {"word": word},
        )[0][0]
    ]


def test_a_site_is_destroyed_when_its_grace_is_over(house: House) -> None:
    gone, stays = house.site("gone.example", 1), house.site("stays.example", 1)
    with writing(house.engine) as session:
        session.add(Goal(site_id=gone, display_name="Sign-up", kind="event", created_at_ms=1))
        session.add(ClosedDay(site_id=gone, day="2026-10-31", version=1, starts_at_ms=1, ends_at_ms=2, closed_at_ms=3))
        upload = Import(site_id=gone, kind="umami", state="failed", file_name="x", content_hash="x", created_at_ms=1)
        session.add(upload)
    kept = house.rows(stays)
    delete_site(house.services, gone, "gone.example", 1)
    house.clock.now_ms += DELETION_GRACE_MS - 2 * HOUR_MS
    assert house.run().rows == 0
    assert house.rows(gone)["events"] == 20
    house.clock.now_ms += 2 * HOUR_MS
    store_watermark(house.engine, "home", "spool", [], house.clock.now_ms, house.clock.now_ms)
    held_up = house.run()
    assert held_up.outcome == "failed"
    assert "HitsUnderWay" in held_up.error, "hits of then may still be in a spool"
    with pytest.raises(LookupError):
        restore_site(house.services, gone, 1)
    store_watermark(house.engine, "home", "spool", [], house.clock.now_ms + DAY_MS, house.clock.now_ms)
    assert house.run().rows == 1
    assert set(house.rows(gone).values()) == {0}
    assert house.rows(stays) == kept
    assert on_disk(house.client, f"{SECRET}/{gone}") == []
    assert on_disk(house.client, f"{SECRET}/{stays}") == ["events.path"]
    assert house.problems() == []
    assert (house.read(select(Goal)), house.read(select(ClosedDay)), house.read(select(Import))) == ([], [], [])
    assert count_in_app(house, "gone.example") == []
    assert add_site(house.engine, "gone.example", account_id=1).site_id != gone
    (entry,) = house.read(select(AuditEntry).where(AuditEntry.action == "site.destroyed"))
    assert (entry.target, entry.detail) == ("gone.example", {"backups_until": ""})
    assert house.run().rows == 0


def test_rows_that_come_late_are_destroyed_too(house: House) -> None:
    gone = house.site("gone.example", 1)
    delete_site(house.services, gone, "gone.example", 1)
    house.clock.now_ms += DELETION_GRACE_MS + HOUR_MS
    assert house.run().rows == 1
    house.store(gone, 3)
    house.client.execute("INSERT INTO daily (site_id) VALUES", [(gone,)])
    assert house.problems() == []
    assert house.run().rows == 1
    assert set(house.rows(gone).values()) == {0}
    assert house.problems() == []
    assert house.run().rows == 0


def test_nothing_of_a_destroyed_site_is_left_in_quarantine(house: House) -> None:
    gone, stays = house.site("gone.example", 1), house.site("stays.example", 1)
    quarantine = Quarantine(house.settings.quarantine_dir)
    segment = write_segment(house.settings.data_dir / "x", 10, 4, site_ids=(gone, stays))
    kept = quarantine.keep_segment(segment.path, reason="x", error="y", records=14)
    segment.path.unlink()
    broken = write_segment(house.settings.data_dir / "x", 4, 0, site_ids=(gone,))
    damage = quarantine.keep_damage(broken.path, [(64, 300)], reason="x", records=2)
    broken.path.unlink()
    with closing(BlockConnection(house.address)) as connection:
        before = audit(connection, house.settings.spool_root, quarantine)
    pages = kept.read_bytes().count(b"example.com")
    delete_site(house.services, gone, "gone.example", 1)
    house.clock.now_ms += DELETION_GRACE_MS + HOUR_MS
    assert house.run().rows == 1
    with closing(BlockConnection(house.address)) as connection:
        after = audit(connection, house.settings.spool_root, quarantine)
    assert (after.answered, after.in_quarantine) == (before.answered, before.in_quarantine)
    in_quarantine = {site.site_id: site.in_quarantine for site in after.sites}
    assert in_quarantine[gone] == {"blocked": 5, "bot": 2}
    assert in_quarantine[stays] == {"accepted": 5, "bot": 2}
    assert (pages, kept.read_bytes().count(b"example.com"), damage.read_bytes()) == (10, 5, b"")


@pytest.fixture
def leaving(house: House) -> Callable[[], tuple[int, int]]:
    """An account with two sites, whose owner asked for its end; one more site is of another account."""

    def make() -> tuple[int, int]:
        mine, other = house.site("mine.example", house.account), house.site("other.example", 1)
        add_api_key(house.engine, "mine", house.account)
        elsewhere = add_member(house.services, house.account, "elsewhere@example.com", MemberRole.VIEWER)
        with writing(house.engine) as session:
            session.add(Segment(site_id=mine, name="x", created_by_user_id=elsewhere, created_at_ms=1))
            request_deletion(session, house.services, house.account, house.user, "", house.clock.now_ms)
        return mine, other

    return make


def assert_gone(house: House, mine: int, other: int) -> None:
    assert set(house.rows(mine).values()) == {0}
    assert house.rows(other)["events"] == 20
    assert house.problems() == []
    (request,) = house.read(select(DeletionRequest))
    assert request.destroyed_at_ms
    assert [site.state for site in house.read(select(Site).order_by(Site.site_id))] == ["destroyed", "active"]
    assert house.read(select(Account.state).order_by(Account.account_id)) == ["active", "destroyed", "active"]
    people = house.read(select(User.email).order_by(User.user_id))
    assert people == ["owner@example.com", "elsewhere@example.com"], "who belongs elsewhere stays"
    assert house.read(select(Membership.account_id).where(Membership.account_id == house.account)) == []
    for word in ("mine.example", "Only"):
        assert set(count_in_app(house, word)) <= {"mails"}, word
    assert [alert for alert in house.alerts.raised if alert.kind is AlertKind.DESTRUCTION_LATE] == []
    destroyed = house.read(select(AuditEntry.action).where(AuditEntry.action == "account.destroyed"))
    assert len(destroyed) == 1


def test_an_owners_request_is_carried_out_without_anybody(house: House, leaving: Callable[[], tuple[int, int]]) -> None:
    mine, other = leaving()
    house.clock.now_ms += APPROVED_AFTER_MS - 2 * HOUR_MS
    assert house.run().rows == 0
    assert find_site(house.engine, "mine.example").state == "active"  # type: ignore[union-attr]
    house.clock.now_ms += 2 * HOUR_MS
    house.run()
    assert find_site(house.engine, "mine.example").state == "deleting"  # type: ignore[union-attr]
    house.clock.now_ms += DESTROYED_AFTER_MS
    assert house.run().rows == 1
    assert_gone(house, mine, other)
    subjects = [mail.subject for mail in mails_to(house.services, "only@example.com")]
    assert subjects == ["The account Only is gone"], "earlier mails are gone with it"
    assert house.run().rows == 0


def test_what_an_owner_took_back_is_not_destroyed(house: House, leaving: Callable[[], tuple[int, int]]) -> None:
    mine, _ = leaving()
    house.clock.now_ms += APPROVED_AFTER_MS
    house.run()
    with writing(house.engine) as session:
        take_back(session, house.services, house.account, house.user, house.clock.now_ms)
    house.clock.now_ms += 5 * DAY_MS
    assert house.run().rows == 0
    assert house.rows(mine)["events"] == 20
    assert house.read(select(Account.state).where(Account.account_id == house.account)) == ["active"]


def test_a_destruction_that_is_cut_at_any_step_is_completed(
    house: House, leaving: Callable[[], tuple[int, int]]
) -> None:
    mine, other = leaving()
    house.clock.now_ms += APPROVED_AFTER_MS
    house.run()
    house.clock.now_ms += DESTROYED_AFTER_MS
    cuts = 0
    while True:
        # Each run dies one step later than the one before; what those did is not done again, so all steps come by.
        house.steps, house.stop_at = 0, cuts + 1
        try:
            house.run()
        except Stopped:
            cuts += 1
            continue
        break
    assert cuts > 15
    # Each run was an hour after the one before.
    house.alerts.raised.clear()
    assert_gone(house, mine, other)
    posted = house.client.execute(
        "SELECT toInt64(sum(count)) FROM ledger WHERE outcome = 'destroyed' AND site_id = %(site)s", {"site": mine}
    )
    assert posted == [(20,)]


def test_what_is_late_is_an_urgent_alert_until_it_is_done(house: House) -> None:
    gone = house.site("gone.example", 1)
    delete_site(house.services, gone, "gone.example", 1)
    store_watermark(house.engine, "home", "spool", [], house.clock.now_ms, house.clock.now_ms)
    house.clock.now_ms += 3 * DAY_MS - 2 * HOUR_MS
    house.run()
    assert house.alerts.keys(AlertKind.DESTRUCTION_LATE) == []
    house.clock.now_ms += 2 * HOUR_MS
    house.run()
    assert house.alerts.keys(AlertKind.DESTRUCTION_LATE) == [f"site {gone}"]
    assert house.alerts.raised[-1].is_urgent
    store_watermark(house.engine, "home", "spool", [], house.clock.now_ms + DAY_MS, house.clock.now_ms)
    assert house.run().rows == 1
    house.run()
    assert len(house.alerts.keys(AlertKind.DESTRUCTION_LATE)) == 2


def test_no_table_about_sites_or_accounts_is_forgotten() -> None:
    kept = {"sites", "accounts", "audit_log", "deletion_requests", "destructions"}
    for column in ("site_id", "account_id"):
        emptied = {table.name for table in tables_about(column)}
        assert emptied
        for table in Base.metadata.sorted_tables:
            refers = {key.target_fullname for item in table.columns for key in item.foreign_keys}
            if f"{column.removesuffix('_id')}s.{column}" in refers and table.name not in kept:
                assert table.name in emptied, f"rows of {table.name} outlive what they are about"
