"""clickhouse-bulk: a collector in Go that joins the single INSERTs it is sent and passes them on to ClickHouse.

Its defaults are what its documentation recommends: 10,000 rows or a second, whichever comes first, kept in memory
meanwhile; a batch that ClickHouse refuses goes to a file. GOMAXPROCS is 1, since it has one core. It is sent the same
INSERTs as ClickHouse itself (`bench.peers.clickhouse_inserts`).

It was not run where this was written, since the Go module proxy there does not serve it: what is configured follows its
documentation.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from bench.peers.clickhouse_inserts import ONE_CORE, RowsInClickHouse, insert_request
from bench.peers.clickhouse_store import ClickHouseStore
from bench.peers.go_programs import GoProgram
from bench.peers.peer import ProcessPeer
from bench.traffic import Hit

PROGRAM = GoProgram("clickhouse-bulk", "github.com/nikepan/clickhouse-bulk", "v1.3.9")


class ClickHouseBulk(RowsInClickHouse, ProcessPeer):
    """Answers from memory."""

    name = "clickhouse_bulk"
    form = "clickhouse-bulk, 10,000 rows or 1 s, JSONEachRow over HTTP, GOMAXPROCS=1"

    def __init__(self, folder: Path, store: ClickHouseStore, program: GoProgram = PROGRAM) -> None:
        super().__init__(folder, store)
        self.program = program

    def configuration(self) -> dict[str, object]:
        """Its documented defaults, our ports and folders."""
        return {
            "listen": f"127.0.0.1:{self.port}",
            "flush_count": 10_000,
            "flush_interval": 1_000,
            "dump_dir": str(self.folder / "clickhouse-bulk-dumps"),
            "clickhouse": {
                "down_timeout": 60,
                "connect_timeout": 10,
                "servers": [f"http://127.0.0.1:{self.store.http_port}"],
            },
        }

    def start(self) -> None:
        """Its table and its configuration, then the program."""
        self.program.path()
        self.create_table()
        (self.folder / "clickhouse-bulk.json").write_text(json.dumps(self.configuration()))
        super().start()

    def command(self) -> list[str]:
        """Its command line."""
        return [str(self.program.path()), f"-config={self.folder / 'clickhouse-bulk.json'}"]

    def environment(self) -> dict[str, str]:
        """Go on one core."""
        return {**os.environ, "GOMAXPROCS": "1"}

    def request(self, hit: Hit) -> bytes:
        """One INSERT."""
        return insert_request(hit, self.name, ONE_CORE)
