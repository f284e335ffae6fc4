"""Builds the generator on first use and runs it: what to send, and what came of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hdrh.histogram import HdrHistogram

CHECKOUT = Path(__file__).resolve().parents[2]
MANIFEST = Path(__file__).parent / "generator" / "Cargo.toml"
BUILT = CHECKOUT / ".make" / "load"

# What a page of latencies shows, and the names that results give them.
QUANTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "p99.99": 99.99, "max": 100.0}

# Keep-alive connections, as the other benchmarks have.
CONNECTIONS = 64

# Building took 100 s of CPU on the slowest machine seen.
BUILD_TIMEOUT_S = 1_200

# Beyond the seconds of sending and its patience, the generator needs a moment to write down what it saw.
ENDS_WITHIN_S = 30.0


class GeneratorError(RuntimeError):
    """The generator could not be built, or could not measure. The message is its own."""


@dataclass(frozen=True)
class Attack:
    """What is sent. `rate_per_s` 0 is a closed loop: each connection sends as soon as it is answered."""

    port: int
    requests: Path
    rate_per_s: float
    seconds: float
    connections: int = CONNECTIONS
    poisson: bool = True
    short: bool = False
    tls: bool = False
    first: int = 0
    patience_ms: int = 10_000
    every_ms: int = 0
    outcomes: Path | None = None
    seed: int = 1

    def arguments(self) -> Iterator[str]:
        """As the generator takes them (`generator/src/main.rs`)."""
        for name, value in (
            ("port", self.port),
            ("requests", self.requests),
            ("rate", self.rate_per_s),
            ("seconds", self.seconds),
            ("connections", self.connections),
            ("poisson", int(self.poisson)),
            ("short", int(self.short)),
            ("tls", int(self.tls)),
            ("first", self.first),
            ("patience_ms", self.patience_ms),
            ("every_ms", self.every_ms),
            ("seed", self.seed),
        ):
            yield f"{name}={value}"
        if self.outcomes is not None:
            yield f"outcomes={self.outcomes}"


@dataclass(frozen=True)
class Outcome:
    """What came of an attack. Latencies in µs: from the due time, from sending, and from the due time to sending."""

    duration_s: float
    accepted: int
    dropped: int
    refused: int
    unanswered: int
    unsent: int
    failed: int
    connections_opened: int
    bytes_sent: int
    bytes_received: int
    latency: HdrHistogram
    uncorrected: HdrHistogram
    lateness: HdrHistogram

    @property
    def answered(self) -> int:
        """Hits with a 2xx answer: all of them have a record."""
        return self.accepted + self.dropped

    @property
    def due(self) -> int:
        """Hits that were to be sent."""
        return self.answered + self.refused + self.unanswered + self.unsent + self.failed

    @property
    def answered_per_s(self) -> float:
        """Rate of answers, until the last one."""
        return self.answered / self.duration_s

    def require_all_answered(self) -> None:
        """Raise `GeneratorError` unless every hit was answered well."""
        if self.answered != self.due:
            raise GeneratorError(
                f"of {self.due} hits {self.refused} were refused, {self.unanswered} unanswered, "
                f"{self.unsent} unsent, {self.failed} answered otherwise"
            )


def percentiles_ms(histogram: HdrHistogram) -> dict[str, float]:
    """Of a histogram in µs."""
    return {name: round(histogram.get_value_at_percentile(at) / 1e3, 3) for name, at in QUANTILES.items()}


def added(histograms: Sequence[HdrHistogram]) -> HdrHistogram:
    """All of them together, in the first."""
    first, *others = histograms
    for other in others:
        first.add(other)
    return first


@cache
def generator_path() -> Path:
    """The built program. Raises `GeneratorError`."""
    command = ["cargo", "build", "--release", "--locked", "--quiet"]
    paths = [f"--manifest-path={MANIFEST}", f"--target-dir={BUILT}"]
    try:
        done = subprocess.run([*command, *paths], capture_output=True, text=True, check=False, timeout=BUILD_TIMEOUT_S)
    except FileNotFoundError:
        raise GeneratorError("the load generator is built by cargo, which is not installed") from None
    if done.returncode != 0:
        raise GeneratorError(f"the load generator cannot be built: {done.stderr.strip()[-2_000:]}")
    return BUILT / "release" / "footfall-load"


class RunningAttack:
    """An attack under way."""

    def __init__(self, attack: Attack, cpu: int) -> None:
        self._attack = attack
        self._child = subprocess.Popen(
            ["taskset", "-c", str(cpu), str(generator_path()), *attack.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait(self) -> tuple[Outcome, list[dict[str, float]]]:
        """What came of it, and a line for each interval. Raises `GeneratorError`."""
        attack = self._attack
        try:
            out, error = self._child.communicate(
                timeout=attack.seconds + 3 * attack.patience_ms / 1_000 + ENDS_WITHIN_S
            )
        except subprocess.TimeoutExpired:
            self.end()
            raise GeneratorError("the load generator does not end") from None
        if self._child.returncode != 0:
            raise GeneratorError(error.strip() or f"the load generator ended with {self._child.returncode}")
        *intervals, last = (json.loads(line) for line in out.splitlines())
        return parse_outcome(last), intervals

    def end(self) -> None:
        """Kill it."""
        self._child.kill()
        self._child.communicate()


def parse_outcome(line: dict[str, object]) -> Outcome:
    """The generator's last line."""
    histograms = {
        name: HdrHistogram.decode(str(line[name]).encode()) for name in ("latency", "uncorrected", "lateness")
    }
    numbers = {name: value for name, value in line.items() if name not in {*histograms, "final"}}
    return Outcome(**numbers, **histograms)  # type: ignore[arg-type]


def run_attack(attack: Attack, cpu: int) -> Outcome:
    """Send everything, wait for the answers."""
    return RunningAttack(attack, cpu).wait()[0]
