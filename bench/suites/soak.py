"""An hour (`--seconds` says otherwise) at 70 % of the maximum, open loop, with a fault every few minutes.

Faults come in turn (`bench.soak.faults`): collect processes killed, ClickHouse killed, a rolling restart, ClickHouse
frozen, the spool full. In the second half only those that leave our processes alone, so that what grows slowly has the
time to show. Afterwards each acknowledged hit is held against the rows and `footfall audit` must hold. What a hit's
answer was decides what must be true of it: accepted hits are rows once, refused and dropped ones are none, unanswered
ones at most one.

| line | bound |
|---|---|
| soak_lost_or_doubled | 0 hits |
| soak_memory_growth_mib | the worst process: what its typical slope makes over the whole run, ≤ 24 MiB |
| soak_descriptor_growth, soak_thread_growth | the same, ≤ 8 and ≤ 2 |
| soak_parts_growth | the same of the store's active parts, ≤ 30 |
| soak_latency_growth | median latency outside of faults, last third against first, ≤ 3 × |

The first fifth is left out of the slopes: caches and arenas fill. The report is `.make/reports/soak.html`, or in the
folder of `--keep`.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.collector_process import SITE
from bench.harness import Budget, Result, Run, pinned
from bench.load.generator import CHECKOUT, Attack, Outcome, RunningAttack, generator_path, run_attack
from bench.load.requests import write_requests
from bench.load.spending import place
from bench.load.stored import ATTACK_HITS, Comparison, compare_with_rows
from bench.soak.faults import Faults, Happened
from bench.soak.flatness import Point, growth
from bench.soak.page import soak_page
from bench.soak.sampling import ProcessSample, Sampler
from server.clickhouse_tcp import BlockConnection
from tests.adversity.exactly_once import wait_until_drained
from tests.adversity.kept_clickhouse import KeptClickHouse
from tests.services.footfall import FootfallServer

IN_ALL = False

SECONDS = 3_600.0
QUICK_SECONDS = 40.0
REQUESTS = 20_000

# One attack after the other: each has outcomes of its own to hold against rows.
STEP_S = 60.0
SHARE_OF_MAXIMUM = 0.7

# The rate at which a trial is kept up with: the store shares the two cores.
TRIAL_S = 4.0
TRIAL_P99_MS = 500.0
SLOWER = 0.8
SLOWEST_PER_S = 500.0

# A sample every two seconds at first, 720 in an hour.
SAMPLES = 720
MOST_OFTEN_S = 2.0
FAULT_EVERY_S = 120.0
FAULTS_AT_LEAST = 5
WARM_SHARE = 0.2

REPORTS = CHECKOUT / ".make" / "reports"

MEMORY_MIB, DESCRIPTORS, THREADS, PARTS, LATENCY = 24.0, 8.0, 2.0, 30.0, 3.0


@dataclass
class Soak:
    """What was seen."""

    started_s: float
    seconds: float
    rate_per_s: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    latencies: list[dict[str, float]] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)
    compared: list[Comparison] = field(default_factory=list)
    audit: str = ""

    def is_disturbed(self, at_s: float) -> bool:
        """Whether a fault, or recovering from one, is under way."""
        return any(fault.begun_s <= at_s <= fault.over_s for fault in self.happened)


def measure(run: Run) -> Iterator[Result]:
    """Every line of the table."""
    generator_path()
    seconds = run.seconds or (QUICK_SECONDS if run.quick else SECONDS)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-soak-")))
        # ClickHouse goes where the generator is: in production it has another machine.
        with pinned(run.cpus.client):
            clickhouse = stack.enter_context(KeptClickHouse(folder / "clickhouse"))
        stack.enter_context(pinned(run.cpus.server, run.cpus.client))
        batch_file = folder / "batch.yaml"
        batch_file.write_text("")
        footfall = FootfallServer(
            folder / "data",
            first_site_domain=SITE,
            trusted_proxies="127.0.0.1",
            batch_settings_file=str(batch_file),
            clickhouse_url=f"clickhouse://127.0.0.1:{clickhouse.port}/{clickhouse.database}",
        )
        stack.callback(footfall.kill)
        footfall.start()
        yield from _soak(run, seconds, folder, footfall, clickhouse, batch_file)


def _soak(
    run: Run, seconds: float, folder: Path, footfall: FootfallServer, clickhouse: KeptClickHouse, batch_file: Path
) -> Iterator[Result]:
    requests = write_requests(folder / "requests", REQUESTS)
    place([process.pid for process in footfall.collect_processes()], run.cpus.server)
    rate_per_s = sustained_rate(
        lambda rate: run_attack(Attack(footfall.port, requests, rate, TRIAL_S, first=ATTACK_HITS), run.cpus.client),
        lambda: wait_until_drained(footfall),
    )
    started_s = time.monotonic()
    soak = Soak(started_s, seconds, rate_per_s)
    faults = Faults(footfall, clickhouse, batch_file, started_s)
    sampler = Sampler(
        footfall.pid,
        footfall.data_dir / "spool",
        clickhouse.address,
        started_s,
        max(MOST_OFTEN_S, seconds / SAMPLES),
    )
    sampler.start()
    files: list[tuple[int, Path]] = []
    fault_every_s = min(FAULT_EVERY_S, seconds / (FAULTS_AT_LEAST + 1))
    try:
        while (left_s := seconds - (time.monotonic() - started_s)) > 1:
            number = len(files) + 2
            begun_s = time.monotonic() - started_s
            outcomes = folder / f"outcomes-{number}"
            attack = Attack(
                footfall.port,
                requests,
                rate_per_s,
                min(STEP_S, left_s),
                first=number * ATTACK_HITS,
                outcomes=outcomes,
                every_ms=int(MOST_OFTEN_S * 1_000),
                seed=number,
            )
            files.append((attack.first, outcomes))
            running = RunningAttack(attack, run.cpus.client)
            while time.monotonic() - started_s < begun_s + attack.seconds:
                if time.monotonic() - started_s > fault_every_s * (len(faults.happened) + 1):
                    faults.next(spares_processes=time.monotonic() - started_s > seconds / 2)
                    place([process.pid for process in footfall.collect_processes()], run.cpus.server)
                time.sleep(0.2)
            outcome, intervals = running.wait()
            soak.outcomes.append(outcome)
            soak.latencies += [{**line, "at_s": line["at_s"] + begun_s} for line in intervals]
    finally:
        sampler.stop()
    soak.happened = faults.happened
    wait_until_drained(footfall)
    connection = BlockConnection(clickhouse.address)
    try:
        soak.compared = [compare_with_rows(connection, path.read_bytes(), first) for first, path in files]
    finally:
        connection.close()
    audited = footfall.command("audit")
    soak.audit = "holds" if audited.returncode == 0 else (audited.stdout + audited.stderr)[-1_000:]
    results = list(_judge(run, soak, sampler))
    target = (run.keep or REPORTS) / "soak.html"
    target.parent.mkdir(parents=True, exist_ok=True)
    verdicts = [(line.name, line.ours, str(line.budget), "kept" if line.kept else "missed") for line in results]
    introduction = ", ".join(f"{name}: {value}" for name, value in results[0].notes.items()) + ". Shaded: faults."
    target.write_text(soak_page("Soak", introduction, sampler.samples, soak.latencies, soak.happened, verdicts))
    for line in results:
        line.notes["report"] = os.path.relpath(target)
        yield line


def sustained_rate(attack: Callable[[float], Outcome], drain: Callable[[], None]) -> float:
    """70 % of the maximum of a closed loop, or less: what two cores keep up with, store and generator included."""
    attack(0)
    rate_per_s = attack(0).answered_per_s * SHARE_OF_MAXIMUM
    drain()
    while rate_per_s > SLOWEST_PER_S:
        outcome = attack(rate_per_s)
        p99_ms = outcome.latency.get_value_at_percentile(99) / 1e3
        drain()
        if outcome.answered == outcome.due and p99_ms < TRIAL_P99_MS:
            break
        rate_per_s *= SLOWER
    return rate_per_s


def _judge(run: Run, soak: Soak, sampler: Sampler) -> Iterator[Result]:
    compared = soak.compared
    wrong = sum(len(found.lost) + len(found.doubled) + len(found.strangers) for found in compared)
    notes: dict[str, object] = {
        **run.notes,
        "seconds": round(soak.seconds),
        "rate_per_s": round(soak.rate_per_s),
        "hits": sum(found.hits for found in compared),
        "accepted": sum(found.accepted for found in compared),
        "rows": sum(found.rows for found in compared),
        "refused": sum(outcome.refused for outcome in soak.outcomes),
        "unanswered": sum(found.unanswered for found in compared),
        "faults": len(soak.happened),
        "audit": soak.audit,
        "load_average": round(os.getloadavg()[0], 1),
    }
    if soak.audit != "holds":
        wrong += 1
    yield Result("soak_lost_or_doubled", wrong, None, None, "hits", Budget(0, "at_most"), notes=notes)
    warm_s = soak.seconds * WARM_SHARE
    samples = [sample for sample in sampler.samples if sample.at_s > warm_s]
    series: tuple[tuple[str, str, float, Callable[[ProcessSample], float]], ...] = (
        ("soak_memory_growth_mib", "MiB", MEMORY_MIB, lambda process: process.memory_mib),
        ("soak_descriptor_growth", "descriptors", DESCRIPTORS, lambda process: process.descriptors),
        ("soak_thread_growth", "threads", THREADS, lambda process: process.threads),
    )
    for name, unit, bound, read in series:
        grown = {
            role: round(growth(points, soak.seconds), 2)
            for role in sorted({process.role for sample in samples for process in sample.processes})
            if (
                points := [
                    Point(sample.at_s, read(process), process.pid)
                    for sample in samples
                    for process in sample.processes
                    if process.role == role
                ]
            )
        }
        worst = max(grown.values(), default=0.0)
        yield Result(name, worst, None, None, unit, Budget(bound, "at_most"), notes={**run.notes, "by_role": grown})
    parts = [
        Point(sample.at_s, sample.parts)
        for sample in samples
        if sample.parts is not None and not soak.is_disturbed(sample.at_s)
    ]
    grown_parts = growth(parts, soak.seconds)
    most = max((sample.parts or 0 for sample in sampler.samples), default=0)
    yield Result(
        "soak_parts_growth",
        grown_parts,
        None,
        None,
        "parts",
        Budget(PARTS, "at_most"),
        notes={**run.notes, "most": most},
    )
    quiet = [line for line in soak.latencies if line["at_s"] > warm_s and not soak.is_disturbed(line["at_s"])]
    third = max(1, len(quiet) // 3)
    first, last = ([line["p50_us"] for line in part] for part in (quiet[:third], quiet[-third:]))
    ratio = statistics.median(last) / statistics.median(first) if quiet else 1.0
    p99s_us = [line["p99_us"] for line in quiet] or [0.0]
    yield Result(
        "soak_latency_growth",
        ratio,
        None,
        None,
        "x",
        Budget(LATENCY, "at_most"),
        notes={**run.notes, "p99_ms_typical": round(statistics.median(p99s_us) / 1e3, 2), "intervals": len(quiet)},
    )
