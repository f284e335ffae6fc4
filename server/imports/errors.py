"""What can be wrong with a file that somebody wants to import. Each text is for that person."""

from __future__ import annotations

from collections.abc import Sequence

MOST_COLUMNS_NAMED = 6
MOST_NAME_CHARS = 40


class ImportRefused(Exception):
    """The file as a whole cannot be imported; `str()` says why and what to do. Nothing of it was stored."""


class KindUnknown(ImportRefused):
    """Nothing in the file tells what it is."""


class ColumnsForeign(KindUnknown):
    """An export of Google Analytics whose columns have names of another language than English."""

    def __init__(self, columns: Sequence[str]) -> None:
        named = ", ".join(f"“{column[:MOST_NAME_CHARS]}”" for column in columns[:MOST_COLUMNS_NAMED])
        super().__init__(
            f"it looks like an export of Google Analytics, but its columns are named {named}. The English names are "
            "taken: Date, with Active users, Sessions, Views and others. Choose English in Google Analytics (Admin, My "
            "preferences, Language), and export it again"
        )


class ArchiveBroken(ImportRefused):
    """A zip or gzip file is damaged, encrypted, or packed in a way that is not understood."""


class UnpacksTooLarge(ImportRefused):
    """A compressed file unpacks to more than any export does. Reading stopped; what was read before stays."""


class FileMissing(Exception):
    """The uploaded file is not on this machine. Retried: another worker may have it."""


class AlreadyImported(ImportRefused):
    """The same file was imported into the same site, or is being imported. `import_id` is that import."""

    def __init__(self, import_id: int, message: str) -> None:
        super().__init__(message)
        self.import_id = import_id


class QuotaExceeded(ImportRefused):
    """The account's waiting files would take more room than they may."""


class ImportBusy(ImportRefused):
    """What was asked for cannot be done while the import is in this state."""
