"""The benchmark harness: figures, comparisons, budgets.

Rules it holds, so that a suite need not:

* **One run.** `Run.compare` measures ours and theirs alternately, round after round, and takes the median of each and
  of the per-round ratios: a machine that slows down half way slows both.
* **Ratio is "how many times better"**: ours / theirs where more is better, theirs / ours where less is better.
* **Pinned.** The measuring process sits on `cpus.server`; load generators belong on `cpus.client`.
* **Release builds only.** A debug or quick build of an extension is refused unless `--any-build` says otherwise, and
  then the build's name stands in every result.
* **Answers are asserted** by the suite, inside the measured callables or after them; `python -O` is refused, since it
  would drop those assertions.

A suite is a module of `bench.suites`:

    def measure(run: Run) -> Iterator[Result]:
        yield run.compare("encode_vs_clickhouse_driver", ours, theirs, unit="rows/CPU s", at_least=15)
        yield run.figure("record_us", ours, unit="us", at_most=1.5)

where `ours` and `theirs` are callables that do a round's work and return its figure in `unit` (`cpu_rate` and
`cpu_cost` help).
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

# Five rounds: the median then ignores two disturbed ones, and a suite still ends within a minute or two.
DEFAULT_ROUNDS = 5

Measurement = Callable[[], float]


class WrongBuildError(RuntimeError):
    """An extension that is not a release build was about to be measured."""


@dataclass(frozen=True)
class Cpus:
    """Which CPU does what. With a single CPU both are that one, and the results say so."""

    server: int
    client: int


@dataclass(frozen=True)
class Budget:
    """A bound on a figure: on the ratio of a comparison, on `ours` of a plain figure."""

    bound: float
    kind: Literal["at_least", "at_most"]

    def holds(self, value: float) -> bool:
        """Whether `value` keeps the budget."""
        return value >= self.bound if self.kind == "at_least" else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.kind == 'at_least' else '≤'} {self.bound:g}"


@dataclass(frozen=True)
class Result:
    """One line of output. `theirs` and `ratio` are None for a figure that is compared with its budget alone."""

    name: str
    ours: float
    theirs: float | None
    ratio: float | None
    unit: str
    budget: Budget | None = None
    # Every round's figures, so that a reader can judge the noise: [ours] or [ours, theirs].
    rounds: tuple[tuple[float, ...], ...] = ()
    notes: dict[str, object] = field(default_factory=dict)

    @property
    def kept(self) -> bool | None:
        """Whether the budget is kept; None without one."""
        if self.budget is None:
            return None
        return self.budget.holds(self.ours if self.ratio is None else self.ratio)

    def as_json(self) -> dict[str, object]:
        """The line `--json` prints."""
        line: dict[str, object] = {
            "name": self.name,
            "ours": significant(self.ours),
            "theirs": None if self.theirs is None else significant(self.theirs),
            "ratio": None if self.ratio is None else significant(self.ratio),
            "unit": self.unit,
        }
        if self.budget is not None:
            line |= {"budget": str(self.budget), "kept": self.kept}
        if self.rounds:
            line["rounds"] = [[significant(value) for value in values] for values in self.rounds]
        return line | self.notes


def significant(value: float) -> float:
    """Four significant digits: more would claim a precision that no round repeats."""
    return float(f"{value:.4g}")


@dataclass(frozen=True)
class Run:
    """What a suite is given: the CPUs, the number of rounds, and the two ways of measuring."""

    cpus: Cpus
    rounds: int = DEFAULT_ROUNDS
    quick: bool = False
    notes: dict[str, object] = field(default_factory=dict)
    events: int = 0
    """How many events a suite over a filled store makes; 0: what it thinks right."""
    keep: Path | None = None
    """Where a suite leaves its filled store, and finds it again the next time; None: it is thrown away."""
    seconds: float = 0.0
    """How long a suite of a stated length takes; 0: what it thinks right."""

    def compare(
        self,
        name: str,
        ours: Measurement,
        theirs: Measurement,
        *,
        unit: str,
        better: Literal["more", "less"] = "more",
        at_least: float | None = None,
        notes: dict[str, object] | None = None,
    ) -> Result:
        """Measure both alternately. `at_least` is a bound on the ratio. One unmeasured round warms both."""
        ours(), theirs()
        pairs: list[tuple[float, float]] = []
        for number in range(self.rounds):
            # Whoever goes second finds warmer caches and a hotter CPU, so take turns.
            if number % 2:
                second = theirs()
                pairs.append((ours(), second))
            else:
                first = ours()
                pairs.append((first, theirs()))
        ratios = [mine / other if better == "more" else other / mine for mine, other in pairs]
        return Result(
            name=name,
            ours=statistics.median(mine for mine, _ in pairs),
            theirs=statistics.median(other for _, other in pairs),
            ratio=statistics.median(ratios),
            unit=unit,
            budget=None if at_least is None else Budget(at_least, "at_least"),
            rounds=tuple(pairs),
            notes={**self.notes, **(notes or {})},
        )

    def figure(
        self,
        name: str,
        ours: Measurement,
        *,
        unit: str,
        at_most: float | None = None,
        notes: dict[str, object] | None = None,
    ) -> Result:
        """Measure a figure that has no peer. `at_most` is a bound on it. One unmeasured round warms it."""
        ours()
        values = [ours() for _ in range(self.rounds)]
        return Result(
            name=name,
            ours=statistics.median(values),
            theirs=None,
            ratio=None,
            unit=unit,
            budget=None if at_most is None else Budget(at_most, "at_most"),
            rounds=tuple((value,) for value in values),
            notes={**self.notes, **(notes or {})},
        )


def cpu_rate(work: Callable[[], int]) -> float:
    """Items per second of this process's CPU time, all its threads: `work` does a round and returns how many items it
    did.
    """
    before_ns = time.process_time_ns()
    items = work()
    return items * 1e9 / (time.process_time_ns() - before_ns)


def cpu_cost(work: Callable[[], int], *, unit_ns: float = 1.0) -> float:
    """CPU time per item, in units of `unit_ns` nanoseconds (1 for ns, 1000 for µs)."""
    return 1e9 / cpu_rate(work) / unit_ns


def choose_cpus() -> Cpus:
    """The last CPU we may use for what is measured, the first for load: interrupts tend to land on the first."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cpus(server=allowed[-1], client=allowed[0])


@contextlib.contextmanager
def pinned(*cpus: int) -> Iterator[None]:
    """Keep this process, and children it starts meanwhile, on these CPUs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def require_release_build(*, any_build: bool) -> dict[str, object]:
    """Refuse anything but release builds; with `any_build`, return notes that name the build instead."""
    import rust_ext
    from core_ext import native

    if not __debug__:
        raise WrongBuildError("python -O drops the assertions that check every answer")
    found = {"rust_ext": rust_ext.build_profile(), "core_ext": str(native.build_profile())}
    others = {name: profile for name, profile in found.items() if profile != "release"}
    if not others:
        return {}
    if not any_build:
        listed = ", ".join(f"{name} is a {profile} build" for name, profile in others.items())
        raise WrongBuildError(f"{listed}: run `make build`, or pass --any-build to measure it all the same")
    return {"build": ", ".join(dict.fromkeys(others.values()))}


def machine() -> dict[str, object]:
    """The machine in general terms, for recorded results."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return {
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
    }
