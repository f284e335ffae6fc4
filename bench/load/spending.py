"""What our processes used: CPU by process, user and system apart, and memory."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from bench.procfs import anonymous_mib, cpu_s, process_tree

# What a process does, by a word of its command line; whatever else is in the tree is the parent.
ROLES = {
    "server.collect": "collect",
    "server.web": "web",
    "jobs.worker": "worker",
    "server.embedded_child": "clickhouse",
    "nginx": "nginx",
}
PARENT = "parent"

# Whose CPU is not ours: what the budget of a hit's user CPU leaves out.
STORES = ("clickhouse", "nginx")


def roles(parent_pid: int) -> dict[str, list[int]]:
    """The processes below a parent, with it, by what they do."""
    found: dict[str, list[int]] = defaultdict(list)
    for pid in process_tree(parent_pid):
        with contextlib.suppress(FileNotFoundError):
            words = (Path("/proc") / str(pid) / "cmdline").read_bytes().decode(errors="replace")
            found[next((role for mark, role in ROLES.items() if mark in words), PARENT)].append(pid)
    return dict(found)


def place(pids: list[int], *cpus: int) -> None:
    """Put all threads of these processes on these CPUs, and those that they start later."""
    for pid in pids:
        for thread in (Path("/proc") / str(pid) / "task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cpus)


@dataclass(frozen=True)
class Spent:
    """CPU seconds, user and system, by role."""

    user_s: dict[str, float]
    system_s: dict[str, float]

    def per_hit_us(self, hits: int) -> dict[str, dict[str, float]]:
        """By role, for people and results."""
        return {
            role: {"user": round(user_s / hits * 1e6, 2), "system": round(self.system_s[role] / hits * 1e6, 2)}
            for role, user_s in self.user_s.items()
        }

    def our_user_s(self) -> float:
        """User CPU of all that is Footfall."""
        return sum(user_s for role, user_s in self.user_s.items() if role not in STORES)

    def our_cpu_s(self) -> float:
        """The same with the kernel's part."""
        return self.our_user_s() + sum(spent for role, spent in self.system_s.items() if role not in STORES)


class Spending:
    """Counts from its making on. Processes that start or end meanwhile are not seen: measure between restarts."""

    def __init__(self, by_role: dict[str, list[int]]) -> None:
        self._by_role = by_role
        self._before = self._look()

    def _look(self) -> dict[str, tuple[float, float]]:
        return {role: cpu_s(pids) for role, pids in self._by_role.items()}

    def until_now(self) -> Spent:
        """What was used since."""
        now = self._look()
        return Spent(
            {role: now[role][0] - before[0] for role, before in self._before.items()},
            {role: now[role][1] - before[1] for role, before in self._before.items()},
        )


def memory_mib(by_role: dict[str, list[int]]) -> dict[str, float]:
    """Anonymous memory by role."""
    return {role: round(sum(map(anonymous_mib, pids)), 1) for role, pids in by_role.items()}
