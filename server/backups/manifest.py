"""The manifest of a backup: what it consists of. It is written last: a backup without one does not exist.

`manifests/<id>` is JSON, sealed like every object (`server.backups.sealed_file`), so that nobody without the key reads
or forges one. Ids begin with the time of the backup, so that paths sort by it. Objects lie under `objects/`, by random
names; several manifests may refer to one, when a partition did not change between them.
"""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from server.backups.errors import DamagedObject, UnknownBackup
from server.backups.key import BackupKey
from server.backups.sealed_file import SALT_BYTES, SealingWriter, Sums, opened
from server.backups.target import BackupTarget

FORMAT = 1
MANIFESTS = "manifests"
OBJECTS = "objects"

_ID = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class SealedObject:
    """One object: where it is and what it must be."""

    path: str
    sums: Sums


@dataclass(frozen=True, slots=True)
class PartitionCopy:
    """The copy of one partition. `fingerprint` is empty where the copy is not all that the partition held."""

    table: str
    partition_id: str
    rows: int
    blocks: int
    fingerprint: str
    object: SealedObject


@dataclass(frozen=True, slots=True)
class AppCopy:
    """The copy of the app database. `migration` is the state of its tables."""

    migration: str
    rows: dict[str, int]
    object: SealedObject


@dataclass(frozen=True)
class Manifest:
    """See the module.

    `taken_at_ms`: the moment of which everything is. `is_settled`: whether every hit answered before it was stored by
    then. `store_migrations`: the state of ClickHouse's tables. `cluster`: whether they were in the cluster form.
    """

    backup_id: str
    taken_at_ms: int
    is_settled: bool
    release: str
    store_migrations: tuple[str, ...]
    cluster: bool
    app: AppCopy
    partitions: tuple[PartitionCopy, ...] = field(default=())

    @property
    def objects(self) -> list[SealedObject]:
        """Everything it refers to."""
        return [self.app.object, *(each.object for each in self.partitions)]

    @property
    def rows(self) -> int:
        """Rows of all tables of events."""
        return sum(each.rows for each in self.partitions)

    @property
    def file_bytes(self) -> int:
        """Bytes of all that it refers to."""
        return sum(each.sums.file_bytes for each in self.objects)


def new_backup_id(taken_at_ms: int) -> str:
    """An id that no other backup has. Its order is that of time, to the millisecond: the greatest is the newest."""
    second = datetime.fromtimestamp(taken_at_ms // 1000, UTC)
    return f"{second:%Y%m%dT%H%M%S}{taken_at_ms % 1000:03d}Z-{secrets.token_hex(4)}"


def new_object_path() -> str:
    """A path that no other object has."""
    name = secrets.token_hex(16)
    return f"{OBJECTS}/{name[:2]}/{name}"


def id_time_ms(backup_id: str) -> int:
    """The time that an id begins with."""
    second = datetime.strptime(backup_id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return int(second.timestamp()) * 1000 + int(backup_id[15:18])


def backup_ids(target: BackupTarget) -> list[str]:
    """The backups that are there, oldest first."""
    names = (each.path.removeprefix(f"{MANIFESTS}/") for each in target.stored(MANIFESTS))
    return sorted(name for name in names if _ID.fullmatch(name))


def chosen_id(target: BackupTarget, asked: str) -> str:
    """The backup that an id, or its beginning, names; the newest for an empty one. Raises `UnknownBackup`."""
    there = backup_ids(target)
    found = [each for each in there if each.startswith(asked)]
    if asked and len(found) != 1:
        which = "names several backups" if found else "is no backup"
        raise UnknownBackup(f"{asked!r} {which} in {target.name}: `footfall backup list` shows them")
    if not there:
        raise UnknownBackup(f"there is no backup in {target.name}: `footfall backup create` makes one")
    return found[-1]


def save_manifest(target: BackupTarget, key: BackupKey, manifest: Manifest) -> None:
    """Write it, which makes the backup exist."""
    path = f"{MANIFESTS}/{manifest.backup_id}"
    document = {"format": FORMAT, **dataclasses.asdict(manifest)}
    with target.uploading(path) as put:
        writer = SealingWriter(put, key, path, secrets.token_bytes(SALT_BYTES))
        writer.write(orjson.dumps(document))
        writer.close()


def load_manifest(target: BackupTarget, key: BackupKey, backup_id: str) -> Manifest:
    """Raises `WrongKey`, `DamagedObject`, `MissingObject`, and what the target raises."""
    path = f"{MANIFESTS}/{backup_id}"
    with target.downloading(path) as read:
        document = orjson.loads(b"".join(opened(read, key, path)))
    if document.pop("format") != FORMAT:
        raise DamagedObject(path, "it has a format that this release does not know")
    app = document.pop("app")
    return Manifest(
        app=AppCopy(app["migration"], app["rows"], _object(app["object"])),
        partitions=tuple(map(partition_copy, document.pop("partitions"))),
        store_migrations=tuple(document.pop("store_migrations")),
        **document,
    )


def manifests(target: BackupTarget, key: BackupKey) -> Iterator[Manifest]:
    """Those of every backup, oldest first."""
    for backup_id in backup_ids(target):
        yield load_manifest(target, key, backup_id)


def partition_copy(document: dict[str, Any]) -> PartitionCopy:
    """One copy, as `dataclasses.asdict` wrote it."""
    return PartitionCopy(**{**document, "object": _object(document["object"])})


def _object(document: dict[str, Any]) -> SealedObject:
    return SealedObject(document["path"], Sums(**document["sums"]))
