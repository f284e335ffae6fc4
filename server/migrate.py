"""Dated migrations of the ClickHouse schema: `server/schema/YYYY_MM_DD_noun.sql`, applied in name order, once each.

A file is SQL with `$` placeholders (`SchemaForm.placeholders`) that give it its single-node or cluster form; whatever
is under a `-- form: cluster` comment exists in the cluster form only. Statements are idempotent (IF NOT EXISTS), so a
migration that was cut in the middle, or runs twice at once, is simply run again; `schema_migrations` remembers which
files are done. Files are history: a change is a new file.

What follows from settings instead of history is set on every run: with `durability = power` the tables fsync each part.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Literal

from server.clickhouse_tcp import EVERY_SHARD, BlockConnection
from server.clickhouse_url import ClickHouseAddress

SCHEMA_FOLDER = Path(__file__).parent / "schema"
RETENTION_DAYS = {1: 400, 2: 1_130, 3: 1_860}
"""Days that each retention class is kept: 13 months, 3 and 5 years, each with a month for year-on-year comparison.
Other classes are kept."""
WINDOW_BLOCKS = 10_000
"""Deduplication tokens that a table remembers, as replicated tables do by default: over an hour at 2 INSERTs/s."""
REPLICATED_WINDOW_S = 7 * 24 * 3_600
"""And for how long at most, where little is inserted: the age of the oldest replay. batch_id is asked for the rest."""

CLOSED_TABLES = ("names", "closings", "sessions", "daily", "hourly", "vitals")
"""What closed days are made of: `server.queries.closed_tables`."""

Durability = Literal["process", "power"]


class MigrationChanged(RuntimeError):
    """A file that was applied has since been edited. Permanent: restore it and write a new one."""


@dataclass(frozen=True, slots=True)
class SchemaForm:
    """Single node when `cluster` is empty, else the cluster form on that cluster.

    Not `replicated`: each shard is one server without a Keeper, so nothing can be said `ON CLUSTER`.
    """

    cluster: str = ""
    durability: Durability = "process"
    replicated: bool = True

    @property
    def events(self) -> str:
        """The table that blocks of rows go to: the shard's own, never the Distributed one."""
        return "events_local" if self.cluster else "events"

    @property
    def ledger(self) -> str:
        """The table that blocks of outcomes go to."""
        return "ledger_local" if self.cluster else "ledger"

    def stored(self, table: str) -> str:
        """The table of a node's own rows: what DELETE and ALTER name. Reading and closing go through `table` itself."""
        return f"{table}_local" if self.cluster else table

    @property
    def on_cluster(self) -> str:
        """The clause that makes a DDL statement run on every node."""
        if not self.cluster:
            return ""
        return f"ON CLUSTER '{self.cluster}'" if self.replicated else EVERY_SHARD

    @property
    def engine(self) -> str:
        """The engine of every table that stores rows; replicas find each other by the server's default path."""
        return "ReplicatedMergeTree" if self.cluster and self.replicated else "MergeTree"

    def placeholders(self) -> dict[str, str]:
        """What the SQL files may refer to."""
        return {
            "events": self.events,
            "ledger": self.ledger,
            "cluster": self.cluster,
            "on_cluster": self.on_cluster,
            "engine": self.engine,
            "events_engine": self.engine,
            "ledger_engine": self.engine,
            **{table: self.stored(table) for table in CLOSED_TABLES},
            "dedup_window": (
                f"replicated_deduplication_window = {WINDOW_BLOCKS}, "
                f"replicated_deduplication_window_seconds = {REPLICATED_WINDOW_S},"
                if self.cluster and self.replicated
                else f"non_replicated_deduplication_window = {WINDOW_BLOCKS},"
            ),
            "retention_days": ", ".join(str(days) for _, days in sorted(RETENTION_DAYS.items())),
        }


@dataclass(frozen=True, slots=True)
class Migration:
    """One file."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Of the file as it is, before placeholders: settings may change, history may not."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def statements(self, form: SchemaForm) -> Iterator[str]:
        """The statements of one form, placeholders filled."""
        filled = Template(self.text).substitute(form.placeholders())
        for statement in re.split(r";[ \t]*(?:\n|$)", filled):
            cluster_only = "-- form: cluster" in statement
            bare = re.sub(r"(?m)^\s*--.*$", "", statement).strip()
            if bare and (form.cluster or not cluster_only):
                yield bare


def migrations(folder: Path = SCHEMA_FOLDER) -> list[Migration]:
    """Every migration, oldest first."""
    return [Migration(path.stem, path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.sql"))]


def migrate(
    address: ClickHouseAddress,
    form: SchemaForm,
    folder: Path = SCHEMA_FOLDER,
    only: Collection[str] | None = None,
) -> list[str]:
    """Bring the store to the newest schema, or as far as the names in `only`. Returns what was applied now."""
    create_database(address, form)
    connection = BlockConnection(address)
    try:
        connection.command(
            f"CREATE TABLE IF NOT EXISTS schema_migrations {form.on_cluster} "
            "(name String, checksum String, applied_at DateTime('UTC') DEFAULT now()) "
            f"ENGINE = {form.engine} ORDER BY name"
        )
        done = {str(name): str(checksum) for name, checksum in connection.select(_DONE)}
        applied = []
        for migration in migrations(folder):
            if only is not None and migration.name not in only:
                continue
            if migration.name in done:
                if done[migration.name] != migration.checksum:
                    raise MigrationChanged(f"{migration.name}.sql was edited after it had been applied")
                continue
            for statement in migration.statements(form):
                connection.command(statement)
            connection.select(
                "INSERT INTO schema_migrations (name, checksum) SELECT %(name)s, %(checksum)s",
                {"name": migration.name, "checksum": migration.checksum},
            )
            applied.append(migration.name)
        _set_durability(connection, form)
        return applied
    finally:
        connection.close()


_DONE = "SELECT name, any(checksum) FROM schema_migrations GROUP BY name"


def pending(address: ClickHouseAddress, folder: Path = SCHEMA_FOLDER) -> list[str]:
    """Names that `migrate` would apply; all of them where the database does not exist yet."""
    connection = BlockConnection(dataclasses.replace(address, database="default"))
    try:
        known = connection.select(
            "SELECT count() FROM system.tables WHERE database = %(database)s AND name = 'schema_migrations'",
            {"database": address.database},
        )
        done = set()
        if known[0][0]:
            names = f"SELECT DISTINCT name FROM {address.database}.schema_migrations"  # noqa: S608 - the operator's word
            rows = connection.select(names)
            done = {str(name) for (name,) in rows}
    finally:
        connection.close()
    return [migration.name for migration in migrations(folder) if migration.name not in done]


def create_database(address: ClickHouseAddress, form: SchemaForm) -> None:
    """Through a connection without a database, because ours may not exist yet."""
    connection = BlockConnection(dataclasses.replace(address, database="default"))
    try:
        connection.command(f"CREATE DATABASE IF NOT EXISTS {address.database} {form.on_cluster}")
    finally:
        connection.close()


def _set_durability(connection: BlockConnection, form: SchemaForm) -> None:
    """`fsync_after_insert` makes the part's files durable, `fsync_part_directory` its rename."""
    power = int(form.durability == "power")
    for table in (form.events, form.ledger):
        connection.command(
            f"ALTER TABLE {table} {form.on_cluster} "
            f"MODIFY SETTING fsync_after_insert = {power}, fsync_part_directory = {power}"
        )
