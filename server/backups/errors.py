"""What can be wrong with a backup. The text says what was wrong and what to do; it never holds a key."""

from __future__ import annotations


class BackupError(Exception):
    """Any of the following. Nothing was lost: what was being made is left over, what was being read is untouched."""


class BackupsOff(BackupError):
    """There is no target."""

    def __init__(self) -> None:
        super().__init__("there is no place for backups: set FOOTFALL_BACKUP_TARGET to a folder or s3://bucket/prefix")


class KeyMissing(BackupError):
    """There is no key, or its file cannot be read."""


class WrongKey(BackupError):
    """An object was encrypted with another key."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} was encrypted with another key: set FOOTFALL_BACKUP_KEY to the one with which the backup was made"
        )


class DamagedObject(BackupError):
    """An object is not what was written: changed, cut short, put together otherwise, or another one in its place."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(
            f"{path} is damaged: {what}. What refers to it cannot be restored; `footfall backup list` names others"
        )


class MissingObject(BackupError):
    """An object is not there."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is missing. What refers to it cannot be restored; `footfall backup list` names others"
        )


class TargetRefused(BackupError):
    """The target does not let us in. Permanent until somebody changes a setting or a permission."""


class TargetUnavailable(BackupError):
    """The target does not answer, or is full. It may be tried again."""


class UnknownBackup(BackupError):
    """There is no such backup, or none at all."""


class AnotherRuns(BackupError):
    """A backup is being made by another process, or was a moment ago by one that is gone."""


class RowsUnderWay(BackupError):
    """Rows have been between two retention classes for too long: whoever moved them died."""

    def __init__(self, moves: int) -> None:
        super().__init__(
            f"rows of {moves} months of sites are on their way between two retention classes: "
            "`footfall jobs run retention` completes that; then make the backup"
        )


class NotRestored(BackupError):
    """What is here is not what was backed up before: a backup of it would be the newest, and hide those that matter."""


class NewerBackup(BackupError):
    """A backup was made by a newer release, whose tables this one does not know."""


class NotEmpty(BackupError):
    """The installation to restore into has data."""


class StillServing(BackupError):
    """The installation to restore into takes hits."""


class RestoreCutShort(BackupError):
    """Another backup is half restored here."""


class RowsDiffer(BackupError):
    """A partition holds other rows after it was restored than the backup says."""
