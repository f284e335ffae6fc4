"""Where a live process spends its time: found by what it does, sampled by py-spy, shown as a flame graph.

py-spy reads the process's memory from outside, so nothing has to be prepared in it and it goes on answering. The kernel
allows that to root, or to the same user where `kernel.yama.ptrace_scope` is 0; in a container it needs SYS_PTRACE.
"""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from server.config import PREFIX, Settings

PROC = Path("/proc")
ROLES = {"server.collect": "collect", "server.web": "web", "jobs.worker": "worker"}
"""What a process does, by the module that it runs."""
SAMPLES_PER_S = 100
LAST_LINES = 3
"""Of py-spy's own words when it fails."""


class ProfileError(RuntimeError):
    """There is no profile; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class LiveProcess:
    """A process of this installation."""

    pid: int
    role: str
    slot: str


def live_processes(settings: Settings) -> list[LiveProcess]:
    """Those that belong to this data folder, ordered by role and slot."""
    found = [process for folder in PROC.iterdir() if folder.name.isdecimal() for process in _look(folder, settings)]
    return sorted(found, key=lambda process: (list(ROLES.values()).index(process.role), process.slot))


def choose(settings: Settings, role: str | None) -> LiveProcess:
    """The first process of a role, or of any. Raises `ProfileError`."""
    processes = live_processes(settings)
    for process in processes:
        if role in (None, process.role):
            return process
    running = ", ".join(sorted({process.role for process in processes})) or "none"
    raise ProfileError(f"no {role or 'Footfall'} process of {settings.data_dir} runs here; running: {running}")


def record(pid: int, seconds: int, output: Path) -> None:
    """Sample a process for so long and write its flame graph, an SVG. Raises `ProfileError`."""
    sampler = Path(sysconfig.get_path("scripts")) / "py-spy"
    if not sampler.exists():
        raise ProfileError(f"{sampler} is missing; `pip install py-spy` brings it")
    command = [str(sampler), "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(SAMPLES_PER_S)]
    command += ["--output", str(output), "--format", "flamegraph", "--threads"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 0 and output.exists():
        return
    said = " / ".join([line for line in done.stderr.splitlines() if line.strip()][-LAST_LINES:])
    hint = ""
    if re.search(r"permission|os error 1\b", said, re.IGNORECASE):
        hint = "; reading another process needs root, SYS_PTRACE in a container, or kernel.yama.ptrace_scope=0"
    raise ProfileError(f"py-spy did not profile process {pid}: {said}{hint}")


def _look(folder: Path, settings: Settings) -> Iterator[LiveProcess]:
    try:
        arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        roles = [ROLES[word] for before, word in pairwise(arguments) if _runs(before, word)]
        if not roles or not _is_ours(folder, settings):
            return
    except OSError:  # it has ended, or is somebody else's
        return
    slots = [argument.removeprefix("--slot=") for argument in arguments if argument.startswith("--slot=")]
    yield LiveProcess(int(folder.name), roles[0], slots[0] if slots else "")


def _runs(before: str, word: str) -> bool:
    return before == "-m" and word in ROLES


def _is_ours(folder: Path, settings: Settings) -> bool:
    """Whether its data folder is that of the settings."""
    prefix = f"{PREFIX}DATA_DIR="
    for variable in (folder / "environ").read_bytes().decode(errors="replace").split("\0"):
        if variable.startswith(prefix):
            theirs = (folder / "cwd").resolve() / variable.removeprefix(prefix)
            return theirs.resolve() == settings.data_dir.resolve()
    return False
