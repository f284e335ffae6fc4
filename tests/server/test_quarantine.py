"""What is set aside stays whole, described, and once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from server.quarantine import Quarantine


@pytest.fixture
def segment(tmp_path: Path) -> Path:
    path = tmp_path / "spool" / "aa.seg"
    path.parent.mkdir()
    path.write_bytes(bytes(range(200)))
    return path


def test_a_segment_is_kept_whole_and_twice_is_once(tmp_path: Path, segment: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    for _ in range(2):
        kept = quarantine.keep_segment(segment, reason="incorrect_data", error="no", records=7)
    segment.unlink()
    assert kept.read_bytes() == bytes(range(200))
    (entry,) = quarantine.entries()
    assert (entry.path, entry.reason, entry.error, entry.records, entry.is_segment) == (
        kept,
        "incorrect_data",
        "no",
        7,
        True,
    )
    quarantine.release(entry)
    assert not quarantine.entries()
    assert not list((tmp_path / "quarantine").iterdir())


def test_a_segment_is_copied_where_it_cannot_be_linked(
    tmp_path: Path, segment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", refuse)
    kept = Quarantine(tmp_path / "quarantine").keep_segment(segment, reason="x", error="", records=1)
    assert kept.read_bytes() == segment.read_bytes()


def test_damage_is_kept_as_its_bytes(tmp_path: Path, segment: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    for _ in range(2):
        kept = quarantine.keep_damage(segment, [(10, 13), (100, 102)], reason="damaged", records=2)
    assert kept.read_bytes() == bytes([10, 11, 12, 100, 101])
    (entry,) = quarantine.entries()
    assert (entry.reason, entry.error, entry.records, entry.is_segment) == ("damaged", "bytes 10-13, 100-102", 2, False)


def test_a_missing_description_hides_nothing(tmp_path: Path, segment: Path) -> None:
    quarantine = Quarantine(tmp_path / "quarantine")
    kept = quarantine.keep_segment(segment, reason="x", error="", records=1)
    kept.with_suffix(".json").unlink()
    (entry,) = quarantine.entries()
    assert (entry.reason, entry.records) == ("undescribed", 0)


def test_no_folder_is_an_empty_quarantine(tmp_path: Path) -> None:
    assert not Quarantine(tmp_path / "quarantine").entries()
