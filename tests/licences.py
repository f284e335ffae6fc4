"""`python -m tests.licences`: hold every locked package against requirements/licences.toml. Needs no network.

Reads what is installed (PyPI), what `cargo metadata --offline` says (crates.io) and package-lock.json (npm). Prints one
line per package that may not be there, and exits 1; an exception that is not needed any more is such a line too.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

# What older metadata writes for an SPDX identifier.
SPELLINGS = {
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Whether an SPDX expression can be met with allowed licences: one of an OR, each of an AND. `/` is an old OR."""
    expression = expression.strip()
    if expression in allowed:
        return True
    bare = re.sub(r"^\(([^()]*)\)$", r"\1", expression)
    if bare != expression:
        return is_allowed(bare, allowed)
    for joint, decide in ((r"\bOR\b|/", any), (r"\bAND\b", all)):
        parts = [part for part in re.split(rf"(?:{joint})(?![^()]*\))", expression) if part.strip()]
        if len(parts) > 1:
            return decide(is_allowed(part, allowed) for part in parts)
    return False


def python_packages() -> Iterator[tuple[str, str]]:
    """(name, licence) of the locked packages that this platform installs."""
    names = {
        match[1]
        for line in (ROOT / "requirements" / "dev.txt").read_text().splitlines()
        if (match := re.match(r"([a-z0-9_.-]+)(?:\[[^]]*\])?==", line))
    }
    for name in sorted(names):
        try:
            metadata: Any = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform or Python
        classified = [
            SPELLINGS.get(text, text)
            for entry in metadata.get_all("Classifier", [])
            if entry.startswith("License ::") and (text := entry.rpartition("::")[2].strip()) != "OSI Approved"
        ]
        stated = (metadata.get("License") or "").strip()
        named = SPELLINGS.get(stated, stated) if "\n" not in stated else ""
        yield name, metadata.get("License-Expression") or named or " OR ".join(classified)


def crates() -> Iterator[tuple[str, str]]:
    """(name, licence) of every crate in Cargo.lock."""
    command = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for package in json.loads(answer.stdout)["packages"]:
        if package["source"] is not None:
            yield package["name"], package["license"] or ""


def npm_packages() -> Iterator[tuple[str, str]]:
    """(name, licence) of every package in package-lock.json."""
    lock = json.loads((ROOT / "package-lock.json").read_text())
    for path, package in lock["packages"].items():
        if path:
            yield path.rpartition("node_modules/")[2], package.get("license", "")


def problems(packages: Mapping[str, str], rules: Mapping[str, Any]) -> Iterator[str]:
    """One line for each package that may not be there, and for each exception that nothing needs."""
    allowed = frozenset(rules["allowed"])
    exceptions, stated, banned = rules["exceptions"], rules["stated"], rules["banned"]
    for name, given in sorted(packages.items()):
        licence = given or stated.get(name, "")
        if name in banned:
            yield f"{name} is banned: {banned[name]}"
        elif name in exceptions:
            if licence != exceptions[name]["licence"]:
                yield f"{name} is excepted as {exceptions[name]['licence']!r} and says {licence!r}"
        elif not is_allowed(licence, allowed):
            yield f"{name} has the licence {licence!r}, which is not allowed"
        elif given and name in stated:
            yield f"{name} names its licence now: {given!r}"
    for name in sorted((exceptions.keys() | stated.keys()) - packages.keys()):
        yield f"{name} is in licences.toml and not installed"


def main() -> int:
    """The exit status."""
    rules = tomllib.loads((ROOT / "requirements" / "licences.toml").read_text())
    packages = {**dict(python_packages()), **dict(crates()), **dict(npm_packages())}
    found = list(problems(packages, rules))
    for line in found:
        print(line)
    if not found:
        print(f"{len(packages)} packages, every licence allowed, none banned")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
