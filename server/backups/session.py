"""Backups of this installation as a command or a job reaches them: target, key and stores, opened together."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from sqlalchemy import Engine

from server.backups.creation import BackupMaker, Made, Progress
from server.backups.expiry import Expired, expire
from server.backups.key import load_key
from server.backups.target import open_target
from server.config import Settings
from server.store import open_store


def back_up(settings: Settings, engine: Engine, clock: Callable[[], int], progress: Progress) -> tuple[Made, Expired]:
    """Make a backup, then remove those that are over. Raises `BackupError` and what the stores raise."""
    target, key = open_target(settings), load_key(settings)
    with open_store(settings) as store:
        store.migrate()
        with closing(store.connection()) as connection:
            made = BackupMaker(settings, engine, connection, store.form, target, key, clock, progress).make()
    rows = made.manifest.rows
    return made, expire(settings, engine, target, key, clock(), lambda what: progress(rows, rows, what))
