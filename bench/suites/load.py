"""Latency and cost under an open-loop load at 70 % of the maximum, which is found first.

Hits are due at moments of their own (a Poisson process) whatever the server does; latency counts from the due time, so
a stall shows in every hit that it makes wait (`bench.load`). The generator has one CPU, Footfall another; nginx sits
with Footfall, ClickHouse with the generator.

| line | what |
|---|---|
| load_p99_ms | kept connections, segments on disk, durability=process |
| load_power_p99_ms | the same with durability=power: each answer waits for the disk |
| load_short_p99_ms | a new connection for each hit |
| load_tls_p99_ms | kept connections through nginx with TLS |
| load_stored_p99_ms | kept connections, rows in the embedded ClickHouse, each held against its hit |
| load_user_us | of that run: user CPU of all our processes for a hit, from the socket's bytes to the stored row |

Each line's notes have the maximum, the rate that was asked for and got, all percentiles of all rounds together, CPU for
a hit by process, bytes for a hit on the wire and in the spool, and anonymous memory. `lateness_ms` is the generator's
own: from a hit's due time until a connection took it; `from_sending_ms` is what the hit took after that. The figure
itself is the median of the rounds' p99s; what nginx's `return 204` shows at the same rate in the same minutes
(`nginx_p99_ms`) is the machine's part of it.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.harness import Budget, Result, Run
from bench.load.generator import CONNECTIONS, Attack, Outcome, added, generator_path, percentiles_ms, run_attack
from bench.load.requests import write_requests
from bench.load.spending import Spending, memory_mib
from bench.load.stored import ATTACK_HITS, compare_with_rows
from bench.load.targets import Sealed, Stored, Target, behind_tls
from tests.services.nginx import running_nginx

REQUESTS = 40_000
QUICK_REQUESTS = 1_000
ROUND_S = 4.0
QUICK_ROUND_S = 0.5

# Where an answer waits for the disk, as many hits share one sync as there are connections waiting for it.
POWER_CONNECTIONS = 512

# What an installation may be loaded with and still take a burst.
SHARE_OF_MAXIMUM = 0.7

NGINX_BODY = "keepalive_requests 100000000; location / { return 204; }"


@dataclass
class Measured:
    """The rounds of one line."""

    maximum_per_s: float
    outcomes: list[Outcome] = field(default_factory=list)
    nginx: list[Outcome] = field(default_factory=list)
    user_us: list[float] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)

    def p99s_ms(self) -> list[float]:
        """One a round."""
        return [percentiles_ms(outcome.latency)["p99"] for outcome in self.outcomes]


class Loads:
    """Finds the maximum of a target, then sends 70 % of it, round after round."""

    def __init__(self, run: Run, folder: Path, nginx_port: int) -> None:
        self.run = run
        self.folder = folder
        self.seconds = QUICK_ROUND_S if run.quick else ROUND_S
        count = QUICK_REQUESTS if run.quick else REQUESTS
        self.kept = write_requests(folder / "kept.bin", count)
        self.short = write_requests(folder / "short.bin", count, is_short=True)
        self.nginx_port = nginx_port
        self.connections = CONNECTIONS
        self._attacks = 0

    def attack(self, port: int, rate_per_s: float, *, short: bool = False, tls: bool = False) -> Outcome:
        """One round of it; raises unless every hit was answered well."""
        self._attacks += 1
        attack = Attack(
            port,
            self.short if short else self.kept,
            rate_per_s,
            self.seconds,
            connections=self.connections,
            short=short,
            tls=tls,
            first=self._attacks * ATTACK_HITS,
            outcomes=self.folder / "outcomes",
            seed=self._attacks,
        )
        outcome = run_attack(attack, self.run.cpus.client)
        outcome.require_all_answered()
        return outcome

    def measure(self, target: Target, *, short: bool = False, tls: bool = False) -> Measured:
        """The maximum, then the rounds. Asserts a record for each answer."""
        self.attack(target.port, 0, short=short, tls=tls)
        maximum = self.attack(target.port, 0, short=short, tls=tls)
        target.settle()
        measured = Measured(maximum.answered_per_s)
        asked_per_s = maximum.answered_per_s * SHARE_OF_MAXIMUM
        for number in range(self.run.rounds):
            # Whoever goes second finds another moment of the machine, so take turns.
            if number % 2 == 0 and not short and not tls:
                measured.nginx.append(self.attack(self.nginx_port, asked_per_s))
            self._round(target, asked_per_s, measured, short=short, tls=tls)
            if number % 2 == 1 and not short and not tls:
                measured.nginx.append(self.attack(self.nginx_port, asked_per_s))
        return measured

    def _round(self, target: Target, asked_per_s: float, measured: Measured, *, short: bool, tls: bool) -> None:
        records, spool_bytes = target.records(), target.spool_bytes()
        by_role = target.by_role()
        spending = Spending(by_role)
        outcome = self.attack(target.port, asked_per_s, short=short, tls=tls)
        target.settle()
        spent = spending.until_now()
        recorded = target.records() - records
        assert recorded == outcome.answered, (recorded, outcome.answered)
        measured.outcomes.append(outcome)
        measured.user_us.append(spent.our_user_s() / outcome.answered * 1e6)
        measured.notes = {
            "cpu_us": spent.per_hit_us(outcome.answered),
            "wire_bytes": {
                "sent": round(outcome.bytes_sent / outcome.answered),
                "received": round(outcome.bytes_received / outcome.answered),
            },
            "spool_bytes": round((target.spool_bytes() - spool_bytes) / recorded, 1),
            "anonymous_mib": memory_mib(by_role),
        }
        if isinstance(target, Stored):
            outcomes = (self.folder / "outcomes").read_bytes()
            found = compare_with_rows(target.connection, outcomes, self._attacks * ATTACK_HITS)
            assert found.ok, found
            assert found.rows == outcome.accepted, found
            measured.notes["rows_held_against_hits"] = found.rows

    def result(self, name: str, measured: Measured, at_most: float | None) -> Result:
        """The line."""
        outcomes = measured.outcomes
        got = statistics.median(outcome.answered_per_s for outcome in outcomes)
        notes = {
            **self.run.notes,
            "maximum_per_s": round(measured.maximum_per_s),
            "asked_per_s": round(measured.maximum_per_s * SHARE_OF_MAXIMUM),
            "got_per_s": round(got),
            "hits": sum(outcome.answered for outcome in outcomes),
            "latency_ms": percentiles_ms(added([outcome.latency for outcome in outcomes])),
            "lateness_ms": percentiles_ms(added([outcome.lateness for outcome in outcomes])),
            "from_sending_ms": percentiles_ms(added([outcome.uncorrected for outcome in outcomes])),
            **measured.notes,
            "load_average": round(os.getloadavg()[0], 1),
        }
        if measured.nginx:
            nginx_ms = statistics.median(percentiles_ms(outcome.latency)["p99"] for outcome in measured.nginx)
            notes["nginx_p99_ms"] = nginx_ms
        p99s_ms = measured.p99s_ms()
        return Result(
            name,
            statistics.median(p99s_ms),
            None,
            None,
            "ms",
            None if at_most is None else Budget(at_most, "at_most"),
            rounds=tuple((value,) for value in p99s_ms),
            notes=notes,
        )


def measure(run: Run) -> Iterator[Result]:
    """Every line of the table."""
    generator_path()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-bench-")))
        loads = Loads(run, folder, stack.enter_context(running_nginx(folder, NGINX_BODY)).port)
        with Sealed(folder / "process", run.cpus) as target:
            yield loads.result("load_p99_ms", loads.measure(target), 5)
            yield loads.result("load_short_p99_ms", loads.measure(target, short=True), None)
            with behind_tls(target, folder / "tls", run.cpus) as encrypted:
                yield loads.result("load_tls_p99_ms", loads.measure(encrypted, tls=True), None)
        with Sealed(folder / "power", run.cpus, durability="power") as target:
            loads.connections = POWER_CONNECTIONS
            yield loads.result("load_power_p99_ms", loads.measure(target), 10)
        with Stored(folder, run.cpus) as stored:
            loads.connections = CONNECTIONS
            measured = loads.measure(stored)
            line = loads.result("load_stored_p99_ms", measured, None)
            yield line
            yield replace(
                line,
                name="load_user_us",
                ours=statistics.median(measured.user_us),
                unit="us",
                budget=Budget(5, "at_most"),
                rounds=tuple((value,) for value in measured.user_us),
                notes={**run.notes, **{name: line.notes[name] for name in ("cpu_us", "got_per_s", "load_average")}},
            )
