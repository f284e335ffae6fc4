"""Whose a folder is, what it holds, and that taking it over disturbs nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.spool import inspect, is_in_use, segment_files, take_folder, take_orphans
from tests.server.segments import write_segment

HOLDER = """
import sys
from pathlib import Path
from server.spool import take_folder
assert take_folder(Path(sys.argv[1])) is not None
print("held", flush=True)
sys.stdin.read()
"""


def test_a_folder_is_anothers_until_that_process_ends(tmp_path: Path) -> None:
    write_segment(tmp_path / "a", 3)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "a")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert is_in_use(tmp_path / "a")
        assert take_folder(tmp_path / "a") is None
        assert not list(take_orphans(tmp_path))
        holder.kill()
    assert not is_in_use(tmp_path / "a")
    (orphan,) = take_orphans(tmp_path)
    assert len(orphan.segments()) == 1
    assert not orphan.remove_if_empty()
    orphan.close()


def settle(folder: Path) -> None:
    """As if nothing had happened in it for a while."""
    long_ago_s = time.time() - 60
    os.utime(folder, (long_ago_s, long_ago_s))


def test_a_folder_that_is_just_being_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert not list(take_orphans(tmp_path))
    assert is_in_use(tmp_path / "a")
    assert not list((tmp_path / "a").iterdir())


def test_an_empty_orphan_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "lock").touch()
    settle(tmp_path / "a")
    assert not list(take_orphans(tmp_path))
    assert not (tmp_path / "a").exists()


def test_discarding_the_last_segment_empties_the_folder(tmp_path: Path) -> None:
    segment = write_segment(tmp_path / "a", 3)
    (orphan,) = take_orphans(tmp_path)
    orphan.discard(segment.path)
    assert orphan.remove_if_empty()
    assert not (tmp_path / "a").exists()


def test_a_file_that_is_not_a_segment_keeps_the_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "notes.txt").touch()
    settle(tmp_path / "a")
    assert not list(take_orphans(tmp_path))
    assert (tmp_path / "a" / "notes.txt").exists()


def test_inspect_reports_segments_open_sealed_and_damaged(tmp_path: Path) -> None:
    write_segment(tmp_path / "a", 3, 1)
    still_open = write_segment(tmp_path / "a", 2, 0, suffix=".open", shard=3)
    with still_open.path.open("ab") as file:
        file.write(b"\xf1\x7f\xa1\x1d torn")
    (tmp_path / "a" / "0.seg").write_bytes(b"?" * 100)
    (folder,) = inspect(tmp_path)
    assert not folder.in_use
    assert folder.records == 6
    by_name = {segment.path.name: segment for segment in folder.segments}
    found = by_name[still_open.path.name]
    assert (found.is_open, found.records, found.shard, found.lost_records) == (True, 2, 3, 0)
    assert found.torn_tail_bytes > 0
    assert 0 <= found.age_s < 60
    assert by_name["0.seg"].problem


@pytest.mark.parametrize("missing", ["", "gone"])
def test_nothing_there_is_nothing_found(tmp_path: Path, missing: str) -> None:
    assert not inspect(tmp_path / missing)
    assert not segment_files(tmp_path / missing)
    assert not list(take_orphans(tmp_path / missing))
    assert take_folder(tmp_path / "gone") is None
