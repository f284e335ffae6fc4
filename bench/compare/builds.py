"""Commits built beside each other: a git worktree each, the extensions in release mode, the packages of this venv.

Worktrees live in a temporary folder and go at the end. What is kept between runs, under `target/compare`: cargo's
folder, so that only our own crates are compiled again, and what was built of the same sources, so that a base is built
once, and nothing for a change of Python alone.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "target" / "compare"
PROBE = Path(__file__).with_name("probe.py")

# What a build makes besides sources; all of it beside them.
PRODUCTS = ("rust_ext/*.so", "rust_ext/rules.pack", "core_ext/*.so")

# What they are made from. Equal trees of git are equal sources.
SOURCES = (
    "rust_ext",
    "core_ext",
    "Cargo.toml",
    "Cargo.lock",
    "setup.py",
    "requirements/build.txt",
    "package-lock.json",
)

# What a server wants beside them, and is not measured: taken from the checkout that compares.
SCRIPTS = ("server/tracker/built", "server/pages/built")

# valgrind 3.19 ends at the first AVX-512 instruction; code that chooses at run time asks valgrind's CPU: it has none.
TARGETS = {"native": "", "x86-64-v3": "x86-64-v3"}


class BuildError(RuntimeError):
    """A commit that is none, or that did not build; the message ends with what the builder said."""


@dataclass(frozen=True)
class Build:
    """A commit, built: `folder` goes first on the module path."""

    name: str
    commit: str
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """For processes that are to run this build."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
        return kept | {"PYTHONPATH": str(self.folder), "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}

    def probe(self, command: str, inputs: Path, *arguments: str) -> list[str]:
        """The command line of the probe for this build. -P: the probe's own folder is not on the module path."""
        return [sys.executable, "-P", str(PROBE), command, str(inputs), str(self.folder), *arguments]


def git(*arguments: str) -> str:
    """What git prints. Raises BuildError with what it says."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def commit_of(revision: str) -> str:
    """The full hash of a revision."""
    return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")


def sources_of(commit: str) -> str:
    """One hash over everything that the extensions of a commit are made from."""
    listed = git("ls-tree", "--full-tree", commit, *SOURCES)
    return hashlib.sha256(listed.encode()).hexdigest()[:16]


@contextmanager
def built(name: str, revision: str, folder: Path, *, cpu: str = "native") -> Iterator[Build]:
    """A worktree of `revision` in `folder`, built for `cpu` (a key of TARGETS; native: as released)."""
    try:
        commit = commit_of(revision)
    except BuildError:
        raise BuildError(f"{revision!r} is no commit of this repository") from None
    git("worktree", "add", "--detach", "--force", str(folder), commit)
    try:
        build = Build(name, commit, folder)
        products = KEPT / "built" / f"{sources_of(commit)}-{TARGETS[cpu] or 'release'}"
        if not (products / "complete").exists():
            compile_extensions(build, cpu)
            keep(folder, products)
        for product in products.rglob("*"):
            if product.is_file() and product.name != "complete":
                shutil.copy2(product, folder / product.relative_to(products))
        for scripts in SCRIPTS:
            if (ROOT / scripts).is_dir():
                (folder / scripts).symlink_to(ROOT / scripts)
        yield build
    finally:
        git("worktree", "remove", "--force", str(folder))


def compile_extensions(build: Build, cpu: str) -> None:
    """Run the commit's own setup.py in place. Raises BuildError."""
    (build.folder / "node_modules").symlink_to(ROOT / "node_modules")
    environment = build.environment | {
        "FOOTFALL_CARGO_PROFILE": "release",
        "CARGO_TARGET_DIR": str(KEPT / f"cargo-{TARGETS[cpu] or 'release'}"),
    }
    if TARGETS[cpu]:
        environment |= {
            "RUSTFLAGS": f"-C target-cpu={TARGETS[cpu]} {os.environ.get('RUSTFLAGS', '')}".strip(),
            "CFLAGS": f"-march={TARGETS[cpu]} {os.environ.get('CFLAGS', '')}".strip(),
        }
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    done = subprocess.run(
        command,
        cwd=build.folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"{build.name} ({build.commit[:12]}) does not build:\n{done.stdout[-4000:]}")


def keep(folder: Path, products: Path) -> None:
    """Copy what was built; `complete` comes last, so that a copy that was cut short is made again."""
    for pattern in PRODUCTS:
        for product in folder.glob(pattern):
            target = products / product.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(product, target)
    (products / "complete").touch()
