"""Segments → stored rows, by one flusher, against the same server copying the same rows inside itself.

The server has one CPU, the flusher another. Ours is everything between a sealed segment and its acknowledgement: scan,
encode, INSERT into `events` and `ledger`, discard. Theirs is `INSERT INTO events SELECT * FROM` another round's with
one thread, which reads, sorts and writes the same columns, crosses no socket, and writes one part where ours writes
one per batch. Merges are stopped on both sides. After each round the rows are counted.

Read the ratio together with two notes. `cpu_elsewhere`: the share of the machine that other processes took; ours needs
two idle CPUs and theirs one, so a busy machine lowers the ratio. `server_us_per_row`: the server's own CPU time, which
does not depend on that.

Each round has a new database and nothing is dropped before the end: ext4 searches past inodes it freed lately for each
new file, so a benchmark that drops tables slows down its own next round, most of all the side that writes more parts.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.harness import Result, Run, pinned
from bench.segments import traffic_segment
from server.batch import targets
from server.clickhouse_tcp import BlockConnection
from server.flusher import Flusher
from server.migrate import SchemaForm, migrate
from server.quarantine import Quarantine
from server.sink import Sink
from tests.reference.crc32c import with_checksums
from tests.services.clickhouse import ClickHouseServer, running_clickhouse

# The default batch.
SEGMENT_ROWS = 100_000
QUICK_SEGMENT_ROWS = 5_000
SEGMENTS = 5
FORM = SchemaForm()
ONE_THREAD = {"max_threads": 1, "max_insert_threads": 1}


def cpu_ticks(pid: int) -> int:
    """User and system time of a process so far, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def machine_ticks() -> tuple[int, int]:
    """(busy, all) time of the machine so far, all CPUs."""
    user, nice, system, idle, iowait, *rest = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9])
    busy = user + nice + system + sum(rest)
    return busy, busy + idle + iowait


class SealedFiles:
    """Hands out the segments of a folder once; discarding removes the file, as a collector does."""

    def __init__(self, paths: list[Path]) -> None:
        self._waiting = [str(path) for path in paths]
        self.left = len(paths)

    def next_sealed(self, timeout_ms: int) -> str | None:
        """The next one, at once."""
        return self._waiting.pop(0) if self._waiting else None

    def discard(self, path: str) -> None:
        """Acknowledged."""
        Path(path).unlink()
        self.left -= 1


