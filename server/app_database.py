"""The app database: everything that is not event data, on PostgreSQL or SQLite.

Purpose: the engine, its transactions and its migration. The tables are in `server.models`.

Invariants:
- the same models and the same statements run on both stores;
- whoever writes does so inside `writing`: on SQLite it takes the write lock at once, so what was read before cannot be
  out of date, and waiting is bounded; on PostgreSQL rows that must not change meanwhile are read `with_for_update`;
- whoever changes what a snapshot shows calls `bump_version` in the same transaction;
- salts are overwritten on disk when deleted (`secure_delete` and an emptied log on SQLite, `VACUUM` on PostgreSQL),
  and no backup may hold the table `salts`;
- every call here blocks: the event loop calls it from a thread.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Delete, Engine, create_engine, delete, event, func, inspect, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

from server.config import Settings
from server.models import Base, Version, Watermark

log = logging.getLogger(__name__)

# PostgreSQL advisory lock taken while migrating, so that the pods of a fleet migrate one by one: "FOOT" in ASCII.
MIGRATION_LOCK_KEY = 0x464F4F54

# How long a statement waits for SQLite's write lock or for PostgreSQL to answer before it fails.
BUSY_TIMEOUT_MS = 5000

# Threads of a process that talk to the app database beside those that work: snapshot, invalidations, watermark, sweep.
SPARE_CONNECTIONS = 4

SNAPSHOT_VERSION = "snapshot"

# The execution option by which a connection knows that its transaction is to write.
_WRITES = "footfall_writes"

MIGRATIONS_DIR = Path(__file__).with_name("app_migrations")


def database_url(settings: Settings) -> str:
    """The SQLAlchemy address of the app database."""
    url = settings.app_database_url
    if not url:
        return f"sqlite:///{settings.data_dir.absolute() / 'footfall.sqlite'}"
    scheme = urlsplit(url).scheme
    if scheme in ("postgresql", "postgres"):
        return "postgresql+psycopg" + url[len(scheme) :]
    return url


def open_app_database(settings: Settings) -> Engine:
    """An engine whose connections are safe to use from any thread, one at a time. Connects on first use."""
    url = database_url(settings)
    # Errors name the statement but not its parameters, which may be personal and would end in a log.
    if url.startswith("sqlite"):
        waiting = {"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}
        engine = create_engine(url, connect_args=waiting, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    connect_args = {"connect_timeout": BUSY_TIMEOUT_MS // 1000, "options": f"-c statement_timeout={BUSY_TIMEOUT_MS}"}
    return create_engine(
        url,
        pool_pre_ping=True,  # a pooled connection may have died with its server
        pool_size=2,
        # One for each thread of the worker, or of the requests, and for those that poll.
        max_overflow=max(SPARE_CONNECTIONS, settings.worker_threads) + SPARE_CONNECTIONS,
        connect_args=connect_args,
        hide_parameters=True,
    )


@contextmanager
def writing(engine: Engine) -> Iterator[Session]:
    """A transaction that may write; committed at the end of the `with`, rolled back by an exception."""
    with Session(engine.execution_options(**{_WRITES: True}), expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading(engine: Engine) -> Iterator[Session]:
    """A transaction that only reads: it sees one state of the database. What it read may be used afterwards."""
    with Session(engine, expire_on_commit=False) as session:
        yield session


def inserting(session: Session, model: type[Base]) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that can say what happens ON CONFLICT, which each store's dialect has for itself."""
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    return insert(model)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # Python's driver would begin a transaction before a write only; `_begin_sqlite` does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # With the write-ahead log NORMAL survives a killed process; a lost host may cost the last change.
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return
    # A transaction that read first and writes later fails at once when another wrote in between: its view is old.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get(_WRITES) else "BEGIN")


def migrate_app_database(settings: Settings, engine: Engine) -> str:
    """Bring the tables to the newest migration and return its id. Safe from many processes at once.

    While a fleet is upgraded, a process of the older version may start after a newer one has migrated: it leaves the
    tables as they are, because a migration takes nothing away that the version before it uses.
    """
    newest = newest_migration()
    with migrating(settings, engine) as connection:
        applied = _applied_migration(connection)
        if applied is not None and applied > newest:
            log.warning("a newer version has migrated the app database", extra={"migration": applied})
            return applied
        if applied != newest:
            upgrade_to(connection, "head")
    return newest


def upgrade_to(connection: Connection, migration: str) -> None:
    """Apply migrations up to this one; part of the transaction of `migrating`."""
    # Imported here: a start that has nothing to migrate need not wait for it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS_DIR))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, migration)


def newest_migration() -> str:
    """The id of the newest migration: its file's name, which starts with a date."""
    return max(path.stem for path in (MIGRATIONS_DIR / "versions").glob("*.py"))


def _applied_migration(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def migrating(settings: Settings, engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that no other migration runs beside."""
    if engine.dialect.name == "sqlite":
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(settings.data_dir / "migrate.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with engine.execution_options(**{_WRITES: True}).begin() as connection:
                yield connection
    else:
        with engine.begin() as connection:
            # Freed with the transaction, also when this process dies.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK_KEY})"))
            yield connection


def bump_version(session: Session, name: str = SNAPSHOT_VERSION) -> int:
    """Count a change that every process must see; part of the caller's transaction. Returns the new version."""
    changed = update(Version).where(Version.name == name).values(version=Version.version + 1).returning(Version.version)
    return session.execute(changed).scalar_one()


def read_version(session: Session, name: str = SNAPSHOT_VERSION) -> int:
    """The version of what `name` names; 0 before its first change."""
    return session.execute(select(Version.version).where(Version.name == name)).scalar_one()


def scrub_deleted(engine: Engine) -> None:
    """Overwrite what deleted rows left on disk: called after salts were deleted."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "sqlite":
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        else:
            connection.execute(text("VACUUM salts"))


def store_watermark(
    engine: Engine, home_id: str, spool_id: str, kept_ids: list[str], oldest_unflushed_at_ms: int, now_ms: int
) -> None:
    """Record how far a spool folder has been flushed, and forget those of the same data folder that are gone."""
    values = {"home_id": home_id, "oldest_unflushed_at_ms": oldest_unflushed_at_ms, "updated_at_ms": now_ms}
    with writing(engine) as session:
        session.execute(_forgetting(home_id, [*kept_ids, spool_id]))
        row = session.get(Watermark, spool_id)
        if row is None:
            session.add(Watermark(spool_id=spool_id, **values))
        else:
            session.execute(update(Watermark).where(Watermark.spool_id == spool_id).values(**values))


def forget_watermarks(engine: Engine, home_id: str, kept_ids: list[str]) -> None:
    """Forget the spool folders of a data folder that are gone."""
    with writing(engine) as session:
        session.execute(_forgetting(home_id, kept_ids))


def _forgetting(home_id: str, kept_ids: list[str]) -> Delete:
    return delete(Watermark).where(Watermark.home_id == home_id, Watermark.spool_id.not_in(kept_ids))


def remove_watermark(engine: Engine, spool_id: str) -> None:
    """Forget a spool folder that is gone."""
    with writing(engine) as session:
        session.execute(delete(Watermark).where(Watermark.spool_id == spool_id))


def minimum_watermark(engine: Engine) -> int | None:
    """Every hit older than this time is stored; absent while no process has reported."""
    with reading(engine) as session:
        return session.execute(select(func.min(Watermark.oldest_unflushed_at_ms))).scalar()
