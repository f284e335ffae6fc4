"""The spool as the store side sees it: folders of segments, whose they are, and what dead processes left behind.

Each collect process writes into a folder of its own under the spool's root and holds an exclusive flock on the folder's
`lock` file. The kernel drops the lock when the process ends, however it ends. Whoever gets the lock afterwards owns the
files: the folder is an orphan, its segments are drained, then it is removed.

Reading never needs the lock: segments only grow at their end (`.open`) or are final (`.seg`), and one that vanishes
while it is read was stored meanwhile.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rust_ext import scan_segment
from server.batch import OPEN_SUFFIX, SEALED_SUFFIX

logger = logging.getLogger(__name__)

SETTLING_S = 10.0
"""An empty folder that changed this recently may belong to a process that is just about to lock it: leave it alone."""
LOCK_NAME = "lock"
"""The file whose flock says who owns the folder; the same name as in rust_ext's spool."""


@dataclass(frozen=True, slots=True)
class SegmentReport:
    """One segment file. `records` are readable."""

    path: Path
    is_open: bool
    file_bytes: int
    shard: int
    month: int
    retention_class: int
    age_s: float
    records: int
    lost_records: int
    torn_tail_bytes: int
    problem: str


@dataclass(frozen=True, slots=True)
class FolderReport:
    """One process's folder. `in_use`: its process lives."""

    path: Path
    in_use: bool
    segments: tuple[SegmentReport, ...]

    @property
    def file_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.file_bytes for segment in self.segments)

    @property
    def records(self) -> int:
        """Readable records of all segments."""
        return sum(segment.records for segment in self.segments)


class OwnedFolder:
    """A folder whose lock this object holds until `close`."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def segments(self) -> list[Path]:
        """What it holds, oldest first. An `.open` file is final now: nobody writes it any more."""
        return segment_files(self.path)

    def discard(self, segment: Path) -> None:
        """Remove a segment that is stored, durably."""
        segment.unlink(missing_ok=True)
        sync_folder(self.path)

    def remove_if_empty(self) -> bool:
        """Remove the folder and give up the lock when no segment is left."""
        if self.segments():
            return False
        with suppress(OSError):  # a file that is not ours keeps the folder, empty of segments
            (self.path / LOCK_NAME).unlink(missing_ok=True)
            self.path.rmdir()
            sync_folder(self.path.parent)
        self.close()
        return True

    def close(self) -> None:
        """Give up the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def segment_files(folder: Path) -> list[Path]:
    """The segments of a folder, oldest first; empty when it is gone."""
    found: list[tuple[float, Path]] = []
    with suppress(FileNotFoundError):
        for path in folder.iterdir():
            if path.suffix in (OPEN_SUFFIX, SEALED_SUFFIX):
                with suppress(FileNotFoundError):  # stored since
                    found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found)]


def folders(root: Path) -> list[Path]:
    """The process folders under a spool's root."""
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def take_folder(folder: Path) -> OwnedFolder | None:
    """Own a folder, or None while a living process does, or when it is gone."""
    try:
        lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return OwnedFolder(folder, lock)


def take_orphans(root: Path) -> Iterator[OwnedFolder]:
    """Own every folder whose process is gone. Empty ones are removed on the way."""
    for folder in folders(root):
        owned = None if _is_settling(folder) else take_folder(folder)
        if owned is not None and not owned.remove_if_empty():
            yield owned


def is_in_use(folder: Path) -> bool:
    """Whether a living process owns the folder, or may be about to."""
    if _is_settling(folder):
        return True
    try:
        lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def _is_settling(folder: Path) -> bool:
    """Taking the lock, even to look, would make the folder's new process fail."""
    with suppress(FileNotFoundError):
        return not segment_files(folder) and time.time() - folder.stat().st_mtime < SETTLING_S
    return False


def inspect(root: Path) -> list[FolderReport]:
    """Every folder with its segments; works beside a running `serve`."""
    now_s = time.time()
    reports = []
    for folder in folders(root):
        segments = []
        for path in segment_files(folder):
            with suppress(FileNotFoundError):  # stored since
                segments.append(_inspect_segment(path, now_s))
        reports.append(FolderReport(folder, is_in_use(folder), tuple(segments)))
    return reports


def _inspect_segment(path: Path, now_s: float) -> SegmentReport:
    data = path.read_bytes()
    scan = scan_segment(data)
    return SegmentReport(
        path=path,
        is_open=path.suffix == OPEN_SUFFIX,
        file_bytes=len(data),
        shard=scan.shard,
        month=scan.month,
        retention_class=scan.retention_class,
        age_s=max(0.0, now_s - scan.created_at_ms / 1000) if scan.segment_id is not None else 0.0,
        records=scan.records,
        lost_records=scan.lost_records,
        torn_tail_bytes=scan.torn_tail_bytes,
        problem=scan.header_error or "",
    )


def sync_folder(folder: Path) -> None:
    """Return once the folder's names (created, renamed, removed) are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
