"""CPU time of both builds, in blocks of A, B, B, A."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from bench.compare.builds import Build
from bench.compare.intervals import Compared, Interval

# Ten independent ratios: the interval of a scatter of 2 % is then ±1.4 %.
DEFAULT_BLOCKS = 10

# What a run must be dearer by. Two runs of one commit differ by up to 2 % on a machine with neighbours.
DEFAULT_NOISE = 0.03

# Costs per item of one measured round of a path, in its unit.
Round = Callable[[str], float]

# "base" or "head", running.
Starter = Callable[[str], AbstractContextManager[Round]]


def compare_blocks(
    names: Mapping[str, str],
    start: Starter,
    *,
    blocks: int,
    noise: float,
) -> Iterator[Compared]:
    """Compare the paths `names` (path → unit). `start("base")` and `start("head")` give a running build.

    In a block both builds run anew, and every path is measured A, B, B, A. What drifts evenly over a block drops out.
    """
    base: dict[str, list[float]] = {name: [] for name in names}
    head: dict[str, list[float]] = {name: [] for name in names}
    for number in range(blocks):
        with ExitStack() as stack:
            # Whoever starts first may find the better memory: take turns.
            order = ("base", "head") if number % 2 == 0 else ("head", "base")
            running = {side: stack.enter_context(start(side)) for side in order}
            for name in names:
                costs: dict[str, list[float]] = {"base": [], "head": []}
                for side in (*order, *reversed(order)):
                    costs[side].append(running[side](name))
                base[name].append(sum(costs["base"]) / 2)
                head[name].append(sum(costs["head"]) / 2)
    for name, unit in names.items():
        interval = Interval.of([b / a for a, b in zip(base[name], head[name], strict=True)])
        yield Compared(
            name=name,
            base=sum(base[name]) / blocks,
            head=sum(head[name]) / blocks,
            unit=unit,
            interval=interval,
            noise=noise,
        )


@contextmanager
def running_probe(build: Build, inputs: Path) -> Iterator[Round]:
    """The probe of a build, answering nanoseconds of CPU per item."""
    command = build.probe("serve", inputs)
    with subprocess.Popen(
        command, env=build.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        source, target = process.stdout, process.stdin

        def measured(path: str) -> float:
            target.write(f"{path}\n")
            target.flush()
            answer = source.readline().split()
            if len(answer) != 2:
                raise RuntimeError(f"the probe of {build.name} failed at {path}: exit code {process.wait(10)}")
            return int(answer[1]) / int(answer[0])

        try:
            yield measured
        finally:
            process.kill()
