"""Holding a backup against what its manifest says, without restoring it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from server.backups.app_rows import AppContent
from server.backups.block_file import BlockFileReader
from server.backups.errors import BackupError, DamagedObject, TargetRefused, TargetUnavailable
from server.backups.key import BackupKey
from server.backups.manifest import Manifest, PartitionCopy, SealedObject
from server.backups.sealed_file import CHUNK_BYTES, opened
from server.backups.target import BackupTarget

Progress = Callable[[int, int, str], None]
"""Told (bytes done, bytes in all, what is done now); may raise to end the work."""


@dataclass
class Verified:
    """What was found: `problems` is empty when everything is as it was written."""

    objects: int = 0
    rows: int = 0
    file_bytes: int = 0
    problems: list[str] = field(default_factory=list)


def verify(target: BackupTarget, key: BackupKey, manifest: Manifest, progress: Progress, *, is_quick: bool) -> Verified:
    """Read every object of a backup. `is_quick`: only the hash of each file; else it is decrypted and looked through.

    Goes on after what is wrong; raises `TargetRefused` and `TargetUnavailable`.
    """
    found = Verified()
    steps: list[tuple[str, SealedObject, PartitionCopy | None]] = [("app database", manifest.app.object, None)]
    steps += [(f"{each.table} {each.partition_id}", each.object, each) for each in manifest.partitions]
    for what, sealed, copy in steps:
        progress(found.file_bytes, manifest.file_bytes, what)
        try:
            if is_quick:
                _check_file(target, sealed)
            elif copy is None:
                _check_app(target, key, manifest)
            else:
                _check_partition(target, key, copy)
            found.objects += 1
            found.rows += copy.rows if copy is not None else 0
        except (TargetRefused, TargetUnavailable):
            raise
        except BackupError as error:
            found.problems.append(f"{what}: {error}")
        found.file_bytes += sealed.sums.file_bytes
    progress(found.file_bytes, manifest.file_bytes, "")
    return found


@contextmanager
def checked_content(target: BackupTarget, key: BackupKey, sealed: SealedObject) -> Iterator[Iterator[bytes]]:
    """The content of an object; the `with` ends with `DamagedObject` unless all of it was read and is what was
    written."""
    file_hash, content_hash = hashlib.sha256(), hashlib.sha256()
    sizes = [0, 0]

    with target.downloading(sealed.path) as read:

        def hashed(count: int) -> bytes:
            data = read(count)
            file_hash.update(data)
            sizes[0] += len(data)
            return data

        def content() -> Iterator[bytes]:
            for piece in opened(hashed, key, sealed.path):
                content_hash.update(piece)
                sizes[1] += len(piece)
                yield piece

        yield content()
    sums = sealed.sums
    if (*sizes, file_hash.hexdigest(), content_hash.hexdigest()) != (
        sums.file_bytes,
        sums.content_bytes,
        sums.file_sha256,
        sums.content_sha256,
    ):
        raise DamagedObject(sealed.path, "it is another object than the backup was made of")


def _check_file(target: BackupTarget, sealed: SealedObject) -> None:
    found = hashlib.sha256()
    with target.downloading(sealed.path) as read:
        while piece := read(CHUNK_BYTES):
            found.update(piece)
    if found.hexdigest() != sealed.sums.file_sha256:
        raise DamagedObject(sealed.path, "its hash is not that of the manifest")


def _check_app(target: BackupTarget, key: BackupKey, manifest: Manifest) -> None:
    counts = dict.fromkeys(manifest.app.rows, 0)
    sealed = manifest.app.object
    with checked_content(target, key, sealed) as content:
        for name, rows in AppContent(content, sealed.path).rows():
            if name:
                counts[name] = counts.get(name, 0) + len(rows)
        _exhaust(content)
    if counts != manifest.app.rows:
        raise DamagedObject(sealed.path, "it has other rows than the manifest says")


def _check_partition(target: BackupTarget, key: BackupKey, copy: PartitionCopy) -> None:
    with checked_content(target, key, copy.object) as content:
        reader = BlockFileReader(content, copy.object.path)
        blocks = 0
        for block in reader.blocks():
            reader.check(block)
            blocks += 1
    if (reader.head.table, reader.head.partition_id, blocks) != (copy.table, copy.partition_id, copy.blocks):
        raise DamagedObject(copy.object.path, "it is of another partition, or has other blocks, than the manifest says")


def _exhaust(content: Iterator[bytes]) -> None:
    for _ in content:
        pass
