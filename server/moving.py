"""Moving everything that is stored into other stores: from one machine to a fleet, or from one fleet to another.

| step | a crash after it leaves |
|---|---|
| copy everything as a backup into `move/` of the data folder, under its own key | copies: next time only what changed |
| restore that into the new stores | half of it, which nothing reads; the next call begins anew with it |
| take over the salts, so that who came today is known | an installation like any other |
| delete the folder `move` | nothing |

What backups leave out because they lie around for weeks goes along here: the salts. What was answered and is not stored
yet stays in this machine's spool: started again with the new settings, it asks the new stores for each segment and
sends what they do not have. So nothing that was answered is lost, and nothing is counted twice, whatever is cut short.
"""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from sqlalchemy import Engine, delete, insert, select

from server.app_database import bump_version, open_app_database, reading, writing
from server.backups import register
from server.backups.creation import SETTLE_S, BackupMaker
from server.backups.folder_target import UPLOADS, FolderTarget
from server.backups.key import BackupKey, new_key
from server.backups.restoring import Restored, Restorer, check_serving
from server.config import PREFIX, SettingError, Settings, load_settings
from server.data_folder import load_secret_key
from server.embedded import home_folder, is_served
from server.models import Salt
from server.spool import inspect
from server.store import open_store

FOLDER = "move"

Progress = Callable[[int, int, str], None]
"""Told (rows done, rows in all, what is done now)."""


class MoveError(Exception):
    """It cannot be moved, or not now. The text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What is in the new stores now. `waiting_hits`: in this machine's spool, stored there next."""

    rows: int
    app_rows: int
    waiting_hits: int
    notes: tuple[str, ...]


def settings_there(settings: Settings, path: Path) -> Settings:
    """The settings of the new stores, from a file of lines NAME=value. Raises `MoveError` and `SettingError`.

    Besides the names in the file everything is as here; what is written to a data folder goes into `move`.
    """
    try:
        named = dotenv_values(path, interpolate=False)
    except OSError as error:
        raise MoveError(f"{path} cannot be read: {error.strerror}") from None
    known = {PREFIX + field.upper(): field for field in Settings.model_fields}
    for name in named:
        if name not in known:
            raise MoveError(f"{path} names {name}, which is no setting: `footfall config` lists them")
    values = {known[name]: value for name, value in named.items()}
    for field, what in (("clickhouse_url", "ClickHouse"), ("app_database_url", "app database")):
        if not values.get(field):
            raise MoveError(f"{path} names no {what} to move into: it needs a line {PREFIX}{field.upper()}=…")
        if values[field] == str(getattr(settings, field)):
            raise SettingError(PREFIX + field.upper(), "the one that is used now", f"another {what}")
    values.setdefault("secret_key", load_secret_key(settings))
    return load_settings(**{**values, "data_dir": settings.data_dir / FOLDER / "there"})


class Mover:
    """Moves what is here. `practises`: beside a running `serve`; what comes later is not in the copy."""

    def __init__(
        self,
        here: Settings,
        there: Settings,
        clock: Callable[[], int],
        progress: Progress = lambda done, total, what: None,
    ) -> None:
        self._here = here
        self._there = there
        self._clock = clock
        self._progress = progress
        self._folder = here.data_dir / FOLDER

    def move(self, *, practises: bool, replaces: bool) -> Moved:
        """See the module. `replaces`: what the new stores have is deleted first.

        Raises `MoveError`, `BackupError`, and what the stores raise.
        """
        ours, theirs = open_app_database(self._here), open_app_database(self._there)
        try:
            if not practises:
                self._check_stopped(ours)
            restored = self._copy(ours, theirs, replaces=replaces, settle_s=SETTLE_S if practises else 0.0)
            _take_salts(ours, theirs)
        finally:
            ours.dispose()
            theirs.dispose()
        if not practises:
            shutil.rmtree(self._folder)
        waiting = sum(folder.records for folder in inspect(self._here.spool_root))
        return Moved(restored.rows, restored.app_rows, waiting, restored.notes)

    def _check_stopped(self, engine: Engine) -> None:
        if self._here.clickhouse_url:
            check_serving(engine, self._clock())
        elif is_served(home_folder(self._here.data_dir)):
            raise MoveError(
                f"something runs in {self._here.data_dir}: stop `footfall serve` first, or try it with --practise"
            )

    def _copy(self, ours: Engine, theirs: Engine, *, replaces: bool, settle_s: float) -> Restored:
        target, key = self._copies()
        with open_store(self._here) as store:
            store.migrate()
            with closing(store.connection()) as connection:
                made = BackupMaker(
                    self._here,
                    ours,
                    connection,
                    store.form,
                    target,
                    key,
                    self._clock,
                    self._progress,
                    settle_s=settle_s,
                ).make()
        # It is no backup that anybody could look for.
        register.forget(ours, made.manifest.backup_id)
        # What an earlier call left half done is ours to replace.
        replaces = replaces or bool(register.half_restored(theirs))
        with open_store(self._there) as store:
            restorer = Restorer(self._there, theirs, store, target, key, made.manifest, self._clock, self._progress)
            return restorer.restore(replaces=replaces)

    def _copies(self) -> tuple[FolderTarget, BackupKey]:
        copies, key_path = self._folder / "copies", self._folder / "key"
        for folder in (copies / UPLOADS, self._there.data_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (
            suppress(FileExistsError),
            os.fdopen(os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file,
        ):
            file.write(new_key())
        return FolderTarget(copies), BackupKey(base64.b64decode(key_path.read_text()))


def _take_salts(ours: Engine, theirs: Engine) -> None:
    """The new app database has the salts of the old one, and no others."""
    with reading(ours) as session:
        salts: list[Mapping[str, object]] = [
            {"date": salt.date, "salt": salt.salt} for salt in session.execute(select(Salt)).scalars()
        ]
    with writing(theirs) as session:
        session.execute(delete(Salt))
        if salts:
            session.execute(insert(Salt), salts)
        bump_version(session)
