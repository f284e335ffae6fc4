"""Records that could not be stored, kept until somebody looks: nothing that was answered is ever thrown away.

| file in the quarantine folder | what |
|---|---|
| `<id>.seg` + `<id>.json` | a whole segment that the store refuses or nobody can read |
| `<id>.damage` + `<id>.damage.json` | the damaged byte ranges of a segment whose other records were stored |

The description is written first, the file appears by `link` or `rename`: a file that is there has its description.
Names follow from the segment's id, so doing the same again after a crash changes nothing. `footfall spool replay
--quarantine` sends whole segments again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.spool import sync_folder

SEGMENT_SUFFIX = ".seg"
DAMAGE_SUFFIX = ".damage"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One kept file. `records` is how many answered hits it holds."""

    path: Path
    reason: str
    error: str
    records: int
    at_ms: int

    @property
    def is_segment(self) -> bool:
        """Whole, so that it can be sent again."""
        return self.path.suffix == SEGMENT_SUFFIX


class Quarantine:
    """The folder. Safe from several threads and processes: names are unique per segment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep_segment(self, segment: Path, *, reason: str, error: str, records: int) -> Path:
        """Keep a whole segment. The original stays where it is: discarding it is the caller's."""
        kept = self.folder / f"{segment.stem}{SEGMENT_SUFFIX}"
        self._describe(kept.with_suffix(".json"), reason, error, records)
        try:
            os.link(segment, kept)
        except FileExistsError:
            pass  # kept before a crash
        except OSError:
            self._copy(segment, kept)  # another file system, or one without links
        sync_folder(self.folder)
        return kept

    def keep_damage(self, segment: Path, ranges: Sequence[tuple[int, int]], *, reason: str, records: int) -> Path:
        """Keep the damaged byte ranges of a segment, one after the other."""
        kept = self.folder / f"{segment.stem}{DAMAGE_SUFFIX}"
        error = "bytes " + ", ".join(f"{start}-{end}" for start, end in ranges)
        self._describe(kept.with_name(f"{kept.name}.json"), reason, error, records)
        partial = kept.with_name(f"{kept.name}.new")
        with segment.open("rb") as source, partial.open("wb") as copy:
            for start, end in ranges:
                source.seek(start)
                copy.write(source.read(end - start))
            copy.flush()
            os.fsync(copy.fileno())
        partial.replace(kept)
        sync_folder(self.folder)
        return kept

    def entries(self) -> list[Quarantined]:
        """Everything that is kept, oldest first."""
        if not self.folder.is_dir():
            return []
        found = []
        for path in self.folder.iterdir():
            if path.suffix == SEGMENT_SUFFIX:
                found.append(_read(path, path.with_suffix(".json")))
            elif path.suffix == DAMAGE_SUFFIX:
                found.append(_read(path, path.with_name(f"{path.name}.json")))
        return sorted(found, key=lambda entry: (entry.at_ms, entry.path.name))

    def release(self, entry: Quarantined) -> None:
        """Remove a segment that has been stored after all."""
        entry.path.unlink()
        entry.path.with_suffix(".json").unlink(missing_ok=True)
        sync_folder(self.folder)

    def _describe(self, path: Path, reason: str, error: str, records: int) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        description = {"reason": reason, "error": error, "rows": records, "at": int(time.time() * 1000)}
        partial = path.with_name(f"{path.name}.new")
        with partial.open("w", encoding="utf-8") as file:
            json.dump(description, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)

    def _copy(self, segment: Path, kept: Path) -> None:
        partial = kept.with_name(f"{kept.name}.new")
        with segment.open("rb") as source, partial.open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        partial.replace(kept)


def _read(path: Path, description: Path) -> Quarantined:
    """An entry, even if somebody removed or damaged its description."""
    try:
        values = json.loads(description.read_bytes())
        return Quarantined(path, str(values["reason"]), str(values["error"]), int(values["rows"]), int(values["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Quarantined(path, "undescribed", "", 0, int(path.stat().st_mtime * 1000))
