"""Backups in a folder: on another disk or a mounted share; in the data folder they would be lost with it.

An object is written beside its place, synced, and renamed into it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from server.backups.errors import MissingObject, TargetRefused, TargetUnavailable
from server.backups.target import Read, Stored
from server.config import Settings
from server.spool import sync_folder

UPLOADS = "uploads"
"""What is being written, by random names."""


class FolderTarget:
    """A `BackupTarget`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @classmethod
    def of(cls, settings: Settings) -> FolderTarget:
        """The folder that the settings name, made when it is missing."""
        root = Path(settings.backup_target)
        data_dir = settings.data_dir.resolve()
        if root.resolve() == data_dir or data_dir in root.resolve().parents:
            raise TargetRefused(
                f"{root} is inside the data folder {settings.data_dir}: a backup there would be lost with what it is of"
            )
        with _telling(root):
            (root / UPLOADS).mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(root)

    @property
    def name(self) -> str:
        """The folder."""
        return str(self._root)

    @contextmanager
    def uploading(self, path: str) -> Iterator[Callable[[bytes], None]]:
        """See `BackupTarget`."""
        temporary = self._root / UPLOADS / secrets.token_hex(16)
        final = self._root / path
        with _telling(self._root):
            file = open(temporary, "xb")  # noqa: SIM115 - closed below, whatever happens

        def write(data: bytes) -> None:
            with _telling(self._root):
                file.write(data)

        try:
            yield write
            with _telling(self._root):
                file.flush()
                os.fsync(file.fileno())
                file.close()
                final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.rename(temporary, final)
                for folder in (final.parent, self._root):
                    sync_folder(folder)
        except BaseException:
            with suppress(OSError):
                file.close()
                temporary.unlink()
            raise

    @contextmanager
    def downloading(self, path: str) -> Iterator[Read]:
        """See `BackupTarget`."""
        try:
            file = open(self._root / path, "rb")  # noqa: SIM115 - closed by the with below
        except FileNotFoundError:
            raise MissingObject(path) from None
        except OSError as error:
            raise _told(error, self._root) from None
        with file:

            def read(count: int) -> bytes:
                with _telling(self._root):
                    return file.read(count)

            yield read

    def size(self, path: str) -> int | None:
        """See `BackupTarget`."""
        try:
            return (self._root / path).stat().st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _told(error, self._root) from None

    def renew(self, path: str, before_ms: int) -> None:
        """See `BackupTarget`."""
        try:
            if (self._root / path).stat().st_mtime * 1000 < before_ms:
                os.utime(self._root / path)
        except FileNotFoundError:
            raise MissingObject(path) from None
        except OSError as error:
            raise _told(error, self._root) from None

    def stored(self, folder: str) -> Iterator[Stored]:
        """See `BackupTarget`."""
        with _telling(self._root):
            paths = sorted(path for path in (self._root / folder).glob("**/*") if path.is_file())
        for path in paths:
            with suppress(FileNotFoundError):  # removed meanwhile
                status = path.stat()
                name = path.relative_to(self._root).as_posix()
                yield Stored(name, status.st_size, int(status.st_mtime * 1000))

    def remove(self, path: str) -> None:
        """See `BackupTarget`."""
        with _telling(self._root):
            (self._root / path).unlink(missing_ok=True)

    def remove_leftovers(self, before_ms: int) -> int:
        """See `BackupTarget`."""
        over = [each for each in self.stored(UPLOADS) if each.modified_at_ms < before_ms]
        for each in over:
            self.remove(each.path)
        return len(over)


@contextmanager
def _telling(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _told(error, root) from error


def _told(error: OSError, root: Path) -> TargetRefused | TargetUnavailable:
    if isinstance(error, PermissionError):
        return TargetRefused(f"the folder of backups {root} refuses this user: {error.strerror}")
    return TargetUnavailable(f"the folder of backups {root} cannot be used: {error.strerror}")
