"""How fast a backlog is flushed, by the size of its segments and the number of flusher threads.

Segments are made by the ingest core from real hits, once for each size, and flushed into fresh tables each time. Client
and server have a CPU each, and merges run: small batches pay for theirs.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from bench.collector_process import SITE
from bench.in_process import in_process_collector
from bench.suites.scale import SharedFiles
from bench.suites.store import cpu_ticks
from bench.traffic import TrafficMix, generate_hits, http_request
from server.batch import targets
from server.clickhouse_tcp import BlockConnection
from server.flusher import Flusher
from server.migrate import SchemaForm, migrate
from server.quarantine import Quarantine
from server.sink import Sink
from tests.services.clickhouse import ClickHouseServer

FORM = SchemaForm()
STORED_WITHIN_S = 120.0

# Different hits; beyond them segments repeat. As many as the largest batch would make the generator the longest part.
HITS = 20_000

# Requests per feed, as in bench/suites/record.py.
PIPELINED = 64

# Larger than any segment here: rows alone decide.
NO_LIMIT = {"batch_max_bytes": 256 * 1024 * 1024, "batch_max_age_ms": 600_000, "spool_max_bytes": 32 * 1024**3}


@dataclass(frozen=True)
class BatchPoint:
    """One measurement. CPU in µs for a row, client and server apart."""

    rows: int
    parallelism: int
    rows_per_s: float
    client_us: float
    server_us: float
    record_bytes: float
    parts: int


class Backlog:
    """Segments by size, and a server that they are sent to."""

    def __init__(self, server: ClickHouseServer, folder: Path, total_records: int) -> None:
        self._server = server
        self._folder = folder
        self._total = total_records
        hits = generate_hits(min(HITS, total_records), seed=53, mix=TrafficMix(sites=(SITE,)))
        requests = [http_request(hit, host="127.0.0.1:8000") for hit in hits]
        self._groups = [b"".join(requests[at : at + PIPELINED]) for at in range(0, len(requests), PIPELINED)]
        self._made: dict[int, list[Path]] = {}
        self._rounds = 0

    def segments(self, rows: int) -> list[Path]:
        """About the same records in segments of so many."""
        if rows not in self._made:
            folder = self._folder / f"made-{rows}"
            folder.mkdir()
            with in_process_collector(folder, [SITE], batch_max_rows=rows, **NO_LIMIT) as core:
                fed = 0
                while fed < self._total:
                    group = self._groups[fed // PIPELINED % len(self._groups)]
                    core.feed(group)
                    core.settle()
                    fed += PIPELINED
                kept = folder / "kept"
                kept.mkdir()
                self._made[rows] = [Path(shutil.copy(path, kept)) for path in core.segments()]
        return self._made[rows]

    def flush(self, rows: int, parallelism: int) -> BatchPoint:
        """From the first sealed segment to the last discard. Asserts that every row is there once."""
        originals = self.segments(rows)
        self._rounds += 1
        address = dataclasses.replace(self._server.address, database=f"sweep_{self._rounds}")
        migrate(address, FORM)
        spool = self._folder / "spool"
        spool.mkdir()
        source = SharedFiles([Path(shutil.copy(path, spool)) for path in originals])
        flusher = Flusher(
            source,
            lambda shard: Sink(lambda: address, FORM, *targets(FORM)),
            Quarantine(self._folder / "quarantine"),
            parallelism=parallelism,
        )
        server_ticks, client_s, started_s = cpu_ticks(self._server.pid), time.process_time(), time.monotonic()
        flusher.start()
        while source.left:
            assert time.monotonic() - started_s < STORED_WITHIN_S, flusher.counters
            time.sleep(0.002)
        elapsed_s = time.monotonic() - started_s
        client_s = time.process_time() - client_s
        server_s = (cpu_ticks(self._server.pid) - server_ticks) / os.sysconf("SC_CLK_TCK")
        flusher.stop(10.0)
        spool.rmdir()
        stored = flusher.counters.rows
        connection = BlockConnection(address)
        try:
            ((there, batches),) = connection.select("SELECT count(), uniqExact(batch_id) FROM events")
            ((parts,),) = connection.select(
                "SELECT count() FROM system.parts WHERE active AND database = currentDatabase() AND table = 'events'"
            )
        finally:
            connection.close()
        # A segment of nothing but dropped hits has no row.
        assert there == stored, (there, stored)
        assert 0 < batches <= len(originals), (batches, len(originals))
        return BatchPoint(
            rows=rows,
            parallelism=parallelism,
            rows_per_s=stored / elapsed_s,
            client_us=client_s / stored * 1e6,
            server_us=server_s / stored * 1e6,
            record_bytes=flusher.counters.segment_bytes / flusher.counters.records,
            parts=int(parts),
        )
