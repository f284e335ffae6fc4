"""A site that things are imported into: an app database, a ClickHouse, and tasks that are carried out when asked."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from server.app_database import reading
from server.audit import AuditReport, audit
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.config import Settings
from server.imports import rows, tasks
from server.imports.figures import COUNTS
from server.imports.report import ImportReport
from server.imports.rows import Saved
from server.imports.run import ImportContext, run_import
from server.imports.starting import start_import
from server.imports.uploads import Upload, upload_path
from server.models import ClosedDay, Import, Site
from server.quarantine import Quarantine
from server.services import Services, open_services
from server.sites import add_site
from server.store import Store, configured_store
from server.tasks import TaskRun

DOMAIN = "shop.example"


@dataclass
class StubRun:
    """What an import's task needs of `TaskRun`. `stop_after`: calls of `progress` after which it raises `Stopped`."""

    services: Services
    attempt: int = 1
    stop_after: int | None = None
    told: list[tuple[int, int | None, str]] = field(default_factory=list)
    checkpoint: dict[str, Any] = field(default_factory=dict)

    def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """As `TaskRun.progress`."""
        self.told.append((done, total, message))
        if self.stop_after is not None and len(self.told) >= self.stop_after:
            raise Stopped


class Stopped(Exception):
    """The worker was killed here."""


@dataclass
class Desk:
    """See the module."""

    services: Services
    site: Site
    connection: BlockConnection

    def send(self, name: str, content: bytes, *, takes_live_days: bool = False) -> int:
        """Upload a file; the import waits for its task."""
        upload = Upload.begin(self.services.settings, self.site.account_id)
        upload.append(0, content)
        return start_import(self.services, self.site.site_id, upload, name, takes_live_days=takes_live_days)

    def carry_out(self, import_id: int, *, stop_after: int | None = None, part_lines: int | None = None) -> StubRun:
        """Run an import's task once, or, with `part_lines`, the run behind it."""
        run = StubRun(self.services, stop_after=stop_after)
        if part_lines is None:
            tasks.run(cast(TaskRun, run), import_id=import_id)
        else:
            run_import(self.context(part_lines), import_id, self.path(import_id), run.progress)
        return run

    def context(self, part_lines: int) -> ImportContext:
        """What a run works with."""

        @contextmanager
        def open_store() -> Iterator[Store]:
            yield configured_store(self.services.settings)

        services = self.services
        return ImportContext(services.settings, services.engine, services.secret_key, open_store, part_lines=part_lines)

    def path(self, import_id: int) -> Path:
        """An import's file."""
        return upload_path(self.services.settings, import_id)

    def bring(self, name: str, content: bytes, *, takes_live_days: bool = False) -> tuple[Import, ImportReport]:
        """Import a file from upload to end."""
        import_id = self.send(name, content, takes_live_days=takes_live_days)
        self.carry_out(import_id)
        row, saved = self.saved(import_id)
        return row, saved.report

    def saved(self, import_id: int) -> tuple[Import, Saved]:
        """An import as it stands."""
        loaded = rows.load(self.services.engine, import_id)
        assert loaded is not None
        return loaded

    def remove(self, import_id: int, *, attempt: int = 1) -> None:
        """Carry out the removal that was asked for."""
        tasks.remove(cast(TaskRun, StubRun(self.services, attempt=attempt)), import_id=import_id)

    def figures(self, import_id: int) -> dict[tuple[str, str, str], dict[str, int]]:
        """What `daily` has of an import: (day, dimension, value) → what is not 0."""
        names = COUNTS
        found = self.connection.select(
            f"SELECT toString(day), toString(dimension), toString(value), {', '.join(names)} FROM daily "
            "WHERE version = %(version)s",
            {"version": import_id},
        )
        return {
            (day, dimension, value): {name: number for name, number in zip(names, counts, strict=True) if number}
            for day, dimension, value, *counts in found
        }

    def events(self, columns: str = "toString(time), path", order: str = "time, path") -> list[tuple[Any, ...]]:
        """The stored events."""
        return self.connection.select(f"SELECT {columns} FROM events ORDER BY {order}")

    def outcomes(self) -> Counter[str]:
        """What the ledger has of imports."""
        found = self.connection.select(
            "SELECT toString(outcome), sum(count) FROM ledger WHERE import_id != 0 GROUP BY 1"
        )
        return Counter(dict(found))

    def audit(self) -> AuditReport:
        """The law of accounting, checked."""
        settings = self.services.settings
        return audit(self.connection, settings.spool_root, Quarantine(settings.quarantine_dir))

    def dirty_days(self) -> set[str]:
        """Days that are to be closed again."""
        with reading(self.services.engine) as session:
            return {row.day for row in session.query(ClosedDay).filter(ClosedDay.is_dirty)}


@contextmanager
def open_desk(settings: Settings, address: ClickHouseAddress, timezone: str = "Europe/Berlin") -> Iterator[Desk]:
    """A desk on empty stores."""
    located = settings.model_copy(update={"clickhouse_url": str(address)})
    located.spool_root.mkdir(exist_ok=True)
    located.quarantine_dir.mkdir(exist_ok=True)
    services = open_services(located)
    try:
        configured_store(located).migrate()
        site = add_site(services.engine, DOMAIN, timezone)
        with closing(BlockConnection(dataclasses.replace(address))) as connection:
            yield Desk(services, site, connection)
    finally:
        services.close()


def zipped(files: dict[str, str | bytes]) -> bytes:
    """A zip of these files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def csv(header: str, *lines: str) -> str:
    """A CSV file."""
    return "\n".join((header, *lines, ""))
