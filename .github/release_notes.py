"""Prints the changelog's section of a version, for a release: `release_notes.py v0.1.0`.

Refuses a tag that the project's files do not name, or whose section is empty or still says "unreleased".
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class ReleaseRefused(ValueError):
    """The tag cannot be released; the message says what does not fit."""


def versions(root: Path) -> dict[str, str]:
    """The version that each file names."""
    return {
        "pyproject.toml": str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]),
        "package.json": str(json.loads((root / "package.json").read_text())["version"]),
    }


def notes(tag: str, root: Path = ROOT) -> str:
    """The section's text without its heading. Raises `ReleaseRefused`."""
    if not re.fullmatch(r"v\d+\.\d+\.\d+", tag):
        raise ReleaseRefused(f"{tag!r} is not a tag of a release: v1.2.3")
    version = tag[1:]
    for name, found in versions(root).items():
        if found != version:
            raise ReleaseRefused(f"{name} says {found}, the tag {version}")
    sections = re.split(r"^## ", (root / "CHANGELOG.md").read_text(), flags=re.MULTILINE)[1:]
    for section in sections:
        heading, _, text = section.partition("\n")
        if heading.split()[:1] == [version]:
            if "unreleased" in heading:
                raise ReleaseRefused(f"CHANGELOG.md says that {version} is unreleased: put the date there")
            if not text.strip():
                raise ReleaseRefused(f"CHANGELOG.md says nothing about {version}")
            return text.strip() + "\n"
    raise ReleaseRefused(f"CHANGELOG.md has no section {version}")


def main(arguments: list[str]) -> int:
    """The exit status."""
    if len(arguments) != 1:
        print("one argument is wanted, the tag", file=sys.stderr)
        return 2
    try:
        sys.stdout.write(notes(arguments[0]))
    except ReleaseRefused as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
