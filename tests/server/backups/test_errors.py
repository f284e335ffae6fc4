"""Every error of backups: what brings it about, and what its text tells people to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.app_database import store_watermark, writing
from server.backups import errors
from server.backups.key import load_key
from server.backups.manifest import chosen_id, load_manifest, new_backup_id
from server.backups.register import begin
from server.backups.target import open_target
from server.clock import now_ms
from server.models import RetentionMove, User
from server.sites import add_site
from tests.server.backups.conftest import KEY, OTHER_KEY, Installation, fill


def _changed(here: Installation, **settings: Any) -> Any:
    return here.settings.model_copy(update=settings)


def _newer(here: Installation) -> None:
    manifest = here.back_up().manifest
    unknown = replace(manifest, store_migrations=(*manifest.store_migrations, "2999_01_01_unknown"))
    with pytest.raises(errors.NewerBackup, match="install that release or a later one"):
        here.restore(unknown)
    here.restore(replace(manifest, app=replace(manifest.app, migration="29990101_unknown")))


def _serving(here: Installation) -> None:
    store_watermark(here.engine, "home", "spool", [], now_ms(), now_ms())
    here.restore(here.back_up(settle_s=0, pause=lambda seconds: None).manifest, replaces=True)


def _half_restored(here: Installation) -> None:
    first, second = here.back_up().manifest, here.back_up().manifest

    def end(done: int, total: int, what: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        here.restore(first, replaces=True, progress=end)
    here.restore(second)


def _differs(here: Installation) -> None:
    manifest = here.back_up().manifest
    first, *others = manifest.partitions
    here.restore(replace(manifest, partitions=(replace(first, rows=first.rows + 1), *others)), replaces=True)


def _damaged(here: Installation) -> None:
    backup_id = here.back_up().manifest.backup_id
    path = Path(here.settings.backup_target, "manifests", backup_id)
    path.write_bytes(path.read_bytes()[:-1])
    load_manifest(here.target, KEY, backup_id)


def _under_way(here: Installation) -> None:
    move = {"shard": 0, "store_table": "events", "month": 202609, "from_class": 1, "to_class": 2, "cutoff": 0}
    with writing(here.engine) as session:
        session.add(RetentionMove(site_id=1, state="switching", **move))
    here.back_up(pause=lambda seconds: None)


def _another(here: Installation) -> None:
    begin(here.engine, here.settings, new_backup_id(1), now_ms())
    here.back_up()


def _not_restored(here: Installation) -> None:
    manifest = here.back_up().manifest
    with writing(here.engine) as session:
        session.add(User(user_id=7, email="o@a.test", password_hash="h", created_at_ms=1))
    here.back_up()

    def end(done: int, total: int, what: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        here.restore(manifest, replaces=True, progress=end)
    with pytest.raises(errors.NotRestored, match="is half restored here"):
        here.back_up()
    # It comes back without the person: as if a fresh installation had begun to back itself up in this place.
    here.restore(manifest)
    here.back_up()


def _not_a_folder(here: Installation) -> None:
    Path(f"{here.settings.data_dir}.file").write_text("")
    open_target(_changed(here, backup_target=f"{here.settings.data_dir}.file"))


CASES: dict[type[errors.BackupError], tuple[Callable[[Installation], object], str]] = {
    errors.BackupsOff: (lambda here: open_target(_changed(here, backup_target="")), "set FOOTFALL_BACKUP_TARGET"),
    errors.KeyMissing: (lambda here: load_key(here.settings), "`footfall backup key` makes one"),
    errors.WrongKey: (
        lambda here: load_manifest(here.target, OTHER_KEY, here.back_up().manifest.backup_id),
        "set FOOTFALL_BACKUP_KEY to the one with which the backup was made",
    ),
    errors.DamagedObject: (_damaged, "`footfall backup list` names others"),
    errors.MissingObject: (lambda here: load_manifest(here.target, KEY, "nothing"), "manifests/nothing is missing"),
    errors.TargetRefused: (
        lambda here: open_target(_changed(here, backup_target=f"{here.settings.data_dir}/backups")),
        "would be lost with what it is of",
    ),
    errors.TargetUnavailable: (_not_a_folder, "cannot be used: Not a directory"),
    errors.UnknownBackup: (lambda here: chosen_id(here.target, ""), "`footfall backup create` makes one"),
    errors.AnotherRuns: (_another, "another backup is being made"),
    errors.RowsUnderWay: (_under_way, "`footfall jobs run retention` completes that"),
    errors.NotRestored: (_not_restored, "`footfall backup restore` brings it back"),
    errors.NewerBackup: (_newer, "install that release or a later one"),
    errors.NotEmpty: (
        lambda here: here.restore(here.back_up().manifest),
        "or add --replace, which deletes all of that",
    ),
    errors.StillServing: (_serving, "stop every `footfall serve` and worker first"),
    errors.RestoreCutShort: (_half_restored, "is half restored here: `footfall backup restore "),
    errors.RowsDiffer: (_differs, "make sure that nothing else writes to this installation, and restore again"),
}


def test_there_is_a_case_for_every_error() -> None:
    assert set(CASES) == set(errors.BackupError.__subclasses__())


@pytest.mark.parametrize("error", CASES, ids=lambda error: error.__name__)
def test_it_says_what_to_do(here: Installation, error: type[errors.BackupError]) -> None:
    add_site(here.engine, "a.test", "UTC")
    fill(here, 20)
    cause, expected = CASES[error]
    with pytest.raises(error) as raised:
        cause(here)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)
