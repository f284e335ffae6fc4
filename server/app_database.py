"""The app database: sites, API keys, salts, idempotency claims, watermarks and versions, on PostgreSQL or SQLite.

Purpose: the tables, the engine and the migration of everything that is not event data. What the tables mean is told
where they are used: `server.sites`, `server.salts`, `server.batches`, `server.snapshot`, `server.collect`.

Invariants:
- the same models run on both stores;
- whoever changes what a snapshot shows calls `bump_version` in the same transaction;
- salts are overwritten on disk when deleted (`secure_delete` and an emptied log on SQLite, `VACUUM` on PostgreSQL),
  and no backup may hold the table `salts`;
- every call here blocks: the event loop calls it from a thread.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import (
    JSON,
    BigInteger,
    Engine,
    LargeBinary,
    MetaData,
    String,
    create_engine,
    delete,
    event,
    func,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from server.config import Settings

# PostgreSQL advisory lock taken while migrating, so that the pods of a fleet migrate one by one: "FOOT" in ASCII.
MIGRATION_LOCK_KEY = 0x464F4F54

# How long a statement waits for SQLite's write lock or for PostgreSQL to answer before it fails.
BUSY_TIMEOUT_MS = 5000

SNAPSHOT_VERSION = "snapshot"

MIGRATIONS_DIR = Path(__file__).with_name("app_migrations")


class Base(DeclarativeBase):
    """All tables. The naming convention keeps constraint names equal on both stores: migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Site(Base):
    """A site whose hits are taken."""

    __tablename__ = "sites"
    __table_args__ = ({"sqlite_autoincrement": True},)

    site_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    public_id: Mapped[str] = mapped_column(String(36), unique=True)
    domain: Mapped[str] = mapped_column(String(253), unique=True)
    account_id: Mapped[int] = mapped_column(default=1)
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    state: Mapped[str] = mapped_column(String(16), default="active")
    retention_class: Mapped[int] = mapped_column(default=1)
    allowed_hostnames: Mapped[list[str]] = mapped_column(JSON, default=list)
    drop_bot_mask: Mapped[int] = mapped_column(default=0xFFFF)
    rate_per_second: Mapped[int | None] = mapped_column(default=None)
    sample_every: Mapped[int] = mapped_column(default=1)
    spam_filter: Mapped[bool] = mapped_column(default=True)
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class ApiKey(Base):
    """A key for server batches and reading. Only the SHA-256 of it is kept."""

    __tablename__ = "api_keys"

    key_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    account_id: Mapped[int]
    name: Mapped[str] = mapped_column(String(100))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class Salt(Base):
    """The visitor salt of one calendar date."""

    __tablename__ = "salts"

    date: Mapped[str] = mapped_column(String(10), primary_key=True)
    salt: Mapped[bytes] = mapped_column(LargeBinary(16))


class BatchClaim(Base):
    """A server batch that was claimed by its idempotency key; `answer` is absent while it is under way."""

    __tablename__ = "batch_claims"

    account_id: Mapped[int] = mapped_column(primary_key=True)
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    body_hash: Mapped[str] = mapped_column(String(64))
    claimed_at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    status: Mapped[int | None] = mapped_column(default=None)
    answer: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)


class Watermark(Base):
    """The time of the oldest unflushed hit of one spool folder; without such a hit, the time of the report."""

    __tablename__ = "watermarks"

    spool_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    home_id: Mapped[str] = mapped_column(String(32))
    oldest_unflushed_at_ms: Mapped[int] = mapped_column(BigInteger)
    updated_at_ms: Mapped[int] = mapped_column(BigInteger)


class Version(Base):
    """A counter that grows with each change of what it names."""

    __tablename__ = "versions"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, default=1)


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
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        return engine
    connect_args = {"connect_timeout": BUSY_TIMEOUT_MS // 1000, "options": f"-c statement_timeout={BUSY_TIMEOUT_MS}"}
    # A pooled connection may have died with its server: ask before use. Few threads of a process talk to it.
    return create_engine(url, pool_pre_ping=True, pool_size=2, max_overflow=4, connect_args=connect_args)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    # With the write-ahead log NORMAL survives a killed process; a lost host may cost the last change.
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def migrate_app_database(settings: Settings, engine: Engine) -> str:
    """Bring the tables to the newest migration and return its id. Safe from many processes at once."""
    newest = newest_migration()
    with _migration_lock(settings, engine) as connection:
        if _applied_migration(connection) != newest:
            # Imported here: a start that has nothing to migrate need not wait for it.
            from alembic import command
            from alembic.config import Config

            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS_DIR))
            config.set_main_option("path_separator", "os")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    return newest


def newest_migration() -> str:
    """The id of the newest migration: its file's name, which starts with a date."""
    return max(path.stem for path in (MIGRATIONS_DIR / "versions").glob("*.py"))


def _applied_migration(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def _migration_lock(settings: Settings, engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that no other migration runs beside."""
    if engine.dialect.name == "sqlite":
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(settings.data_dir / "migrate.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with engine.begin() as connection:
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
    with Session(engine) as session, session.begin():
        gone = (Watermark.home_id == home_id) & Watermark.spool_id.not_in([*kept_ids, spool_id])
        session.execute(delete(Watermark).where(gone))
        row = session.get(Watermark, spool_id)
        if row is None:
            session.add(Watermark(spool_id=spool_id, **values))
        else:
            session.execute(update(Watermark).where(Watermark.spool_id == spool_id).values(**values))


def remove_watermark(engine: Engine, spool_id: str) -> None:
    """Forget a spool folder that is gone."""
    with Session(engine) as session, session.begin():
        session.execute(delete(Watermark).where(Watermark.spool_id == spool_id))


def minimum_watermark(engine: Engine) -> int | None:
    """Every hit older than this time is stored; absent while no process has reported."""
    with Session(engine) as session:
        return session.execute(select(func.min(Watermark.oldest_unflushed_at_ms))).scalar()
