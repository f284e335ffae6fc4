"""Steps that run in a child process: those of the pure crate, and peers that are no Python.

A child reads a line `STEP ROUNDS`, works, and answers `ITEMS CPU_NS`. Its CPU time is added to a clock that
pytest-benchmark reads (`cpu_clock_s`): the pipe is not what is measured.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_children_ns = 0


def cpu_clock_s() -> float:
    """CPU seconds of this process, and of what its measured children said they spent."""
    return (time.process_time_ns() + _children_ns) / 1e9


def child_clock_s() -> float:
    """CPU seconds that measured children said they spent; this process's own count a millionth, because
    pytest-benchmark waits for its clock to move on.
    """
    return (_children_ns + time.process_time_ns() / 1e6) / 1e9


class StepsChild:
    """A running child."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, step: str, rounds: int = 1) -> int:
        """Do a step so many times; returns how many items that were. Raises RuntimeError when the child ended."""
        global _children_ns
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{step} {rounds}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        if len(answer) != 2:
            raise RuntimeError(f"the child failed at {step!r}: exit code {self._process.wait(10)}")
        _children_ns += int(answer[1])
        return int(answer[0])


@contextmanager
def running_child(command: list[str]) -> Iterator[StepsChild]:
    """Start it and end it; what it writes to its standard error is seen."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            yield StepsChild(process)
        finally:
            process.kill()


def steps_program(*, is_timed: bool) -> Path | None:
    """`examples/steps` of the pure crate. Timed: a release build, made now. Else any that is there, as `cargo test`
    makes it; None without one.
    """
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    if is_timed:
        build = ["cargo", "build", "--release", "--locked", "--quiet", "--package", "footfall-ingest"]
        subprocess.run([*build, "--example", "steps"], cwd=ROOT, check=True)
        return target / "release" / "examples" / "steps"
    built = [target / profile / "examples" / "steps" for profile in ("debug", "release")]
    return next((path for path in built if path.exists()), None)


@contextmanager
def steps_child(folder: Path, *, is_timed: bool) -> Iterator[StepsChild]:
    """The steps over the inputs in `folder`."""
    program = steps_program(is_timed=is_timed)
    if program is None:
        pytest.skip("the steps are not built: `cargo test --package footfall-ingest` builds them")
    with running_child([str(program), str(folder), *([] if is_timed else ["--any-build"])]) as child:
        yield child
