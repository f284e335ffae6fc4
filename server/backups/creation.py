"""Making a backup.

Everything is of one moment, as far as it matters:

1. the backup is registered, so that nothing deletes versions of closed days or moves rows between partitions from here
   on, and what is on its way is waited for;
2. the app database is copied in one transaction: this is the moment;
3. wait until every hit that was answered before it is stored (the watermark), so that rows and their counts in the
   ledger are both there; batches that came later are left out;
4. each partition that is not as in the newest backup, or in what one that was cut short has left
   (`server.backups.drafts`), is copied; the others are referred to;
5. the manifest is written: now the backup exists.

So after a restore `closed_days` names versions that are there, whatever was closed meanwhile. What a crash leaves
behind is objects that no manifest names, which expire (`server.backups.expiry`). Spools and quarantine are in no
backup: what is in them has no row yet.

Memory: a block of a partition and a chunk of an object, and one part of an upload: about 60 MiB in all.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Engine, func, select

from server import __version__
from server.app_database import minimum_watermark, newest_migration, reading
from server.backups import register
from server.backups.app_rows import dump
from server.backups.drafts import drafted, remove_drafts, save_draft
from server.backups.errors import BackupError, NotRestored, RowsUnderWay, TargetUnavailable, UnknownBackup
from server.backups.event_rows import ATTEMPTS, FIRST_PAUSE_S, RETRIABLE, Copied, EventRows, Partition, in_order
from server.backups.key import BackupKey
from server.backups.manifest import (
    AppCopy,
    Manifest,
    PartitionCopy,
    SealedObject,
    chosen_id,
    load_manifest,
    new_backup_id,
    new_object_path,
    save_manifest,
)
from server.backups.sealed_file import SALT_BYTES, SealingWriter
from server.backups.target import BackupTarget
from server.clickhouse_tcp import BlockConnection
from server.clock import DAY_MS, MINUTE_MS
from server.config import Settings
from server.migrate import SchemaForm, migrations
from server.models import RetentionMove, User

log = logging.getLogger(__name__)

Progress = Callable[[int, int, str], None]
"""Told (rows done, rows in all, what is done now); may raise to end the work."""

SETTLE_S = 180.0
"""Longest wait for the watermark. A machine that is gone with hits in its spool would hold up every backup."""
SETTLE_POLL_S = 0.5

DRAFT_EVERY_MS = 5 * MINUTE_MS
"""What is copied in so long is copied again when a backup is cut short."""

RENEWED_AFTER_MS = 7 * DAY_MS
"""Age of an object from which on a new backup that refers to it has the place take it for new. A rule of a bucket that
removes what is old must leave that and `backup_keep_days` together."""


@dataclass(frozen=True)
class Made:
    """A new backup. `new_bytes`: of objects that were written for it; `notes`: what people should know."""

    manifest: Manifest
    copied_partitions: int
    new_bytes: int
    notes: tuple[str, ...]


@dataclass
class BackupMaker:
    """Makes one backup. `pause` sleeps; `settle_s` is shorter in tests."""

    settings: Settings
    engine: Engine
    connection: BlockConnection
    form: SchemaForm
    target: BackupTarget
    key: BackupKey
    clock: Callable[[], int]
    progress: Progress = lambda done, total, what: None
    pause: Callable[[float], None] = time.sleep
    settle_s: float = SETTLE_S
    draft_every_ms: int = DRAFT_EVERY_MS

    def __post_init__(self) -> None:
        self._beat_ms = 0
        self._drafted_at_ms = self._drafts = 0
        self._new_bytes = 0
        self._backup_id = ""

    def make(self) -> Made:
        """See the module. Raises `BackupError`, and what the stores and `progress` raise."""
        started_ms = self.clock()
        self._backup_id = new_backup_id(started_ms)
        register.begin(self.engine, self.settings, self._backup_id, started_ms)
        self._beat_ms = self._drafted_at_ms = started_ms
        try:
            made = self._make()
        except BaseException:
            register.end(self.engine, self._backup_id, "failed", self.clock())
            raise
        register.end(
            self.engine,
            self._backup_id,
            "complete",
            self.clock(),
            rows=made.manifest.rows,
            file_bytes=made.manifest.file_bytes,
            new_bytes=made.new_bytes,
        )
        return made

    def _make(self) -> Made:
        notes: list[str] = []
        before, note = self._newest()
        if note:
            notes.append(note)
        self._check_restored(before)
        self._wait_for_moves()
        self._tell(0, 0, "app database")
        taken_at_ms, app = self._copy_app()
        cut_s = taken_at_ms // 1000
        is_settled = self._settle((cut_s + 1) * 1000)
        if not is_settled:
            notes.append(
                "some machine still holds hits from before this backup: they are not in it, its books may not balance"
            )
        known = self._known(before)
        rows = EventRows(self.connection, self.form)
        partitions = rows.partitions()
        total = sum(each.rows for each in partitions)
        kept: list[PartitionCopy] = []
        new: list[PartitionCopy] = []
        done = 0
        for partition in partitions:
            earlier = known.get((partition.table, partition.partition_id, partition.fingerprint))
            if earlier is not None and self._is_there(earlier):
                kept.append(earlier)
            elif (copy := self._copy_partition(rows, partition, cut_s, done, total)) is not None:
                new.append(copy)
                self._draft(rows, kept, new)
            done += partition.rows
            self._tell(done, total, f"{partition.table} {partition.partition_id}")
        manifest = Manifest(
            backup_id=self._backup_id,
            taken_at_ms=taken_at_ms,
            is_settled=is_settled,
            release=__version__,
            store_migrations=tuple(each.name for each in migrations()),
            cluster=bool(self.form.cluster),
            app=app,
            partitions=in_order([*kept, *self._changed_meanwhile(rows, new)]),
        )
        self._beat()
        save_manifest(self.target, self.key, manifest)
        remove_drafts(self.target)
        return Made(manifest, len(new), self._new_bytes, tuple(notes))

    def _newest(self) -> tuple[Manifest | None, str]:
        """The backup to refer to; or why there is none that can be."""
        try:
            newest = chosen_id(self.target, "")
        except UnknownBackup:
            return None, ""
        try:
            manifest = load_manifest(self.target, self.key, newest)
        except TargetUnavailable:
            raise
        except BackupError as error:
            return None, f"everything was copied, because the backup before cannot be read: {error}"
        if manifest.cluster != bool(self.form.cluster):
            return None, ""
        return manifest, ""

    def _copy_app(self) -> tuple[int, AppCopy]:
        path = new_object_path()
        migration = newest_migration()
        with self.target.uploading(path) as put:
            writer = self._writer(put, path)
            taken_at_ms, counts = dump(
                self.engine,
                self.settings,
                migration,
                writer.write,
                self.clock,
                lambda rows: self._tell(0, 0, "app database"),
            )
            sums = writer.close()
        self._new_bytes += sums.file_bytes
        return taken_at_ms, AppCopy(migration, counts, SealedObject(path, sums))

    def _settle(self, until_ms: int) -> bool:
        """Wait until everything that was answered before is stored; whether it is."""

        def behind_ms() -> int:
            watermark_ms = minimum_watermark(self.engine)
            return 0 if watermark_ms is None else max(0, until_ms - watermark_ms)

        left_ms = self._wait_while(behind_ms, "waiting for hits in spools")
        if left_ms:
            log.warning("a backup does not wait for the watermark", extra={"behind_ms": left_ms})
        return not left_ms

    def _check_restored(self, before: Manifest | None) -> None:
        """Raises `NotRestored` for an installation that waits for its restore after a disaster, or for its end."""
        if begun := register.half_restored(self.engine):
            raise NotRestored(
                f"backup {begun} is half restored here: `footfall backup restore {begun}` completes that; then make one"
            )
        if before is None or not before.app.rows.get(User.__tablename__):
            return
        with reading(self.engine) as session:
            people = session.execute(select(func.count()).select_from(User)).scalar_one()
        if not people:
            raise NotRestored(
                f"nobody has an account here, and backup {before.backup_id} in {self.target.name} has accounts: "
                "`footfall backup restore` brings it back; another installation needs a FOOTFALL_BACKUP_TARGET of its "
                "own"
            )

    def _wait_for_moves(self) -> None:
        """Wait until no rows are between two partitions. None are put there while a backup is being made."""
        switching = select(func.count()).select_from(RetentionMove).where(RetentionMove.state == "switching")

        def moves() -> int:
            with reading(self.engine) as session:
                return session.execute(switching).scalar_one()

        if left := self._wait_while(moves, "waiting for rows that change their retention class"):
            raise RowsUnderWay(left)

    def _wait_while(self, left: Callable[[], int], what: str) -> int:
        """Wait until nothing is left, but no longer than `settle_s`; how much is."""
        waited_s = 0.0
        while (count := left()) and waited_s < self.settle_s:
            self._tell(0, 0, what)
            self.pause(SETTLE_POLL_S)
            waited_s += SETTLE_POLL_S
        return count

    def _changed_meanwhile(self, rows: EventRows, new: list[PartitionCopy]) -> list[PartitionCopy]:
        """The new copies; those of partitions that changed while they were copied have no fingerprint.

        They may hold rows that came after their fingerprint was taken, and the partition may be again as it was then.
        """
        now = {(each.table, each.partition_id): each.fingerprint for each in rows.partitions()}
        return [
            each if each.fingerprint == now.get((each.table, each.partition_id)) else replace(each, fingerprint="")
            for each in new
        ]

    def _known(self, before: Manifest | None) -> dict[tuple[str, str, str], PartitionCopy]:
        """Copies that are whole, by table, partition and fingerprint."""
        there = drafted(self.target, self.key, cluster=bool(self.form.cluster))
        copies = [*there, *(before.partitions if before is not None else ())]
        return {(each.table, each.partition_id, each.fingerprint): each for each in copies if each.fingerprint}

    def _draft(self, rows: EventRows, kept: list[PartitionCopy], new: list[PartitionCopy]) -> None:
        """Note what there is so far, now and then."""
        if self.clock() - self._drafted_at_ms < self.draft_every_ms:
            return
        whole = [each for each in [*kept, *self._changed_meanwhile(rows, new)] if each.fingerprint]
        self._drafts += 1
        name = f"{self._backup_id}-{self._drafts:06d}"
        save_draft(self.target, self.key, name, whole, cluster=bool(self.form.cluster))
        self._drafted_at_ms = self.clock()

    def _is_there(self, earlier: PartitionCopy) -> bool:
        """Whether the copy before is still there."""
        if self.target.size(earlier.object.path) != earlier.object.sums.file_bytes:
            return False
        self.target.renew(earlier.object.path, self.clock() - RENEWED_AFTER_MS)
        return True

    def _copy_partition(
        self, rows: EventRows, partition: Partition, cut_s: int, done: int, total: int
    ) -> PartitionCopy | None:
        """None when there is nothing left of it. A copy that failed is begun again under another name."""
        name = f"{partition.table} {partition.partition_id}"
        for attempt in range(ATTEMPTS):
            path = new_object_path()
            try:
                with self.target.uploading(path) as put:
                    writer = self._writer(put, path)
                    copied: Copied = rows.copy(
                        partition, cut_s, writer.write, lambda sent: self._tell(done, total, name)
                    )
                    sums = writer.close()
                break
            except (*RETRIABLE, TargetUnavailable) as error:
                if attempt == ATTEMPTS - 1:
                    raise
                log.warning("a partition is copied again", extra={"reason": type(error).__name__})
                self.pause(FIRST_PAUSE_S * 2**attempt)
        if copied.rows == 0:
            self.target.remove(path)
            return None
        self._new_bytes += sums.file_bytes
        fingerprint = partition.fingerprint if copied.is_whole else ""
        return PartitionCopy(
            partition.table,
            partition.partition_id,
            copied.rows,
            copied.blocks,
            fingerprint,
            SealedObject(path, sums),
        )

    def _writer(self, put: Callable[[bytes], None], path: str) -> SealingWriter:
        return SealingWriter(put, self.key, path, secrets.token_bytes(SALT_BYTES))

    def _tell(self, done: int, total: int, what: str) -> None:
        self.progress(done, total, what)
        if self.clock() - self._beat_ms >= register.BEAT_MS:
            self._beat()

    def _beat(self) -> None:
        self._beat_ms = self.clock()
        register.beat(self.engine, self._backup_id, self._beat_ms)
