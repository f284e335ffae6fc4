"""Restoring a backup into an installation that has nothing, or that is to lose what it has.

| step | a crash after it leaves |
|---|---|
| look: is the backup of a release that we know, and is there nothing here? | nothing |
| a mark in the app database (`register.MARK`) | the next call with this backup goes on, with another one it asks |
| the tables of ClickHouse, made anew as they were then | the same |
| each partition, checked by its number of rows | those that are whole are not sent again |
| the app database, in one transaction: its tables then, rows, newest migrations; no mark | all of it or nothing |
| the newest migrations of ClickHouse | an installation like any other: `serve` does them as well |

Until the last but one there are no sites, so nothing that is started meanwhile takes hits. What happened after the
backup is lost: accounts and sites that were destroyed since are back, and whoever asked for that has to be asked
again. Nobody can tell which they were after a disaster; where an older app database is still here to be replaced, it
is asked for them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, MetaData, func, inspect, select
from sqlalchemy.engine import Connection

from server.app_database import MIGRATIONS_DIR, migrate_app_database, migrating, upgrade_to
from server.backups.app_rows import AppContent, load, secret_key_check
from server.backups.block_file import BlockFileReader
from server.backups.errors import DamagedObject, NewerBackup, NotEmpty, RestoreCutShort, StillServing
from server.backups.event_rows import EventRows, restore_partition
from server.backups.key import BackupKey
from server.backups.manifest import Manifest, PartitionCopy
from server.backups.register import MARK, half_restored
from server.backups.target import BackupTarget
from server.backups.verification import checked_content
from server.clock import MINUTE_MS
from server.config import Settings
from server.data_folder import load_secret_key
from server.migrate import create_database, migrate, migrations
from server.models import Account, Site, User, Watermark
from server.store import Store

Progress = Callable[[int, int, str], None]
"""Told (rows done, rows in all, what is done now); may raise to end the work."""

FIRST_SITES = 1
"""What the first start of `serve` makes by itself; and before anybody has an account, lines of the ledger are hits that
were turned away."""

SERVING_MS = MINUTE_MS
"""A process that takes hits writes its watermark every five seconds."""


@dataclass(frozen=True)
class Restored:
    """What came back. `notes`: what people should know or do."""

    rows: int
    app_rows: int
    sent_partitions: int
    notes: tuple[str, ...]


@dataclass
class Restorer:
    """Restores one backup. `store`'s server answers; nothing else writes to it or to the app database meanwhile."""

    settings: Settings
    engine: Engine
    store: Store
    target: BackupTarget
    key: BackupKey
    manifest: Manifest
    clock: Callable[[], int]
    progress: Progress = lambda done, total, what: None

    def restore(self, *, replaces: bool) -> Restored:
        """See the module. `replaces`: what is here is deleted first. Raises `BackupError` and what the stores raise."""
        self._check_release()
        check_serving(self.engine, self.clock())
        notes: list[str] = []
        # A fresh server does not even have the database that connections name.
        create_database(self.store.addresses[0](), self.store.form)
        connection = self.store.connection()
        try:
            rows = EventRows(connection, self.store.form)
            if self._goes_on(replaces=replaces):
                self._migrate_store()
            else:
                if not replaces:
                    self._check_empty(rows)
                notes += self._gone_since()
                self._mark()
                rows.drop_tables()
                self._migrate_store()
            sent = self._restore_rows(rows)
            notes += self._restore_app()
            self.store.migrate()
            return Restored(self.manifest.rows, sum(self.manifest.app.rows.values()), sent, tuple(notes))
        finally:
            connection.close()

    def _check_release(self) -> None:
        known = {path.stem for path in (MIGRATIONS_DIR / "versions").glob("*.py")}
        unknown = {*self.manifest.store_migrations} - {each.name for each in migrations()}
        if self.manifest.app.migration not in known or unknown:
            raise NewerBackup(
                f"backup {self.manifest.backup_id} was made by release {self.manifest.release}, whose tables this one "
                "does not know: install that release or a later one"
            )

    def _goes_on(self, *, replaces: bool) -> bool:
        """Whether a restore of this backup was cut short here. Raises `RestoreCutShort` for one of another backup."""
        begun = half_restored(self.engine)
        if not begun:
            return False
        if begun == self.manifest.backup_id:
            return True
        if not replaces:
            raise RestoreCutShort(
                f"backup {begun} is half restored here: `footfall backup restore {begun}` goes on with it, and "
                f"`footfall backup restore {self.manifest.backup_id} --replace` deletes it and restores this one"
            )
        return False

    def _check_empty(self, rows: EventRows) -> None:
        with self.engine.connect() as connection:
            sites = people = 0
            if inspect(connection).has_table(Site.__tablename__):
                sites = int(connection.execute(select(func.count()).select_from(Site)).scalar_one())
                people = int(connection.execute(select(func.count()).select_from(User)).scalar_one())
        stored = rows.stored_rows()
        if people or sites > FIRST_SITES or stored:
            raise NotEmpty(
                f"this installation has {people} people, {sites} sites and {stored:,} rows: restore into a fresh one, "
                "or add --replace, which deletes all of that first"
            )

    def _gone_since(self) -> list[str]:
        """What the app database that is replaced says was destroyed after the backup."""
        with self.engine.connect() as connection:
            if not inspect(connection).has_table(Site.__tablename__):
                return []
            gone = select(Site.site_id).where(Site.state.in_(("deleting", "destroyed")))
            sites = list(connection.execute(gone.order_by(Site.site_id)).scalars())
            closed = select(Account.account_id).where(Account.state != "active").order_by(Account.account_id)
            accounts = list(connection.execute(closed).scalars())
        return [
            f"{what} {', '.join(map(str, numbers))} were gone or going before this restore: delete them again if the "
            "backup brought them back"
            for what, numbers in (("sites", sites), ("accounts", accounts))
            if numbers
        ]

    def _mark(self) -> None:
        with migrating(self.settings, self.engine) as connection:
            MARK.drop(connection, checkfirst=True)
            MARK.create(connection)
            connection.execute(MARK.insert().values(backup_id=self.manifest.backup_id, began_at_ms=self.clock()))

    def _migrate_store(self) -> None:
        migrate(self.store.addresses[0](), self.store.form, only=self.manifest.store_migrations)

    def _restore_rows(self, rows: EventRows) -> int:
        total, done, sent = self.manifest.rows, 0, 0
        rows.pause_expiry(is_paused=True)
        try:
            for copy in self.manifest.partitions:
                name = f"{copy.table} {copy.partition_id}"
                self.progress(done, total, name)
                share = copy.rows / max(1, copy.object.sums.content_bytes)

                def telling(sent_bytes: int, done: int = done, share: float = share, name: str = name) -> None:
                    self.progress(done + int(sent_bytes * share), total, name)

                sent += restore_partition(
                    rows,
                    copy.table,
                    copy.partition_id,
                    copy.rows,
                    lambda copy=copy: self._opened(copy),  # type: ignore[misc]
                    f"restore-{self.manifest.backup_id}-{copy.object.path}",
                    telling,
                )
                done += copy.rows
                self.progress(done, total, name)
        finally:
            rows.pause_expiry(is_paused=False)
        return sent

    @contextmanager
    def _opened(self, copy: PartitionCopy) -> Iterator[BlockFileReader]:
        with checked_content(self.target, self.key, copy.object) as content:
            reader = BlockFileReader(content, copy.object.path)
            if (reader.head.table, reader.head.partition_id) != (copy.table, copy.partition_id):
                raise DamagedObject(copy.object.path, "it is of another partition than the manifest says")
            yield reader

    def _restore_app(self) -> list[str]:
        self.progress(self.manifest.rows, self.manifest.rows, "app database")
        sealed = self.manifest.app.object
        with checked_content(self.target, self.key, sealed) as content:
            app = AppContent(content, sealed.path)
            with migrating(self.settings, self.engine) as connection:
                _drop_everything(connection)
                upgrade_to(connection, self.manifest.app.migration)
                load(connection, app)
                for _ in content:
                    pass  # what is left holds no line; its sums count
                upgrade_to(connection, "head")
                notes = self._restore_secret(app)
        migrate_app_database(self.settings, self.engine)
        return notes

    def _restore_secret(self, app: AppContent) -> list[str]:
        key, check = app.head.get("secret_key"), app.head.get("secret_key_check")
        ours = self.settings.secret_key
        if key and not ours:
            path = self.settings.data_dir / "secret_key"
            temporary = path.with_suffix(".restoring")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(str(key) + "\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            return []
        if (key or check) and (check or secret_key_check(str(key))) != secret_key_check(load_secret_key(self.settings)):
            return [
                "the secret key is another one than when the backup was made: second factors cannot be opened; set "
                "FOOTFALL_SECRET_KEY to that one, or have people use recovery codes"
            ]
        return []


def check_serving(engine: Engine, now_ms: int) -> None:
    """Raises `StillServing` for an installation that takes hits."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(Watermark.__tablename__):
            return
        newest_ms = connection.execute(select(func.max(Watermark.updated_at_ms))).scalar()
    if newest_ms is not None and newest_ms > now_ms - SERVING_MS:
        raise StillServing(
            "this installation takes hits, or did a minute ago: stop every `footfall serve` and worker first"
        )


def _drop_everything(connection: Connection) -> None:
    there = MetaData()
    there.reflect(connection)
    there.drop_all(connection)
