"""CPU time and anonymous memory of a process tree, from /proc."""

from __future__ import annotations

import os
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

# Position of utime and stime behind the command name in /proc/PID/stat (proc(5): fields 14 and 15; the name is field
# 2).
UTIME, STIME = 11, 12


def process_tree(pid: int) -> list[int]:
    """The process and all its living descendants."""
    found = [pid]
    for parent in found:
        for thread in Path(f"/proc/{parent}/task").iterdir():
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def cpu_s(pids: list[int]) -> tuple[float, float]:
    """User and system seconds of all threads of these processes, including threads that ended."""
    user = system = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        user += int(fields[UTIME])
        system += int(fields[STIME])
    return user / TICKS_PER_SECOND, system / TICKS_PER_SECOND


def anonymous_mib(pid: int) -> float:
    """Anonymous resident memory: what the process really occupies, without mapped files and page cache."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(f"process {pid} has no memory: it ended")
