"""What a second process and a second flusher add on this machine, everything else equal.

| line | what |
|---|---|
| hits_2_vs_1_processes | hits answered in a second by two collect processes on one port, against one |
| rows_2_vs_1_flushers | rows stored in a second by two flusher threads of one process, against one |

Nothing is pinned but the client, since it is the machine's cores that are to be used. Client, processes and ClickHouse
share them: with two cores, read the ratio of hits with `hits_per_cpu_s`, which says what a hit costs either way. A core
more for each process, as a pod of its own has, is what these figures extrapolate to; `machine_busy` tells how much of
all cores was taken, by others too.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench.collector_process import CollectorProcess, running_collector
from bench.harness import Result, Run, pinned, significant
from bench.procfs import cpu_s
from bench.suites.front import CONNECTIONS, Load
from bench.suites.store import FORM, QUICK_SEGMENT_ROWS, SEGMENT_ROWS, SealedFiles, Store, machine_ticks
from bench.wrk import run_wrk
from server.batch import targets
from server.flusher import Flusher
from server.migrate import migrate
from server.quarantine import Quarantine
from server.sink import Sink
from tests.services.clickhouse import running_clickhouse

STORED_WITHIN_S = 300.0


class Processes:
    """Rounds against a server of so many processes."""

    def __init__(self, load: Load, collector: CollectorProcess) -> None:
        self.load = load
        self.collector = collector
        self.spooled = 0
        self.per_cpu_s: list[float] = []

    def round(self) -> float:
        """Hits per second of wall time, as the client saw them; asserts a record for each answer."""
        spent = sum(cpu_s(self.collector.pids))
        outcome = run_wrk(
            self.load.wrk,
            self.load.script,
            port=self.collector.port,
            seconds=self.load.seconds,
            cpu=self.load.run.cpus.client,
            connections=CONNECTIONS,
        )
        self.collector.wait_until_sealed()
        self.per_cpu_s.append(outcome.requests / (sum(cpu_s(self.collector.pids)) - spent))
        spooled = self.collector.spool_records()
        # wrk hangs up with up to one unread answer per connection.
        assert outcome.requests <= spooled - self.spooled <= outcome.requests + CONNECTIONS
        self.spooled = spooled
        return outcome.requests_per_s


class SharedFiles(SealedFiles):
    """For several threads: the flusher asks for segments one at a time, but discards at once."""

    def __init__(self, paths: list[Path]) -> None:
        super().__init__(paths)
        self._turn = threading.Lock()

    def discard(self, path: str) -> None:
        """Acknowledged."""
        with self._turn:
            super().discard(path)


class ManyFlushers(Store):
    """Rounds by so many flusher threads, into fresh tables each."""

    def flush_by(self, flushers: int) -> float:
        """Rows per second of wall time from the first sealed segment to the last discard."""
        self.fresh_tables()
        spool = self.folder / "spool"
        spool.mkdir()
        source = SharedFiles([Path(shutil.copy(path, spool)) for path in self.originals])
        flusher = Flusher(
            source,
            lambda shard: Sink(lambda: self.address, FORM, *targets(FORM)),
            Quarantine(self.folder / "q"),
            parallelism=flushers,
        )
        started_s = time.monotonic()
        flusher.start()
        while source.left:
            assert time.monotonic() - started_s < STORED_WITHIN_S, flusher.counters
            time.sleep(0.001)
        elapsed_s = time.monotonic() - started_s
        flusher.stop(10.0)
        spool.rmdir()
        assert (flusher.pending(), flusher.counters.rows) == (0, self.rows)
        self.assert_rows("events")
        return self.rows / elapsed_s


def measure(run: Run) -> Iterator[Result]:
    """Both lines."""
    with ExitStack() as stack:
        stack.enter_context(pinned(*sorted({run.cpus.server, run.cpus.client})))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-bench-")))
        yield from _processes(run, folder)
        yield from _flushers(run, folder)


def _processes(run: Run, folder: Path) -> Iterator[Result]:
    with ExitStack() as stack:
        load = Load(run, folder)
        sides = []
        for count in (1, 2):
            home = folder / f"processes-{count}"
            home.mkdir()
            sides.append(Processes(load, stack.enter_context(running_collector(home, processes=str(count)))))
        one, two = sides
        busyness = Busyness()
        compared = run.compare("hits_2_vs_1_processes", two.round, one.round, unit="hits/s")
        per_cpu_s = [significant(statistics.median(side.per_cpu_s)) for side in sides]
        notes = {"hits_per_cpu_s": {"1": per_cpu_s[0], "2": per_cpu_s[1]}, "cpus": len(os.sched_getaffinity(0))}
        yield dataclasses.replace(compared, notes={**compared.notes, **notes, "machine_busy": busyness.share()})


def _flushers(run: Run, folder: Path) -> Iterator[Result]:
    with ExitStack() as stack:
        server = stack.enter_context(running_clickhouse(folder / "clickhouse"))
        migrate(server.address, FORM)
        store = ManyFlushers(server, folder, QUICK_SEGMENT_ROWS if run.quick else SEGMENT_ROWS)
        stack.callback(lambda: store.connection.close())
        busyness = Busyness()
        compared = run.compare(
            "rows_2_vs_1_flushers", lambda: store.flush_by(2), lambda: store.flush_by(1), unit="rows/s"
        )
        notes = {"rows": store.rows, "machine_busy": busyness.share()}
        yield dataclasses.replace(compared, notes={**compared.notes, **notes})


class Busyness:
    """How busy the machine was altogether since this was made: near 1, the cores were the limit."""

    def __init__(self) -> None:
        self._before = machine_ticks()

    def share(self) -> float:
        """A share of all CPUs."""
        busy, everything = (after - before for after, before in zip(machine_ticks(), self._before, strict=True))
        return round(busy / max(1, everything), 2)
