"""What a backup had copied before it was cut short, so that the next one need not copy it again.

`drafts/<id of the backup>-<number>` is JSON, sealed like a manifest: the copies of partitions that have not changed
since they were made. It is written every few minutes, and goes with the next backup that is completed. Nothing can be
restored from one, and nothing is kept for one: an object that is gone is copied again.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable

import orjson

from server.backups.errors import BackupError, TargetUnavailable
from server.backups.key import BackupKey
from server.backups.manifest import PartitionCopy, partition_copy
from server.backups.sealed_file import SALT_BYTES, SealingWriter, opened
from server.backups.target import BackupTarget

DRAFTS = "drafts"


def save_draft(
    target: BackupTarget, key: BackupKey, name: str, copies: Iterable[PartitionCopy], *, cluster: bool
) -> None:
    """Write one, and remove those before it. `name` sorts by time; `cluster`: the form of the tables."""
    path = f"{DRAFTS}/{name}"
    document = {"cluster": cluster, "partitions": [dataclasses.asdict(each) for each in copies]}
    with target.uploading(path) as put:
        writer = SealingWriter(put, key, path, secrets.token_bytes(SALT_BYTES))
        writer.write(orjson.dumps(document))
        writer.close()
    _remove(target, but=path)


def drafted(target: BackupTarget, key: BackupKey, *, cluster: bool) -> list[PartitionCopy]:
    """The copies that the newest draft names, if it can be read. Raises `TargetUnavailable`."""
    paths = [each.path for each in target.stored(DRAFTS)]
    if not paths:
        return []
    try:
        with target.downloading(max(paths)) as read:
            document = orjson.loads(b"".join(opened(read, key, max(paths))))
    except TargetUnavailable:
        raise
    except BackupError:
        return []  # of another key, or half removed: everything is copied again
    return [partition_copy(each) for each in document["partitions"]] if document["cluster"] == cluster else []


def remove_drafts(target: BackupTarget) -> None:
    """Remove all."""
    _remove(target)


def _remove(target: BackupTarget, but: str = "") -> None:
    for each in list(target.stored(DRAFTS)):
        if each.path != but:
            target.remove(each.path)
