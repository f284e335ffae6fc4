"""Removing backups that are over, and what no backup refers to any more.

A backup is over after its days, or when there are more than are to be kept; the newest one never is. Its manifest goes
first: from then on it does not exist. Then objects go that no manifest names and that are older than the safety age. A
manifest that cannot be read (another key, damage) may name any of them, so nothing goes while there is one that is not
over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Engine

from server.app_database import reading
from server.backups import register
from server.backups.errors import DamagedObject, MissingObject, WrongKey
from server.backups.key import BackupKey
from server.backups.manifest import MANIFESTS, OBJECTS, backup_ids, id_time_ms, load_manifest
from server.backups.target import BackupTarget
from server.clock import HOUR_MS
from server.config import Settings


@dataclass(frozen=True)
class Expired:
    """What was removed; and manifests that cannot be read, for which objects are kept."""

    backups: int
    objects: int
    unreadable: tuple[str, ...]


def expire(
    settings: Settings,
    engine: Engine,
    target: BackupTarget,
    key: BackupKey,
    now_ms: int,
    progress: Callable[[str], None] = lambda what: None,
) -> Expired:
    """See the module; safe to be cut anywhere and done again. Not while a backup is being made: removes nothing
    then."""
    with reading(engine) as session:
        if register.is_backup_running(session, now_ms):
            return Expired(0, 0, ())
    there = backup_ids(target)
    over = [each for place, each in enumerate(there) if _is_over(settings, each, len(there) - place, now_ms)]
    for backup_id in over:
        progress(f"removing {backup_id}")
        target.remove(f"{MANIFESTS}/{backup_id}")
    kept = [each for each in there if each not in over]
    named: set[str] = set()
    sizes: dict[str, tuple[int, int]] = {}
    unreadable = []
    for backup_id in kept:
        progress(f"reading {backup_id}")
        sizes[backup_id] = (0, 0)
        try:
            manifest = load_manifest(target, key, backup_id)
        except (WrongKey, DamagedObject, MissingObject):
            unreadable.append(backup_id)
            continue
        named.update(each.path for each in manifest.objects)
        sizes[backup_id] = (manifest.rows, manifest.file_bytes)
    before_ms = now_ms - settings.backup_safety_hours * HOUR_MS
    removed = 0 if unreadable else _remove_unnamed(target, named, before_ms, progress)
    target.remove_leftovers(before_ms)
    register.note_what_is_there(engine, settings, sizes, now_ms)
    return Expired(len(over), removed, tuple(unreadable))


def _is_over(settings: Settings, backup_id: str, age_rank: int, now_ms: int) -> bool:
    """`age_rank`: 1 for the newest."""
    if age_rank == 1:
        return False
    is_old = register.expires_at_ms(settings, id_time_ms(backup_id)) <= now_ms
    return is_old or age_rank > settings.backup_keep_count


def _remove_unnamed(target: BackupTarget, named: Iterable[str], before_ms: int, progress: Callable[[str], None]) -> int:
    kept = set(named)
    removed = 0
    for each in target.stored(OBJECTS):
        if each.path not in kept and each.modified_at_ms < before_ms:
            target.remove(each.path)
            removed += 1
            progress(f"{removed} objects removed")
    return removed
