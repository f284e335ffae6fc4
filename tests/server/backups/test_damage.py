"""What happens to a backup at its place is found by `verify`, and named; a restore that is cut short goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from server.backups.creation import Made
from server.backups.drafts import DRAFTS
from server.backups.errors import BackupError, DamagedObject, RestoreCutShort, WrongKey
from server.backups.expiry import expire
from server.backups.key import BackupKey
from server.backups.manifest import MANIFESTS, backup_ids, load_manifest
from server.backups.verification import verify
from server.clock import DAY_MS, now_ms
from server.config import Settings
from tests.server.backups.conftest import KEY, OTHER_KEY, Installation, contents, fill

Places = Callable[[Settings | None], Installation]


class Killed(BaseException):
    """A process that ends at this step."""


def problems(here: Installation, made: Made, *, is_quick: bool = False) -> list[str]:
    return verify(here.target, KEY, made.manifest, lambda done, total, what: None, is_quick=is_quick).problems


def path_of(here: Installation, path: str) -> Path:
    return Path(here.settings.backup_target) / path


def test_flipped_swapped_and_missing_objects_fail(here: Installation) -> None:
    for month in ("2026-09", "2026-10"):
        fill(here, 200, month)
    made = here.back_up()
    first, second = (path_of(here, each.object.path) for each in made.manifest.partitions[:2])
    app = path_of(here, made.manifest.app.object.path)
    kept = {path: path.read_bytes() for path in (first, second, app)}
    assert problems(here, made) == problems(here, made, is_quick=True) == []
    for path in (first, app):
        flipped = bytearray(kept[path])
        flipped[-20] ^= 1
        path.write_bytes(flipped)
        for is_quick in (False, True):
            assert "is damaged" in problems(here, made, is_quick=is_quick)[0]
        path.write_bytes(kept[path])
    first.write_bytes(kept[second])
    second.write_bytes(kept[first])
    assert len(problems(here, made)) == len(problems(here, made, is_quick=True)) == 2
    second.write_bytes(kept[second])
    first.unlink()
    assert "is missing" in problems(here, made)[0]
    first.write_bytes(kept[first])
    assert problems(here, made) == []
    manifest = path_of(here, f"{MANIFESTS}/{made.manifest.backup_id}")
    whole = manifest.read_bytes()
    with pytest.raises(WrongKey):
        load_manifest(here.target, OTHER_KEY, made.manifest.backup_id)
    manifest.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DamagedObject):
        load_manifest(here.target, KEY, made.manifest.backup_id)


def test_a_restore_that_is_killed_at_any_step_goes_on(places: Places, here: Installation) -> None:
    for month in ("2026-09", "2026-10"):
        fill(here, 300, month)
    manifest = here.back_up().manifest
    there = places(None)
    steps = 0
    while True:
        left = steps

        def kill(done: int, total: int, what: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        try:
            there.restore(manifest, progress=kill)
        except Killed:
            steps += 3
            continue
        break
    assert steps > 6
    assert contents(there) == contents(here)


def test_another_backup_is_not_restored_over_half_of_one(places: Places, here: Installation) -> None:
    fill(here, 100)
    first, second = here.back_up().manifest, here.back_up().manifest
    there = places(None)

    def kill(done: int, total: int, what: str) -> None:
        raise Killed

    with pytest.raises(Killed):
        there.restore(first, progress=kill)
    with pytest.raises(RestoreCutShort, match=first.backup_id):
        there.restore(second)
    there.restore(second, replaces=True)
    assert contents(there) == contents(here)


def test_a_backup_that_is_killed_at_any_step_does_not_exist(here: Installation) -> None:
    fill(here, 100)
    clock_ms = now_ms()
    steps = 0
    while True:
        left = steps

        def kill(done: int, total: int, what: str) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        try:
            made = here.back_up(progress=kill)
        except Killed:
            assert backup_ids(here.target) == []
            steps += 1
            continue
        break
    assert problems(here, made) == []
    assert steps > 2
    # What was left over is removed once it is old enough, and the backup is not touched.
    objects = len(list(here.target.stored("objects")))
    assert expire(here.settings, here.engine, here.target, KEY, clock_ms).objects == 0
    assert expire(here.settings, here.engine, here.target, KEY, clock_ms + 2 * DAY_MS).objects > 0
    assert objects > len(list(here.target.stored("objects"))) == len(made.manifest.objects)
    assert problems(here, made) == []


def test_what_a_killed_backup_had_copied_is_not_copied_again(here: Installation) -> None:
    months = ("2026-07", "2026-08", "2026-09")
    for month in months:
        fill(here, 50, month)

    def kill(done: int, total: int, what: str) -> None:
        if done > 100:
            raise Killed

    with pytest.raises(Killed):
        here.back_up(progress=kill, draft_every_ms=0)
    copied = {each.path for each in here.target.stored("objects")}
    assert len(list(here.target.stored(DRAFTS))) == 1
    assert backup_ids(here.target) == []
    # One of the three that were copied changes.
    fill(here, 1, months[0])
    made = here.back_up()
    assert len(copied & {each.object.path for each in made.manifest.partitions}) == 2
    assert made.copied_partitions == len(made.manifest.partitions) - 2
    assert list(here.target.stored(DRAFTS)) == []
    assert problems(here, made) == []
    # One of another key left something that cannot be read.
    here.key = OTHER_KEY
    with pytest.raises(Killed):
        here.back_up(progress=kill, draft_every_ms=0)
    here.key = KEY
    assert here.back_up().copied_partitions == 0


def test_backups_that_are_over_go_and_the_newest_stays(here: Installation) -> None:
    fill(here, 100)
    first, second = here.back_up().manifest.backup_id, here.back_up().manifest.backup_id
    found = expire(here.settings, here.engine, here.target, KEY, now_ms() + 100 * DAY_MS)
    assert found.backups == 1
    assert backup_ids(here.target) == [max(first, second)]
    fill(here, 100, "2026-10")
    # One with another key is kept, and so is everything that it may refer to.
    here.key = BackupKey(b"k" * 32)
    here.back_up()
    found = expire(here.settings, here.engine, here.target, here.key, now_ms() + 5 * DAY_MS)
    assert (found.objects, found.unreadable) == (0, (max(first, second),))
    assert issubclass(DamagedObject, BackupError)
