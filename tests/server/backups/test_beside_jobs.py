"""Backups beside jobs that write: days that are closed again, and rows that change their retention class meanwhile.

Whatever step of the one comes between two steps of the other, what is restored is of one moment: a day has the figures
of its older or of its newer version, and no row is there twice or never.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest
from clickhouse_driver import Client
from sqlalchemy import select

from jobs.closing_run import close_due
from jobs.destruction_run import destroy_due
from server.app_database import reading, writing
from server.backups.errors import RowsUnderWay
from server.backups.manifest import Manifest
from server.backups.register import MARK
from server.billing.plans import BASIC
from server.clickhouse_tcp import BlockConnection
from server.clock import HOUR_MS, MINUTE_MS
from server.config import Settings
from server.migrate import SchemaForm
from server.models import RetentionMove
from server.queries.closing_store import ClosingStore
from tests.jobs.closed_site import DAY, ClosedSites, without_zeros
from tests.jobs.one_job import World
from tests.jobs.test_retention import CLOSED, Shop
from tests.reference.closed_figures import daily_figures
from tests.server.backups.conftest import Installation
from tests.server.queries.traffic import Event, event

Places = Callable[[Settings | None], Installation]
Progress = Callable[[int, int, str], None]

FIRST, LAST = date(2026, 9, 30), date(2026, 10, 1)
"""Days of two months: their versions are in two partitions of each table."""
DAYS = (FIRST, LAST)
STUCK_AFTER_S = 120.0

CUTS = ((1, 9), (6, 1), (7, 12))
"""After so many steps of the closing a backup begins, and after so many of its steps the closing goes on to its end."""


@contextmanager
def client_of(installation: Installation) -> Iterator[Client]:
    """A connection to an installation's store."""
    address = installation.store.addresses[0]()
    host, port = address.hosts[0]
    with Client(host=host, port=port, database=address.database, settings={"async_insert": 0}) as client:
        yield client


@pytest.fixture
def client(here: Installation) -> Iterator[Client]:
    with client_of(here) as connected:
        yield connected


class ShopWithLateRows:
    """A site whose days are closed. In each round rows come late, and the days are to be closed again."""

    def __init__(self, here: Installation, client: Client, places: Places) -> None:
        self.here, self.places = here, places
        self.sites = ClosedSites(
            World(here.settings, here.engine), here.store.addresses[0](), client, "UTC", FIRST, LAST
        )
        self.events: list[Event] = []
        self.late_rows()
        assert self.sites.close() == ["succeeded"]
        self.late_rows()

    def late_rows(self) -> None:
        """Two views of one more visitor on each day, and time goes on: versions in use may be deleted once replaced."""
        visitor = len(self.events) + 1
        late = [
            event(
                time_ms=self.sites.calendar.start_ms(day) + 10 * HOUR_MS + view * MINUTE_MS,
                visitor_id=visitor,
                load_id=10 * visitor + view,
                path=f"/{visitor}/{view}",
            )
            for day in DAYS
            for view in range(2)
        ]
        self.older, self.newer = self.events, self.events + late
        self.events = self.newer
        self.sites.store(late)
        self.sites.world.clock.advance(3600)
        for day in DAYS:
            self.sites.note_hits(self.sites.calendar.start_ms(day) + 10 * HOUR_MS)

    def back_up(self, progress: Progress) -> Manifest:
        clock = self.sites.world.clock
        return self.here.back_up(clock, settle_s=0, pause=lambda seconds: None, progress=progress).manifest

    def restored(self, manifest: Manifest, *, goes_on: bool) -> str:
        """Restore, and hold what readers see against the twin; which version it is of.

        `goes_on`: there the next runs of the job close what is due, and delete what no day names.
        """
        there = self.places(None)
        there.restore(manifest)
        with client_of(there) as client:
            sites = copy.copy(self.sites)
            sites.world = World(there.settings, there.engine)
            sites.world.clock.now_ms, sites.world.catch_up = self.sites.world.clock.now_ms, self.sites.world.catch_up
            sites.world.function, sites.interrupt = sites._run, lambda step: None
            sites.address, sites.client = there.store.addresses[0](), client
            known = {
                name: without_zeros(daily_figures(events, sites.calendar, 1, sites.limits.most_values))
                for name, events in (("older", self.older), ("newer", self.newer))
            }
            assert set(sites.versions()) == set(DAYS)
            seen = without_zeros(sites.daily())
            (which,) = [name for name, figures in known.items() if seen == figures]
            if goes_on:
                sites.complete_until(LAST + DAY)
                assert sites.close() == ["succeeded"]
                assert without_zeros(sites.daily()) == known["newer"]
                sites.world.clock.advance(3600)
                assert sites.close() == ["succeeded"]
                stored = client.execute("SELECT DISTINCT version FROM closings")
                assert {version for (version,) in stored} == set(sites.versions().values())
        return which


def test_days_that_are_closed_inside_a_backup_are_of_one_version(
    here: Installation, client: Client, places: Places
) -> None:
    """A whole closing between two steps of a backup: before its moment, in the middle and at its end."""
    shop = ShopWithLateRows(here, client, places)
    found = []
    for step in (0, 4, 12):
        left = step

        def close(done: int, total: int, what: str) -> None:
            nonlocal left
            left -= 1
            if left == -1:
                assert shop.sites.close() == ["succeeded"]

        manifest = shop.back_up(close)
        assert left < 0, "the backup has fewer steps"
        found.append(shop.restored(manifest, goes_on=step == 4))
        shop.late_rows()
    assert found == ["newer", "older", "older"]


