"""A backup of events in a folder: made, made again without changes, verified, and restored into an empty server.

The server makes the events itself (`bench.traffic.generated_year`); the app database is an empty one. Both servers are
on this machine, and so is the folder, so the figures are those of our work and of ClickHouse, not of a network.

| line | what |
|---|---|
| backup_create | events copied, encrypted and written in a second |
| backup_again_s | seconds of a backup when nothing changed |
| backup_bytes | bytes in the backup for one event |
| backup_verify | MiB decrypted and checked in a second |
| backup_restore_s | seconds for 10 million events, from the call until the app database is there |
| backup_rss_mib | anonymous memory that creating, verifying and restoring took on top of what the process had |

`--events` says how many events there are: 10 million unless it is given.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path

from bench.harness import Budget, Result, Run, pinned
from bench.procfs import anonymous_mib
from bench.traffic.generated_year import TODAY, fill_year, start_ms
from server.app_database import migrate_app_database, open_app_database
from server.backups.creation import BackupMaker, Made
from server.backups.folder_target import FolderTarget
from server.backups.key import BackupKey
from server.backups.restoring import Restorer
from server.backups.verification import verify
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.clock import now_ms
from server.config import load_settings
from server.migrate import SchemaForm, migrate
from server.store import Store
from tests.services.clickhouse import running_clickhouse

DEFAULT_EVENTS = 10_000_000
QUICK_EVENTS = 20_000
DAYS = 90
"""Three months and a bit: partitions of a few million rows each, as a site of that size has them."""
QUICK_DAYS = 5
BUDGET_EVENTS = 10_000_000
RESTORE_AT_MOST_S = 300

KEY = BackupKey(bytes(32))


def _clock() -> int:
    """After the last event of the generated year: batches that are yet to come would be left out."""
    return max(now_ms(), start_ms(TODAY + timedelta(days=1)))


class Memory:
    """The most that this process held, over what it held at the beginning."""

    def __init__(self) -> None:
        self._before = anonymous_mib(os.getpid())
        self.peak_mib = 0.0

    def look(self, done: int, total: int, what: str) -> None:
        """A step of what is measured was done."""
        self.peak_mib = max(self.peak_mib, anonymous_mib(os.getpid()) - self._before)


def measure(run: Run) -> Iterator[Result]:
    """One backup's life; see the module."""
    events = run.events or (QUICK_EVENTS if run.quick else DEFAULT_EVENTS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-bench-")))
        with pinned(run.cpus.server):
            ours = stack.enter_context(running_clickhouse(folder / "ours")).address
            theirs = stack.enter_context(running_clickhouse(folder / "theirs")).address
        stack.enter_context(pinned(run.cpus.client))
        migrate(ours, SchemaForm())
        with closing(BlockConnection(ours)) as connection:
            for _ in fill_year(connection, events, QUICK_DAYS if run.quick else DAYS):
                pass
        yield from _lives(run, folder, ours, theirs)


def _lives(run: Run, folder: Path, ours: ClickHouseAddress, theirs: ClickHouseAddress) -> Iterator[Result]:
    settings = load_settings(data_dir=folder / "data", backup_target=str(folder / "backups"))
    target = FolderTarget.of(settings)
    engine = open_app_database(settings)
    migrate_app_database(settings, engine)
    memory = Memory()

    def back_up() -> tuple[Made, float]:
        with closing(BlockConnection(ours)) as connection:
            began_s = time.monotonic()
            maker = BackupMaker(
                settings, engine, connection, SchemaForm(), target, KEY, _clock, memory.look, settle_s=0
            )
            return maker.make(), time.monotonic() - began_s

    # What merges after a copy would be copied again.
    with closing(BlockConnection(ours)) as connection:
        connection.command("SYSTEM STOP MERGES")
    made, create_s = back_up()
    manifest, rows = made.manifest, made.manifest.rows
    notes = {**run.notes, "rows": rows, "partitions": len(manifest.partitions)}
    yield Result("backup_create", rows / create_s, None, None, "rows/s", notes=notes)
    again, again_s = back_up()
    assert again.copied_partitions == 0
    yield Result("backup_again_s", again_s, None, None, "s", notes=notes)
    yield Result("backup_bytes", manifest.file_bytes / rows, None, None, "B", notes=notes)
    began_s = time.monotonic()
    found = verify(target, KEY, manifest, memory.look, is_quick=False)
    assert (found.problems, found.rows) == ([], rows)
    mib = manifest.file_bytes / 1024 / 1024
    yield Result("backup_verify", mib / (time.monotonic() - began_s), None, None, "MiB/s", notes=notes)
    engine.dispose()

    fresh = load_settings(data_dir=folder / "fresh")
    fresh.data_dir.mkdir()
    there = open_app_database(fresh)
    restorer = Restorer(
        fresh, there, Store((lambda: theirs,), SchemaForm()), target, KEY, manifest, _clock, memory.look
    )
    began_s = time.monotonic()
    restorer.restore(replaces=False)
    restore_s = time.monotonic() - began_s
    there.dispose()
    with closing(BlockConnection(theirs)) as connection, closing(BlockConnection(ours)) as original:
        sums = "SELECT count(), sum(cityHash64(site_id, time, visitor_id, path, props, metrics)) FROM events"
        assert connection.select(sums) == original.select(sums)
    budget = None if run.quick else Budget(RESTORE_AT_MOST_S, "at_most")
    notes = {**notes, "rows_per_s": round(rows / restore_s)}
    yield Result("backup_restore_s", restore_s * BUDGET_EVENTS / rows, None, None, "s", budget, notes=notes)
    yield Result("backup_rss_mib", memory.peak_mib, None, None, "MiB", Budget(200, "at_most"), notes=notes)
