"""Where backups are kept: a folder or a bucket, under names of ours.

Invariants of every target: an object is there whole or not at all, is never changed, and is written in one go by one
writer. An upload that was cut short leaves nothing that `stored` shows; what it left is removed by `remove_leftovers`.

Errors: `MissingObject`, `TargetRefused`, `TargetUnavailable` of `server.backups.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from server.backups.errors import BackupsOff
from server.config import Settings

Read = Callable[[int], bytes]
"""The next so many bytes; fewer only at the end."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the target lists it. `modified_at_ms` is by the target's clock."""

    path: str
    file_bytes: int
    modified_at_ms: int


class BackupTarget(Protocol):
    """See the module. Not thread-safe."""

    @property
    def name(self) -> str:
        """As people know it; without credentials."""

    def uploading(self, path: str) -> AbstractContextManager[Callable[[bytes], None]]:
        """Takes the object's bytes. It is there, durably, once the `with` has ended without an exception."""

    def downloading(self, path: str) -> AbstractContextManager[Read]:
        """Gives the object's bytes in order."""

    def size(self, path: str) -> int | None:
        """Bytes of an object; None when it is not there."""

    def renew(self, path: str, before_ms: int) -> None:
        """Have an object of before this time be one of now: a place may remove what is old by itself."""

    def stored(self, folder: str) -> Iterator[Stored]:
        """The objects of `<folder>/`, by path."""

    def remove(self, path: str) -> None:
        """Remove an object, if it is there."""

    def remove_leftovers(self, before_ms: int) -> int:
        """Remove what uploads that began before this time left when they were cut short; how many there were."""


def open_target(settings: Settings) -> BackupTarget:
    """The target that the settings name. Raises `BackupsOff`, `TargetRefused`, `TargetUnavailable`."""
    if not settings.backup_target:
        raise BackupsOff
    if settings.backup_target.startswith("s3://"):
        # Imported here: who keeps backups in a folder need not hold Amazon's library in memory.
        from server.backups.s3_target import S3Target

        return S3Target.of(settings)
    from server.backups.folder_target import FolderTarget

    return FolderTarget.of(settings)
