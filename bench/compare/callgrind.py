"""Instructions per item, counted by valgrind's callgrind, and the functions that take them.

One run counts every path of a build: callgrind writes a file whenever the probe calls its marker, so what stands
between two calls is a path's round and nothing of Python's start. All threads count.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.compare.builds import Build
from bench.compare.intervals import Compared, Interval
from bench.compare.probe import WRITTEN_AT

# Two runs of one build differ by less than 0.2 %: hashes with random seeds, waiting for the writer thread.
DEFAULT_NOISE = 0.01

# Longer than any count takes, beside busy neighbours too.
DEADLINE_S = 1_200

# rustc's hash at the end of a mangled name: another one in each build.
_RUST_HASH = re.compile(r"::h[0-9a-f]{16}")


class NoValgrindError(RuntimeError):
    """valgrind is not there, or could not run the probe."""


@dataclass(frozen=True)
class Count:
    """One path of one build."""

    instructions: int
    items: int
    functions: Counter[str]
    """Instructions of each function itself, by its name."""

    @property
    def per_item(self) -> float:
        """Instructions per item."""
        return self.instructions / self.items


def read_profile(text: str) -> tuple[int, Counter[str]]:
    """The total of a callgrind file without compressed names, and each function's own part of it.

    After a line `calls=` comes one with what the callee took, which is not the function's own.
    """
    functions: Counter[str] = Counter()
    total, name, is_callee = 0, "", False
    for line in text.splitlines():
        if line.startswith("fn="):
            name = _RUST_HASH.sub("", line[3:])
        elif line.startswith("calls="):
            is_callee = True
        elif line.startswith(("summary:", "totals:")):
            total = int(line.split()[1])
        elif line[:1].isdigit():
            if not is_callee:
                functions[name] += int(line.split()[1])
            is_callee = False
    return total, functions


def count_paths(build: Build, inputs: Path, names: Sequence[str]) -> dict[str, Count]:
    """Count these paths. Raises NoValgrindError."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise NoValgrindError("--instructions needs valgrind: apt-get install valgrind")
    output = inputs / "callgrind"
    command = [
        valgrind,
        "--tool=callgrind",
        f"--callgrind-out-file={output}",
        f"--dump-before={WRITTEN_AT}",
        "--compress-strings=no",
        "--compress-pos=no",
        *build.probe("instructions", inputs, *names),
    ]
    done = subprocess.run(
        command,
        env=build.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    if done.returncode:
        raise NoValgrindError(f"valgrind failed ({done.returncode}): {done.stderr[-2000:]}")
    items = {name: int(count) for name, count in (line.split() for line in done.stdout.splitlines())}
    if not Path(f"{output}.{2 * len(names)}").exists():
        raise NoValgrindError(f"callgrind saw no call of {WRITTEN_AT}: is this C library not glibc?")
    counts = {}
    for number, name in enumerate(names):
        total, functions = read_profile(Path(f"{output}.{2 * number + 2}").read_text(errors="replace"))
        counts[name] = Count(total, items[name], functions)
    return counts


def compare_counts(base: dict[str, Count], head: dict[str, Count], *, noise: float) -> Iterator[Compared]:
    """Path by path."""
    for name, before in base.items():
        after = head[name]
        yield Compared(
            name=name,
            base=before.per_item,
            head=after.per_item,
            unit="instructions",
            interval=Interval.exact(after.per_item / before.per_item),
            noise=noise,
        )


def moved_functions(base: Count, head: Count, *, count: int) -> list[tuple[str, float, float]]:
    """(name, instructions per item before, after) of the functions that take most, and of those that changed most."""
    names = base.functions.keys() | head.functions.keys()

    def both(name: str) -> tuple[float, float]:
        return base.functions[name] / base.items, head.functions[name] / head.items

    largest = sorted(names, key=lambda name: -max(both(name)))[:count]
    changed = sorted(names, key=lambda name: -abs(both(name)[1] - both(name)[0]))[:count]
    chosen = dict.fromkeys([*changed, *largest])
    return [(name, *both(name)) for name in sorted(chosen, key=lambda name: -max(both(name)))][: 2 * count]
