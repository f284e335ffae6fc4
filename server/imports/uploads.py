"""Where uploaded files wait: a folder for this user alone, one file per import, gone when the import is done.

| file | what |
|---|---|
| `<account>-<random>.part` | is being received |
| `<import>.upload` | waits for its import, or is being read |

A name that somebody sent is never part of a path. Files that belong to no import, or to one that is over, are removed
by `sweep`: what a killed process left goes with the next upload or import.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Engine, select

from server.app_database import reading
from server.config import Settings
from server.imports.errors import ImportRefused, QuotaExceeded
from server.imports.rows import ImportState
from server.models import Import, Site
from server.spool import sync_folder

PART_SUFFIX = ".part"
FILE_SUFFIX = ".upload"
LOOKUP_SUFFIX = ".lookup"

TOKEN_BYTES = 16
_TOKEN = re.compile(rf"[0-9a-f]{{{2 * TOKEN_BYTES}}}")

# An upload that has not moved for so long is over: its page is closed.
STALE_AFTER_S = 3_600.0

# A failed import may be tried again for so long, which is less than its rows can be asked for by their batch.
KEEP_FAILED_DAYS = 6

WAITING = (ImportState.UPLOADED, ImportState.RUNNING, ImportState.FAILED)


def imports_folder(settings: Settings) -> Path:
    """The folder, made when it is missing."""
    folder = Path(settings.imports_dir) if settings.imports_dir else settings.data_dir / "imports"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def upload_path(settings: Settings, import_id: int) -> Path:
    """The file of an import."""
    return imports_folder(settings) / f"{import_id}{FILE_SUFFIX}"


class UploadGone(ImportRefused):
    """The upload is not known: it was finished, given up, or has not moved for an hour."""


class OffsetWrong(ImportRefused):
    """A piece does not begin where the file ends. `size_bytes`: where it has to begin."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the next piece begins at {size_bytes}")
        self.size_bytes = size_bytes


class UploadTooLarge(ImportRefused):
    """The file is larger than `import_max_bytes`."""


@dataclass(frozen=True)
class Upload:
    """A file on its way in, piece by piece; each piece may come to another process. What follows blocks."""

    settings: Settings
    account_id: int
    token: str

    @classmethod
    def begin(cls, settings: Settings, account_id: int) -> Upload:
        """An empty file with a name that nobody can guess."""
        upload = cls(settings, account_id, secrets.token_hex(TOKEN_BYTES))
        descriptor = os.open(upload.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.close(descriptor)
        return upload

    @property
    def path(self) -> Path:
        """Where it is; the account is part of the name, so nobody finishes what others began."""
        return imports_folder(self.settings) / f"{self.account_id}-{self.token}{PART_SUFFIX}"

    def append(self, offset_bytes: int, data: bytes) -> int:
        """Add a piece; the size now. A piece that is there already changes nothing, so any may be sent again.

        Raises `UploadGone`, `OffsetWrong`, `UploadTooLarge`; OSError, on a full disk for one.
        """
        with self._open() as file:
            # Of two requests with one piece the second sees what the first has written.
            fcntl.flock(file, fcntl.LOCK_EX)
            size_bytes = file.seek(0, os.SEEK_END)
            if offset_bytes + len(data) <= size_bytes:
                return size_bytes
            if offset_bytes != size_bytes:
                raise OffsetWrong(size_bytes)
            if size_bytes + len(data) > self.settings.import_max_bytes:
                raise UploadTooLarge(
                    f"a file may have {self.settings.import_max_bytes:,} bytes: compress it, or send it in parts"
                )
            file.write(data)
            return size_bytes + len(data)

    def finish(self) -> str:
        """All of it is here: on the disk from now on. The hash of its content. Raises `UploadGone`, OSError."""
        with self._open() as file:
            os.fsync(file.fileno())
        with self.path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    def keep_as(self, import_id: int) -> Path:
        """Give it to its import."""
        kept = upload_path(self.settings, import_id)
        os.rename(self.path, kept)
        sync_folder(kept.parent)
        return kept

    def drop(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)

    def _open(self) -> BinaryIO:
        if not _TOKEN.fullmatch(self.token):
            raise UploadGone("this upload is not known")
        try:
            return self.path.open("r+b")
        except FileNotFoundError:
            raise UploadGone("this upload is not known any more: choose the file again") from None


def check_quota(engine: Engine, settings: Settings, account_id: int, more_bytes: int) -> None:
    """Raises `QuotaExceeded` when so many more bytes would be too many for the account."""
    folder = imports_folder(settings)
    waiting = select(Import.import_id).join(Site, Site.site_id == Import.site_id)
    waiting = waiting.where(Site.account_id == account_id, Import.state.in_(WAITING))
    with reading(engine) as session:
        ids = list(session.execute(waiting).scalars())
    held_bytes = sum(_size(folder / f"{import_id}{FILE_SUFFIX}") for import_id in ids)
    held_bytes += sum(_size(path) for path in folder.glob(f"{account_id}-*{PART_SUFFIX}"))
    if held_bytes + more_bytes > settings.import_quota_bytes:
        raise QuotaExceeded(
            f"files of this account that wait to be imported take {held_bytes:,} of the {settings.import_quota_bytes:,}"
            " bytes they may take: wait until they are done, or cancel one"
        )


def sweep(engine: Engine, settings: Settings, now_s: float | None = None) -> int:
    """Remove files that nobody waits for any more; how many."""
    now_s = time.time() if now_s is None else now_s
    folder = imports_folder(settings)
    with reading(engine) as session:
        rows = session.execute(select(Import.import_id, Import.ended_at_ms).where(Import.state.in_(WAITING)))
        oldest_ms = int((now_s - KEEP_FAILED_DAYS * 86_400) * 1000)
        wanted = {f"{number}{FILE_SUFFIX}" for number, ended_ms in rows if ended_ms is None or ended_ms > oldest_ms}
    stale = (path for path in folder.iterdir() if path.suffix in (PART_SUFFIX, FILE_SUFFIX, LOOKUP_SUFFIX))
    return sum(_remove(path) for path in _over(stale, wanted, now_s))


def _over(paths: Iterable[Path], wanted: set[str], now_s: float) -> Iterable[Path]:
    for path in paths:
        try:
            is_stale = now_s - path.stat().st_mtime > STALE_AFTER_S
        except FileNotFoundError:
            continue
        if path.name not in wanted and is_stale:
            yield path


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
