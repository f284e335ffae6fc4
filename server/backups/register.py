"""The register of backups in the app database: one is made at a time, and it is known until when each is kept.

A row is made before anything is copied, renewed while it is, and ended once. While one is running nothing deletes
versions of closed days (`jobs.closing_run`), because those that the copied app database names must be there when their
rows are copied, and no rows are moved between partitions (`jobs.retention_run`), which are copied one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    MetaData,
    String,
    Table,
    delete,
    func,
    inspect,
    select,
    update,
)
from sqlalchemy.orm import Session

from server.app_database import reading, writing
from server.backups.errors import AnotherRuns
from server.backups.manifest import id_time_ms
from server.clock import DAY_MS, HOUR_MS, MINUTE_MS
from server.config import Settings
from server.models import Backup

BEAT_MS = 30_000
"""So often a running backup says that it is."""
BEAT_LIFE_MS = 10 * MINUTE_MS
"""And so long after it is taken for lost."""
KEPT_DAYS = 400
"""Rows of backups that are gone."""

MARK = Table(
    "restore_under_way", MetaData(), Column("backup_id", String(64)), Column("began_at_ms", BigInteger, nullable=False)
)
"""Which backup is half restored here. No migration knows it: it goes with the tables that the backup replaces."""


def expires_at_ms(settings: Settings, started_at_ms: int) -> int:
    """When a backup is to be removed."""
    return started_at_ms + settings.backup_keep_days * DAY_MS


def begin(engine: Engine, settings: Settings, backup_id: str, now_ms: int) -> None:
    """Register a backup that begins now. Raises `AnotherRuns`."""
    with writing(engine) as session:
        _take_turns(session)
        lost = (Backup.state == "running") & (Backup.beat_until_ms < now_ms)
        session.execute(update(Backup).where(lost).values(state="failed", ended_at_ms=now_ms))
        if is_backup_running(session, now_ms):
            raise AnotherRuns(
                "another backup is being made; if its process is gone, this one can begin "
                f"{BEAT_LIFE_MS // MINUTE_MS} minutes after it was last heard of"
            )
        session.add(
            Backup(
                backup_id=backup_id,
                state="running",
                started_at_ms=now_ms,
                beat_until_ms=now_ms + BEAT_LIFE_MS,
                expires_at_ms=expires_at_ms(settings, now_ms),
            )
        )


_LOCK_KEY = 0x4241434B
"""PostgreSQL advisory lock: "BACK" in ASCII."""


def _take_turns(session: Session) -> None:
    """Who asks whether a backup runs, and who begins one, see each other's transactions; SQLite has one writer."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(select(func.pg_advisory_xact_lock(_LOCK_KEY)))


def beat(engine: Engine, backup_id: str, now_ms: int) -> None:
    """Say that a backup is still being made. Raises `AnotherRuns` when it was taken for lost meanwhile.

    Also when nobody noticed yet: versions that it needs may have been deleted since.
    """
    ours = (Backup.backup_id == backup_id) & (Backup.state == "running") & (Backup.beat_until_ms >= now_ms)
    with writing(engine) as session:
        changed = session.execute(
            update(Backup).where(ours).values(beat_until_ms=now_ms + BEAT_LIFE_MS).returning(Backup.backup_id)
        )
        if changed.first() is None:
            raise AnotherRuns("this backup was taken for lost, because it was not heard of for too long")


def end(
    engine: Engine, backup_id: str, state: str, now_ms: int, *, rows: int = 0, file_bytes: int = 0, new_bytes: int = 0
) -> None:
    """Record how a backup ended: complete or failed."""
    ours = (Backup.backup_id == backup_id) & (Backup.state == "running")
    values = {"state": state, "ended_at_ms": now_ms, "rows": rows, "file_bytes": file_bytes, "new_bytes": new_bytes}
    with writing(engine) as session:
        session.execute(update(Backup).where(ours).values(**values))


def forget(engine: Engine, backup_id: str) -> None:
    """Take a backup out that is not kept as one."""
    with writing(engine) as session:
        session.execute(delete(Backup).where(Backup.backup_id == backup_id))


def is_backup_running(session: Session, now_ms: int) -> bool:
    """Whether a backup is being made at this moment."""
    running = (Backup.state == "running") & (Backup.beat_until_ms >= now_ms)
    return session.execute(select(Backup.backup_id).where(running).limit(1)).first() is not None


def keeps_off(session: Session, now_ms: int) -> bool:
    """Whether no backup is being made, nor begins before the caller's transaction ends."""
    _take_turns(session)
    return not is_backup_running(session, now_ms)


def half_restored(engine: Engine) -> str:
    """The backup of which a restore was cut short here; empty when there is none."""
    with engine.connect() as connection:
        if not inspect(connection).has_table(MARK.name):
            return ""
        return str(connection.execute(select(MARK.c.backup_id)).scalar_one())


def note_what_is_there(engine: Engine, settings: Settings, there: Mapping[str, tuple[int, int]], now_ms: int) -> None:
    """Hold the register against the place of the backups: id → (rows, bytes); (0, 0) where they are not known.

    Backups that are there and unknown (made before a restore) are added, those that are gone are marked removed, and
    the days of expiry follow the settings.
    """
    with writing(engine) as session:
        known = {row.backup_id: row for row in session.execute(select(Backup)).scalars()}
        for backup_id, row in known.items():
            if row.state != "removed":
                row.expires_at_ms = expires_at_ms(settings, row.started_at_ms)
            if row.state == "complete" and backup_id not in there:
                row.state, row.ended_at_ms = "removed", now_ms
            elif backup_id in there and row.state != "running":
                row.state = "complete"
        for backup_id, (rows, file_bytes) in there.items():
            if backup_id not in known:
                at_ms = id_time_ms(backup_id)
                session.add(
                    Backup(
                        backup_id=backup_id,
                        state="complete",
                        started_at_ms=at_ms,
                        ended_at_ms=at_ms,
                        expires_at_ms=expires_at_ms(settings, at_ms),
                        rows=rows,
                        file_bytes=file_bytes,
                    )
                )
        over = Backup.state.in_(("removed", "failed")) & (Backup.ended_at_ms < now_ms - KEPT_DAYS * DAY_MS)
        session.execute(delete(Backup).where(over))


def last_expiry(session: Session, settings: Settings, gone_at_ms: int) -> int | None:
    """When the last backup is gone that may hold what was destroyed at `gone_at_ms`; None when none does.

    Valid as long as backups are made every day: the newest one is kept until there is another, and what a backup
    consisted of goes with the first run of the job after its safety age.
    """
    holds = (Backup.started_at_ms <= gone_at_ms) & Backup.state.in_(("running", "complete", "failed"))
    latest_ms = session.execute(select(func.max(Backup.expires_at_ms)).where(holds)).scalar()
    if latest_ms is None:
        return None
    return int(latest_ms) + settings.backup_safety_hours * HOUR_MS + DAY_MS


def newest_backup_ms(engine: Engine) -> int | None:
    """When the newest complete backup was begun."""
    with reading(engine) as session:
        return session.execute(select(func.max(Backup.started_at_ms)).where(Backup.state == "complete")).scalar()
