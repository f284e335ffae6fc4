"""Removing what is over: whatever step it is cut at, no kept backup loses anything, and the next run completes it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from server.backups.errors import TargetUnavailable
from server.backups.expiry import expire
from server.backups.folder_target import FolderTarget
from server.backups.manifest import MANIFESTS, OBJECTS, Manifest, backup_ids, load_manifest
from server.backups.register import begin
from server.backups.verification import verify
from server.clock import DAY_MS, now_ms
from tests.server.backups.conftest import KEY, Installation, fill

KEPT = 2
MONTHS = ("2026-06", "2026-07", "2026-08", "2026-09")


class Killed(BaseException):
    """A process that ends at this step."""


class CutTarget(FolderTarget):
    """A folder in which so many objects are removed, and then the process ends."""

    left = 0

    def remove(self, path: str) -> None:
        """Remove it, or end."""
        if self.left == 0:
            raise Killed
        self.left -= 1
        super().remove(path)


class FlakyTarget(FolderTarget):
    """A folder on a share that is away for some uploads. `fails`: those that fail after some bytes, by number."""

    fails: Callable[[int], bool] = staticmethod(lambda number: False)
    uploads = 0

    @contextmanager
    def uploading(self, path: str) -> Iterator[Callable[[bytes], None]]:
        """Upload, or fail."""
        self.uploads += 1
        with super().uploading(path) as put:
            yield put
            if self.fails(self.uploads):
                raise TargetUnavailable("the share is away")


def whole(target: FolderTarget) -> list[Manifest]:
    """The backups of a target, each of which has everything."""
    found = [load_manifest(target, KEY, backup_id) for backup_id in backup_ids(target)]
    for manifest in found:
        assert verify(target, KEY, manifest, lambda done, total, what: None, is_quick=True).problems == []
    return found


@pytest.fixture
def four(here: Installation) -> Installation:
    """Four backups, each with a month more than the one before and one that changed; the newest two are kept."""
    here.settings = here.settings.model_copy(update={"backup_keep_count": KEPT})
    for month in MONTHS:
        fill(here, 50, month)
        fill(here, 5, MONTHS[0])
        here.back_up()
    assert len(whole(FolderTarget.of(here.settings))) == len(MONTHS)
    return here


def test_a_run_that_is_cut_at_any_step_takes_nothing_from_what_is_kept(four: Installation, tmp_path: Path) -> None:
    source = Path(four.settings.backup_target)
    later_ms = now_ms() + 2 * DAY_MS
    cuts = 0
    while True:
        place = tmp_path / f"cut-{cuts}"
        shutil.copytree(source, place)
        target = CutTarget(place)
        target.left = cuts
        try:
            expire(four.settings, four.engine, target, KEY, later_ms)
        except Killed:
            assert len(whole(target)) >= KEPT
            target.left = 1_000
            expire(four.settings, four.engine, target, KEY, later_ms)
            is_done = False
        else:
            is_done = True
        kept = whole(target)
        assert [each.backup_id for each in kept] == backup_ids(FolderTarget(source))[-KEPT:]
        named = {each.path for manifest in kept for each in manifest.objects}
        assert {each.path for each in target.stored(OBJECTS)} == named
        if is_done:
            break
        cuts += 1
    assert cuts > 2 * (len(MONTHS) - KEPT), "manifests and objects go one by one"


def test_what_a_new_backup_refers_to_does_not_look_old(four: Installation) -> None:
    """A rule of the place that removes old objects would take away what did not change for long."""
    target = FolderTarget.of(four.settings)
    for path in Path(four.settings.backup_target, OBJECTS).glob("*/*"):
        os.utime(path, (1, 1))
    manifest = four.back_up().manifest
    old = {each.path for each in target.stored(OBJECTS) if each.modified_at_ms < now_ms() - DAY_MS}
    assert old
    assert old.isdisjoint(each.path for each in manifest.objects)


def test_nothing_goes_while_a_manifest_cannot_be_read_or_a_backup_is_made(four: Installation) -> None:
    target = FolderTarget.of(four.settings)
    before = {each.path for each in target.stored(OBJECTS)}
    later_ms = now_ms() + 2 * DAY_MS
    begin(four.engine, four.settings, "another", later_ms)
    assert expire(four.settings, four.engine, target, KEY, later_ms).backups == 0
    assert len(whole(target)) == len(MONTHS)
    # Ten minutes after it was last heard of it is taken for lost.
    later_ms += DAY_MS
    oldest_kept = backup_ids(target)[-KEPT]
    path = Path(four.settings.backup_target, MANIFESTS, oldest_kept)
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    found = expire(four.settings, four.engine, target, KEY, later_ms)
    assert (found.backups, found.objects, found.unreadable) == (len(MONTHS) - KEPT, 0, (oldest_kept,))
    assert {each.path for each in target.stored(OBJECTS)} == before
    path.write_bytes(content)
    assert expire(four.settings, four.engine, target, KEY, later_ms).objects > 0
    assert len(whole(target)) == KEPT


def test_an_upload_that_fails_is_begun_again(here: Installation) -> None:
    for month in MONTHS[:2]:
        fill(here, 50, month)
    flaky = here.target = FlakyTarget(FolderTarget.of(here.settings)._root)
    pauses: list[float] = []
    flaky.fails = lambda number: number in (3, 5)
    manifest = here.back_up(pause=pauses.append).manifest
    assert pauses == [1.0, 1.0]
    assert [each.backup_id for each in whole(flaky)] == [manifest.backup_id]
    fill(here, 50, MONTHS[2])
    flaky.fails = lambda number: True
    with pytest.raises(TargetUnavailable, match="the share is away"):
        here.back_up(pause=pauses.append)
    assert [each.backup_id for each in whole(flaky)] == [manifest.backup_id], "what there was is untouched"
    flaky.fails = lambda number: False
    assert here.back_up().copied_partitions == 2
