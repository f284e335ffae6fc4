"""A release's notes are the changelog's section, and a tag that does not fit is refused."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.k8s.built import ROOT


@pytest.fixture(scope="module")
def release_notes() -> ModuleType:
    """The program, loaded by its path: its folder is no package."""
    spec = importlib.util.spec_from_file_location("release_notes", ROOT / ".github" / "release_notes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["release_notes"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project at version 0.2.0."""
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.2.0"\n')
    (tmp_path / "package.json").write_text('{"version": "0.2.0"}')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 0.2.0 (2026-12-24)\n\nNew.\n\n* A.\n\n## 0.1.0 (2026-11-30)\n\nOld.\n"
    )
    return tmp_path


def test_the_section_alone_is_printed(release_notes: ModuleType, project: Path) -> None:
    assert release_notes.notes("v0.2.0", project) == "New.\n\n* A.\n"


@pytest.mark.parametrize(
    ("tag", "file", "old", "new", "message"),
    [
        ("0.2.0", "", "", "", "is not a tag of a release"),
        ("v0.3.0", "", "", "", "pyproject.toml says 0.2.0, the tag 0.3.0"),
        ("v0.2.0", "package.json", "0.2.0", "0.1.9", "package.json says 0.1.9"),
        ("v0.2.0", "CHANGELOG.md", "(2026-12-24)", "(unreleased)", "is unreleased"),
        ("v0.2.0", "CHANGELOG.md", "New.\n\n* A.\n", "", "says nothing about"),
        ("v0.2.0", "CHANGELOG.md", "0.2.0", "0.2.1", "has no section"),
    ],
)
def test_a_tag_that_does_not_fit_is_refused(
    release_notes: ModuleType, project: Path, tag: str, file: str, old: str, new: str, message: str
) -> None:
    if file:
        path = project / file
        path.write_text(path.read_text().replace(old, new))
    with pytest.raises(release_notes.ReleaseRefused, match=message):
        release_notes.notes(tag, project)


def test_the_projects_own_files_name_one_version(release_notes: ModuleType) -> None:
    assert len(set(release_notes.versions(ROOT).values())) == 1
