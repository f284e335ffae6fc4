"""Segments → stored rows, by one flusher, against the same server copying the same rows inside itself.

The server has one CPU, the flusher another. Ours is everything between a sealed segment and its acknowledgement: scan,
encode, INSERT into `events` and `ledger`, discard; theirs is `INSERT INTO copy SELECT * FROM events` with one thread,
which reads, sorts and writes the same columns and crosses no socket. Merges are stopped on both sides, so that neither
pays for the other's. After each round the rows are counted.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
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

    def _make_segment(self, rows: int, seed: int) -> Path:
        made, _ = traffic_segment(rows, seed=seed)
        data = bytearray(made.data)
        data[16:32] = os.urandom(16)
        path = self.folder / f"{bytes(data[16:32]).hex()}.seg"
        path.write_bytes(with_checksums(bytes(data), made.offsets, made.lengths))
        return path

    def fresh_tables(self) -> None:
        """Empty tables that remember no token."""
        for table in ("events", "ledger", "schema_migrations"):
            self.connection.command(f"DROP TABLE IF EXISTS {table} SYNC")
        migrate(self.server.address, FORM)
        self.connection.command("SYSTEM STOP MERGES")

    def flush(self) -> float:
        """Rows per second of wall time from the first sealed segment to the last discard."""
        self.fresh_tables()
        spool = self.folder / "spool"
        spool.mkdir()
        source = SealedFiles([Path(shutil.copy(path, spool)) for path in self.originals])
        flusher = Flusher(
            source, lambda shard: Sink(lambda: self.server.address, FORM, *targets(FORM)), Quarantine(self.folder / "q")
        )
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
        self.connection.command("DROP TABLE IF EXISTS source SYNC")
        self.connection.command("RENAME TABLE events TO source")

    def insert_select(self) -> float:
        """Rows per second of wall time of the server's own copy."""
        self.connection.command("DROP TABLE IF EXISTS copy SYNC")
        self.connection.command("CREATE TABLE copy AS source")
        self.connection.command("SYSTEM STOP MERGES")
        started_s = time.monotonic()
        self.connection.command("INSERT INTO copy SELECT * FROM source", **ONE_THREAD)
        elapsed_s = time.monotonic() - started_s
        self.assert_rows("copy")
        return self.rows / elapsed_s

    def assert_rows(self, table: str) -> None:
        """Every row is there once."""
        (answer,) = self.connection.select(f"SELECT count(), uniqExact(batch_id) FROM {table}")
        assert answer == (self.rows, SEGMENTS), answer

    def bytes_per_page_view(self) -> float:
        """On disk, with every file of the part, once batch_id has expired."""
        self.connection.command("DROP TABLE IF EXISTS page_views SYNC")
        self.connection.command("CREATE TABLE page_views AS source")
        self.connection.command(
            "INSERT INTO page_views SELECT * REPLACE ('' AS batch_id) FROM source WHERE kind = 'pageview'"
        )
        self.connection.command("SYSTEM START MERGES")
        self.connection.command("OPTIMIZE TABLE page_views FINAL")
        ((size, rows),) = self.connection.select(
            "SELECT sum(bytes_on_disk), sum(rows) FROM system.parts "
            "WHERE active AND database = currentDatabase() AND table = 'page_views'"
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
        stack.callback(store.connection.close)
        store.flush()
        store.keep_source()
        yield run.compare(
            "store_vs_insert_select",
            store.flush,
            store.insert_select,
            unit="rows/s",
            at_least=0.8,
            notes={"rows": store.rows, "batch_rows": segment_rows},
        )
        yield run.figure("bytes_per_page_view", store.bytes_per_page_view, unit="B", at_most=25)