def test_a_backup_that_overlaps_with_a_closing_is_of_one_version(
    here: Installation, client: Client, places: Places
) -> None:
    """A backup begins in the middle of a closing, and the closing ends in the middle of the backup."""
    shop = ShopWithLateRows(here, client, places)
    found = []
    for closing_steps, backup_steps in CUTS:
        begins, goes_on = threading.Event(), threading.Event()
        outcomes: list[str] = []
        left = {"closing": closing_steps, "backup": backup_steps}

        def interrupt(step: str, left: dict[str, int] = left, begins: Any = begins, goes_on: Any = goes_on) -> None:
            left["closing"] -= 1
            if left["closing"] == -1:
                begins.set()
                assert goes_on.wait(STUCK_AFTER_S)

        shop.sites.interrupt = interrupt
        thread = threading.Thread(target=lambda outcomes=outcomes: outcomes.extend(shop.sites.close()))
        thread.start()
        assert begins.wait(STUCK_AFTER_S), "the closing has fewer steps"

        def progress(
            done: int, total: int, what: str, left: dict[str, int] = left, goes_on: Any = goes_on, thread: Any = thread
        ) -> None:
            left["backup"] -= 1
            if left["backup"] == -1:
                goes_on.set()
                thread.join(STUCK_AFTER_S)

        manifest = shop.back_up(progress)
        assert left["backup"] < 0, "the backup has fewer steps"
        assert outcomes == ["succeeded"]
        found.append(shop.restored(manifest, goes_on=closing_steps == 6))
        shop.sites.interrupt = lambda step: None
        shop.late_rows()
    assert found == ["older", "older", "newer"]


class ShopThatMoves(Shop):
    """A site whose rows go to another retention class, in the store of an installation that is backed up."""

    def __init__(self, here: Installation, client: Client) -> None:
        super().__init__(here.settings, here.store.addresses[0](), client)
        self.here = here
        for days_ago in (2, 40):
            self.store(self.site_id, days_ago)
        self.change(BASIC)

    def back_up(self, progress: Progress = lambda done, total, what: None) -> Manifest:
        return self.here.back_up(self.clock, settle_s=0, pause=lambda seconds: None, progress=progress).manifest

    def rows_in(self, manifest: Manifest) -> dict[str, int]:
        """Rows of each table of classes in a backup."""
        found = dict.fromkeys(("events", *CLOSED), 0)
        for each in manifest.partitions:
            if each.table in found:
                found[each.table] += each.rows
        assert not [each.table for each in manifest.partitions if each.table.endswith("_moving")]
        return found


@pytest.fixture
def moving(here: Installation, client: Client) -> Iterator[ShopThatMoves]:
    made = ShopThatMoves(here, client)
    yield made
    made.services.close()


WHOLE = {"events": 20, **dict.fromkeys(CLOSED, 6)}


def test_no_row_changes_its_class_while_a_backup_is_being_made(moving: ShopThatMoves) -> None:
    looked: list[int] = []

    def move(done: int, total: int, what: str) -> None:
        if len(looked) in (1, 4):
            assert moving.run_now().rows == 0
        looked.append(done)

    assert moving.rows_in(moving.back_up(move)) == WHOLE
    assert moving.classes() == moving.whole(20, 6, 1)
    assert moving.run().rows == 20 + 6 * len(CLOSED), "the next run moves them"
    assert moving.rows_in(moving.back_up()) == WHOLE


def test_jobs_that_take_rows_away_wait_until_a_restore_is_completed(moving: ShopThatMoves) -> None:
    """The app database that is to be replaced names other versions, classes and sites than the rows that come back."""
    with writing(moving.engine) as session:
        MARK.create(session.connection())
        session.execute(MARK.insert().values(backup_id="x", began_at_ms=1))
    assert moving.run().rows == 0
    assert moving.classes() == moving.whole(20, 6, 1)
    context: Any = SimpleNamespace(services=moving.services, now_ms=moving.clock)
    store = ClosingStore(BlockConnection(moving.address), SchemaForm())
    assert close_due(context, store) == destroy_due(context, store) == 0
    with writing(moving.engine) as session:
        MARK.drop(session.connection())
    assert moving.run().rows > 0


def test_a_backup_inside_a_move_has_every_row_once(moving: ShopThatMoves, places: Places) -> None:
    """At each step of the job; where rows are between two partitions, the backup waits and then says what to do."""
    outcomes: list[str] = []
    manifests: list[Manifest] = []

    def back_up() -> None:
        with reading(moving.engine) as session:
            states = list(session.execute(select(RetentionMove.state)).scalars())
        if states == ["switching"]:
            with pytest.raises(RowsUnderWay, match=r"rows of 1 months .*`footfall jobs run retention`"):
                moving.back_up()
            outcomes.append("refused")
        else:
            manifests.append(moving.back_up())
            outcomes.append("made")
            assert moving.rows_in(manifests[-1]) == WHOLE

    # What a run that was killed while it copied has left.
    moving.client.execute("CREATE TABLE events_moving AS events")
    moving.client.execute("INSERT INTO events_moving SELECT * FROM events")
    moving.at_step = back_up
    while moving.classes() != moving.whole(20, 6, 2):
        moving.run()
    assert set(outcomes) == {"made", "refused"}
    there = places(None)
    there.restore(manifests[-1])
    with client_of(there) as client:
        assert client.execute("SHOW TABLES LIKE '%moving'") == []