class Store:
    """One server and the segments that are sent to it again and again, into fresh tables."""

    def __init__(self, server: ClickHouseServer, folder: Path, segment_rows: int) -> None:
        self.server = server
        self.folder = folder
        self.rows = SEGMENTS * segment_rows
        self.originals = [self._make_segment(segment_rows, seed) for seed in range(SEGMENTS)]
        self.connection = BlockConnection(server.address)
        self.address = server.address
        self.round = 0
        self.server_us_per_row: dict[str, list[float]] = {"ours": [], "theirs": []}
        self.cpu_elsewhere: list[float] = []

    def _make_segment(self, rows: int, seed: int) -> Path:
        made, _ = traffic_segment(rows, seed=seed)
        data = bytearray(made.data)
        data[16:32] = os.urandom(16)
        path = self.folder / f"{bytes(data[16:32]).hex()}.seg"
        path.write_bytes(with_checksums(bytes(data), made.offsets, made.lengths))
        return path

    def fresh_tables(self) -> None:
        """A database of this round's own."""
        self.round += 1
        self.connection.close()
        self.address = dataclasses.replace(self.server.address, database=f"round_{self.round}")
        migrate(self.address, FORM)
        self.connection = BlockConnection(self.address)
        self.connection.command("SYSTEM STOP MERGES")

    @contextmanager
    def server_time(self, side: str) -> Iterator[None]:
        """Note the server's CPU time per row."""
        pids = (self.server.pid, os.getpid())
        server_before, ours_before = map(cpu_ticks, pids)
        busy_before, all_before = machine_ticks()
        yield
        server, ours = cpu_ticks(pids[0]) - server_before, cpu_ticks(pids[1]) - ours_before
        busy, everything = (
            after - before for after, before in zip(machine_ticks(), (busy_before, all_before), strict=True)
        )
        self.server_us_per_row[side].append(server / os.sysconf("SC_CLK_TCK") / self.rows * 1e6)
        self.cpu_elsewhere.append(max(0.0, (busy - server - ours) / max(1, everything)))

    def flush(self) -> float:
        """Rows per second of wall time from the first sealed segment to the last discard."""
        self.fresh_tables()
        spool = self.folder / "spool"
        spool.mkdir()
        source = SealedFiles([Path(shutil.copy(path, spool)) for path in self.originals])
        flusher = Flusher(
            source, lambda shard: Sink(lambda: self.address, FORM, *targets(FORM)), Quarantine(self.folder / "q")
        )
        with self.server_time("ours"):
            started_s = time.monotonic()
            flusher.drain()
            elapsed_s = time.monotonic() - started_s
        spool.rmdir()
        assert (source.left, flusher.pending(), flusher.counters.rows) == (0, 0, self.rows)
        self.assert_rows("events")
        assert self.connection.select("SELECT sum(count) FROM ledger WHERE outcome = 'accepted'") == [(self.rows,)]
        return self.rows / elapsed_s

    def keep_source(self) -> None:
        """Keep what was flushed as the table to copy from, its parts as they were inserted."""
        self.source = f"{self.address.database}.events"

    def insert_select(self) -> float:
        """Rows per second of wall time of the server's own copy."""
        self.fresh_tables()
        with self.server_time("theirs"):
            started_s = time.monotonic()
            self.connection.command(f"INSERT INTO events SELECT * FROM {self.source}", **ONE_THREAD)
            elapsed_s = time.monotonic() - started_s
        self.assert_rows("events")
        return self.rows / elapsed_s

    def assert_rows(self, table: str) -> None:
        """Every row is there once."""
        (answer,) = self.connection.select(f"SELECT count(), uniqExact(batch_id) FROM {table}")
        assert answer == (self.rows, SEGMENTS), answer

    def bytes_per_page_view(self) -> float:
        """On disk, with every file of the part, once batch_id has expired."""
        self.fresh_tables()
        self.connection.command(
            f"INSERT INTO events SELECT * REPLACE ('' AS batch_id) FROM {self.source} WHERE kind = 'pageview'"
        )
        self.connection.command("SYSTEM START MERGES")
        self.connection.command("OPTIMIZE TABLE events FINAL")
        ((size, rows),) = self.connection.select(
            "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts "
            "WHERE active AND database = currentDatabase() AND table = 'events'"
        )
        assert rows > self.rows // 3
        return float(size) / float(rows)


def measure(run: Run) -> Iterator[Result]:
    """Rows stored per second, then what a page view takes on disk."""
    segment_rows = QUICK_SEGMENT_ROWS if run.quick else SEGMENT_ROWS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-bench-")))
        with pinned(run.cpus.server):
            server = stack.enter_context(running_clickhouse(folder / "clickhouse"))
        stack.enter_context(pinned(run.cpus.client))
        migrate(server.address, FORM)
        store = Store(server, folder, segment_rows)
        stack.callback(lambda: store.connection.close())
        store.flush()
        store.keep_source()
        compared = run.compare(
            "store_vs_insert_select",
            store.flush,
            store.insert_select,
            unit="rows/s",
            at_least=0.8,
            notes={"rows": store.rows, "batch_rows": segment_rows},
        )
        spent = {side: round(statistics.median(values), 2) for side, values in store.server_us_per_row.items()}
        elsewhere = round(statistics.median(store.cpu_elsewhere), 2)
        yield dataclasses.replace(
            compared, notes={**compared.notes, "server_us_per_row": spent, "cpu_elsewhere": elsewhere}
        )
        yield run.figure("bytes_per_page_view", store.bytes_per_page_view, unit="B", at_most=25)
