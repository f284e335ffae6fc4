"""The versions that pyproject.toml pins for `pip install .` are those of the hashed lock file."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def locked_versions(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    found = (re.match(r"([a-z0-9_.\[\]-]+)==([^ ;\\]+)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


def test_build_requirements_are_the_locked_ones() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned = dict(entry.split("==") for entry in project["build-system"]["requires"])
    assert pinned == locked_versions("build.txt")


def test_lock_files_agree_where_they_overlap() -> None:
    everything = locked_versions("dev.txt")
    for name in ("run.txt", "build.txt"):
        assert locked_versions(name).items() <= everything.items()


def test_each_locked_package_has_hashes_and_no_index() -> None:
    for name in ("run.txt", "build.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text()
        assert "://" not in text
        assert text.count("--hash=sha256:") >= len(locked_versions(name)) > 0


def test_npm_lock_names_no_registry_address() -> None:
    text = (ROOT / "package-lock.json").read_text()
    assert '"resolved"' not in text
    assert '"integrity": "sha512-' in text
