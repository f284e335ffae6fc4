"""The batch settings that suit this machine: two grids, the knee of each, and the result against the defaults.

| line | what |
|---|---|
| sweep_rows_per_s | rows of a backlog stored per second with the batch and flush parallelism that were found |
| sweep_age_hits_per_cpu_s | hits for a CPU second of Footfall and its store at the age that was found |
| sweep_found_vs_default | the same, what was found against the defaults, taking turns under the same load |

What was found is recommended where the last line shows a gain, else the defaults are. `bench.sweep` says what is
measured and why not every combination. Durability is a promise and not a matter of tuning: its cost is shown, the
recommendation keeps `process`. The report is `.make/reports/sweep.html`, with the ConfigMap beside it as
`footfall-batch.yaml`; `--keep` names another folder. Less than 15 minutes, less than one with `--quick`.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path

from bench.harness import Result, Run, machine, pinned
from bench.load.generator import CHECKOUT, generator_path
from bench.sweep.backlog import Backlog, BatchPoint
from bench.sweep.configmap import AGE_PER_POD_MS, config_map
from bench.sweep.knee import NEARLY, knee
from bench.sweep.live import Live, LivePoint
from bench.sweep.page import sweep_page
from server.config import BatchSettings, Durability
from tests.services.clickhouse import running_clickhouse

IN_ALL = False

ROWS = (10_000, 25_000, 50_000, 100_000, 250_000)
QUICK_ROWS = (500, 2_000)
PARALLELISM = (1, 2)
BACKLOG_RECORDS = 500_000
QUICK_BACKLOG_RECORDS = 4_000

AGES_MS = (250, 500, 1_000, 2_000, 4_000)
QUICK_AGES_MS = (500, 1_000)
LIVE_S = 8.0
QUICK_LIVE_S = 1.5

# Half of what a closed loop reaches: store, generator and probes share the other core.
SHARE_OF_MAXIMUM = 0.5

BACKLOG_ROUNDS = 2

# A limit in bytes that the limit in rows reaches first on ordinary traffic, and that bounds what long URLs can do.
BYTES_HEADROOM = 1.3

# Another thread is another connection and another block in memory, and a busy machine gives two threads more of its
# time than one: it must gain more than that.
THREADS_NEARLY = 0.2

REPORTS = CHECKOUT / ".make" / "reports"


def measure(run: Run) -> Iterator[Result]:
    """Every line of the table."""
    generator_path()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-sweep-")))
        batches = measure_backlog(run, folder)
        with_batch = find_batch(batches)
        chosen = next(
            point
            for point in batches
            if (point.rows, point.parallelism) == (with_batch.batch_max_rows, with_batch.flush_parallelism)
        )
        yield Result(
            "sweep_rows_per_s",
            chosen.rows_per_s,
            None,
            None,
            "rows/s",
            notes={**run.notes, "rows": chosen.rows, "parallelism": chosen.parallelism, **_load()},
        )
        stack.enter_context(pinned(*sorted({run.cpus.server, run.cpus.client})))
        live = stack.enter_context(Live(folder, run.cpus))
        seconds = QUICK_LIVE_S if run.quick else LIVE_S
        rate_per_s = live.maximum_per_s(seconds / 2) * SHARE_OF_MAXIMUM
        points = [
            live.measure(
                with_batch.model_copy(update={"batch_max_age_ms": age_ms, "durability": durability}),
                rate_per_s,
                seconds,
            )
            for durability, age_ms in product(Durability, QUICK_AGES_MS if run.quick else AGES_MS)
        ]
        found = find_age(with_batch, points)
        at = next(point for point in points if point.settings == found)
        notes = {**run.notes, "age_ms": found.batch_max_age_ms, "rate_per_s": round(rate_per_s), **_load()}
        yield Result("sweep_age_hits_per_cpu_s", at.hits_per_cpu_s, None, None, "hits/CPU s", notes=notes)
        compared, sides = compare_with_defaults(run, live, found, rate_per_s, seconds)
        recommended = recommend(found, compared.ratio or 1.0)
        target = run.keep or REPORTS
        target.mkdir(parents=True, exist_ok=True)
        described = {**machine(), "hits per second": round(rate_per_s)}
        text = config_map(recommended, described)
        (target / "footfall-batch.yaml").write_text(text)
        rows = _rows(BatchSettings(), found, sides)
        introduction = ", ".join(f"{name}: {value}" for name, value in described.items())
        (target / "sweep.html").write_text(sweep_page(introduction, batches, points, rows, text))
        yield replace(
            compared,
            notes={
                **compared.notes,
                "found": found.model_dump(mode="json"),
                "recommended": recommended.model_dump(mode="json"),
                "fresh_p99_ms": {side: _median(each, "fresh_p99_ms") for side, each in sides.items()},
                "p99_ms": {side: _median(each, "p99_ms") for side, each in sides.items()},
                "parts": {side: _median(each, "parts") for side, each in sides.items()},
                "report": os.path.relpath(target / "sweep.html"),
                **_load(),
            },
        )


def measure_backlog(run: Run, folder: Path) -> list[BatchPoint]:
    """The first grid, the faster of two rounds for each point: what disturbs a round only ever slows it."""
    with pinned(run.cpus.client), running_clickhouse(folder / "store") as server, pinned(run.cpus.server):
        backlog = Backlog(server, folder, QUICK_BACKLOG_RECORDS if run.quick else BACKLOG_RECORDS)
        grid = list(product(QUICK_ROWS if run.quick else ROWS, PARALLELISM))
        rounds = [[backlog.flush(*point) for point in grid] for _ in range(1 if run.quick else BACKLOG_ROUNDS)]
    return [max(tries, key=lambda point: point.rows_per_s) for tries in zip(*rounds, strict=True)]


def find_batch(points: Sequence[BatchPoint]) -> BatchSettings:
    """The fewest threads that are nearly as fast as any, the smallest batch whose rows are nearly as cheap as any's,
    and bytes by what a record takes. Cheap is CPU of both sides, which a busy machine changes less than it does time.
    """
    best = {
        threads: max(point.rows_per_s for point in points if point.parallelism == threads)
        for threads in {point.parallelism for point in points}
    }
    threads = int(knee(list(best.items()), THREADS_NEARLY))
    mine = [point for point in points if point.parallelism == threads]
    rows = int(knee([(point.rows, 1 / (point.client_us + point.server_us)) for point in mine]))
    record_bytes = next(point.record_bytes for point in mine if point.rows == rows)
    mib = max(1, round(rows * record_bytes * BYTES_HEADROOM / 2**20))
    return BatchSettings(batch_max_rows=rows, batch_max_bytes=mib * 2**20, flush_parallelism=threads)


def find_age(settings: BatchSettings, points: Sequence[LivePoint]) -> BatchSettings:
    """The youngest age that is nearly as cheap as any and makes at most two INSERTs a second."""
    allowed = [
        (point.settings.batch_max_age_ms, point.hits_per_cpu_s)
        for point in points
        if point.settings.durability is Durability.PROCESS and point.settings.batch_max_age_ms >= AGE_PER_POD_MS
    ]
    return settings.model_copy(update={"batch_max_age_ms": int(knee(allowed)), "durability": Durability.PROCESS})


def recommend(found: BatchSettings, gain: float) -> BatchSettings:
    """What was found when it gains more than two rounds of a busy machine differ by, else the defaults: a setting that
    gains nothing is one more to remember.
    """
    return found if gain > 1 + NEARLY else BatchSettings()


def compare_with_defaults(
    run: Run, live: Live, found: BatchSettings, rate_per_s: float, seconds: float
) -> tuple[Result, dict[str, list[LivePoint]]]:
    """Taking turns under the same load."""
    sides: dict[str, list[LivePoint]] = {"found": [], "default": []}

    def one(side: str, settings: BatchSettings) -> float:
        point = live.measure(settings, rate_per_s, seconds)
        sides[side].append(point)
        return point.hits_per_cpu_s

    result = run.compare(
        "sweep_found_vs_default",
        lambda: one("found", found),
        lambda: one("default", BatchSettings()),
        unit="hits/CPU s",
    )
    return result, sides


def _rows(
    default: BatchSettings, found: BatchSettings, sides: Mapping[str, Sequence[LivePoint]]
) -> list[tuple[object, ...]]:
    before, after = default.model_dump(mode="json"), found.model_dump(mode="json")
    settings = [(name, value, after[name]) for name, value in before.items()]
    measured = [
        (name, _median(sides["default"], name), _median(sides["found"], name))
        for name in ("hits_per_cpu_s", "our_us", "store_us", "p99_ms", "fresh_p99_ms", "inserts", "merges", "parts")
    ]
    return [*settings, *measured]


def _median(points: Sequence[LivePoint], name: str) -> float:
    return round(float(statistics.median(getattr(point, name) for point in points)), 2)


def _load() -> dict[str, object]:
    return {"load_average": round(os.getloadavg()[0], 1)}
