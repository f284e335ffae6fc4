"""An installation to back up and one to restore into: app databases of a test's own, databases of one ClickHouse."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from server.app_database import open_app_database
from server.backups.creation import BackupMaker, Made
from server.backups.folder_target import FolderTarget
from server.backups.key import BackupKey
from server.backups.manifest import Manifest
from server.backups.restoring import Restored, Restorer
from server.backups.target import BackupTarget
from server.clickhouse_url import ClickHouseAddress
from server.clock import now_ms
from server.config import Settings, load_settings
from server.migrate import SchemaForm
from server.store import Store
from tests.services.clickhouse import fresh_database

KEY = BackupKey(bytes(range(32)))
OTHER_KEY = BackupKey(bytes(32))


@dataclass
class Installation:
    """App database, event store and place of backups of one installation."""

    settings: Settings
    engine: Engine
    store: Store
    target: BackupTarget
    key: BackupKey = KEY

    def back_up(self, clock: Callable[[], int] = now_ms, **options: Any) -> Made:
        """Make a backup."""
        with closing(self.store.connection()) as connection:
            given = (self.settings, self.engine, connection, self.store.form, self.target, self.key, clock)
            return BackupMaker(*given, **options).make()

    def restore(self, manifest: Manifest, *, replaces: bool = False, **options: Any) -> Restored:
        """Restore one."""
        given = (self.settings, self.engine, self.store, self.target, self.key, manifest, now_ms)
        return Restorer(*given, **options).restore(replaces=replaces)

    def select(self, query: str) -> list[tuple[object, ...]]:
        """Ask the event store."""
        with closing(self.store.connection()) as connection:
            return connection.select(query)

    def command(self, statement: str) -> None:
        """Tell the event store."""
        with closing(self.store.connection()) as connection:
            connection.command(statement)


def contents(installation: Installation) -> dict[str, tuple[int, int]]:
    """Rows of every table of events, and a sum over them."""
    tables = [name for (name,) in installation.select(_TABLES)]
    sums = {}
    for table in tables:
        ((rows, total),) = installation.select(f"SELECT count(), sum(cityHash64(*)) FROM {table}")
        sums[str(table)] = (int(str(rows)), int(str(total)))
    return sums


_TABLES = (
    "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree' "
    "AND name != 'schema_migrations' ORDER BY name"
)


@pytest.fixture
def places(tmp_path: Path, clickhouse: ClickHouseAddress) -> Iterator[Callable[[Settings | None], Installation]]:
    """Makes installations that share a folder of backups; each has tables only if it is asked to migrate."""
    numbers = itertools.count()
    opened: list[Engine] = []
    databases = []

    def make(settings: Settings | None = None) -> Installation:
        chosen = settings or load_settings(data_dir=tmp_path / f"installation-{next(numbers)}")
        chosen.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = chosen.model_copy(update={"backup_target": str(tmp_path / "backups")})
        context = fresh_database(clickhouse)
        address = context.__enter__()
        databases.append(context)
        engine = open_app_database(kept)
        opened.append(engine)
        return Installation(kept, engine, Store((lambda: address,), SchemaForm()), FolderTarget.of(kept))

    yield make
    for engine in opened:
        engine.dispose()
    for context in databases:
        context.__exit__(None, None, None)


@pytest.fixture
def here(places: Callable[[Settings | None], Installation], sqlite_settings: Settings) -> Installation:
    """An installation with tables and without rows."""
    made = places(sqlite_settings)
    made.store.migrate()
    return made


def fill(installation: Installation, rows: int = 1_000, month: str = "2026-09", site_id: int = 1) -> None:
    """Store page views of some days of a month, and their counts."""
    when = f"toDateTime('{month}-05 00:00:00', 'UTC') + number % 864000"
    installation.command(
        "INSERT INTO events (site_id, hour, time, kind, visitor_id, load_id, path, browser, props, metrics, "
        f"batch_time, batch_id, retention_class) SELECT {site_id}, toStartOfHour({when}), {when}, 'pageview', "
        "number % 97, number, concat('/p/', toString(number % 31)), ['Chrome', 'Firefox'][1 + number % 2], "
        "map('a', toString(number % 7)), map('lcp_ms', number % 5000), "
        f"toDateTime('{month}-05 00:00:00', 'UTC'), 'batch-{month}', 0 FROM numbers({rows})"
    )
    installation.command(
        "INSERT INTO ledger (site_id, hour, outcome, count, batch_time, batch_id) SELECT site_id, hour, 'accepted', "
        f"count(), max(batch_time), max(batch_id) FROM events WHERE toYYYYMM(hour) = {month.replace('-', '')} "
        "GROUP BY site_id, hour"
    )
