"""Peers that are Go programs: built once into `.make/bin` at a pinned version, verified by Go's checksum database.

`go install` takes a module from the Go module proxy and refuses it when its hash is not the one that the checksum
database (sum.golang.org) has kept since it was first seen, so a version names the same bytes for ever.

What Go said when it could not be had is kept beside it, so that the proxy is asked once, not by every run; `make clean`
forgets it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.peers.peer import AbsentError
from tests.services import GO_BIN

# A first build of GoatCounter compiles SQLite.
BUILD_TIMEOUT_S = 600


@dataclass(frozen=True)
class GoProgram:
    """A program of a Go module."""

    name: str
    package: str
    """Its import path."""
    version: str

    def path(self, folder: Path = GO_BIN) -> Path:
        """The program, built if it is not there. Raises `AbsentError` with Go's words when it cannot be had."""
        target = folder / f"{self.name}-{self.version}"
        refusal = target.with_name(f"{target.name}.refused")
        if target.exists():
            return target
        if refusal.exists():
            raise AbsentError(refusal.read_text())
        go = shutil.which("go")
        if go is None:
            raise AbsentError("there is no Go toolchain on PATH")
        folder.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "GOBIN": str(folder), "GOFLAGS": "-trimpath"}
        try:
            done = subprocess.run(
                [go, "install", f"{self.package}@{self.version}"],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=BUILD_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired:
            raise AbsentError(f"go install took longer than {BUILD_TIMEOUT_S} s") from None
        if done.returncode != 0:
            words = " ".join(done.stderr.split())
            refusal.write_text(f"go install {self.package}@{self.version} failed: {words[-400:]}")
            raise AbsentError(refusal.read_text())
        (folder / self.name).rename(target)
        return target
