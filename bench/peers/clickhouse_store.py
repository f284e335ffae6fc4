"""The one ClickHouse of a run: the store of ours and of every peer that stores in ClickHouse, each in its own database.

One process, so that all of them meet the same server in the same state. It may be killed and started again on its data.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.peers.peer import AbsentError
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.embedded import EmbeddedUnavailable, find_engine
from server.loopback_port import free_port
from tests.services.redis import wait_for_port


class ClickHouseStore:
    """The server, and questions to it over the native protocol."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.http_port = free_port()
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: BlockConnection | None = None

    @property
    def pid(self) -> int:
        """Its only process."""
        assert self._child is not None, "not started"
        return self._child.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and not killed since."""
        return self._child is not None

    def start(self) -> None:
        """Start it and wait until it answers on both ports. Raises `AbsentError` when there is no engine."""
        try:
            engine = find_engine(os.environ.get("FOOTFALL_CHDB_LIBRARY", ""))
        except EmbeddedUnavailable as error:
            raise AbsentError(str(error)) from None
        self.home.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "bench.peers.clickhouse_child", f"--home={self.home}"]
        command += [f"--port={self.port}", f"--http-port={self.http_port}", f"--{engine.kind}={engine.path}"]
        with (self.home / "clickhouse.log").open("ab") as log:
            self._child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for port in (self.http_port, self.port):
            wait_for_port(port, self._child)
        self._connection = BlockConnection(ClickHouseAddress(hosts=(("127.0.0.1", self.port),), database="default"))

    def address(self, database: str) -> ClickHouseAddress:
        """Where that database is served."""
        return ClickHouseAddress(hosts=(("127.0.0.1", self.port),), database=database)

    def select(self, question: str) -> list[tuple[Any, ...]]:
        """Its rows."""
        assert self._connection is not None, "not started"
        return self._connection.select(question)

    def number(self, question: str) -> int:
        """The answer to a question for one number."""
        ((value,),) = self.select(question)
        return int(value)

    def command(self, statement: str) -> None:
        """Run a statement without an answer."""
        assert self._connection is not None, "not started"
        self._connection.command(statement)

    def start_merges(self, *tables: str) -> None:
        """Merge these from now on."""
        for table in tables:
            self.command(f"SYSTEM START MERGES {table}")

    def stop_merges(self, *tables: str) -> None:
        """Leave these as they are, until told otherwise or started again."""
        for table in tables:
            self.command(f"SYSTEM STOP MERGES {table}")

    def is_quiet(self) -> bool:
        """Whether nothing is merged and no asynchronous insert waits."""
        return not self.number(
            "SELECT (SELECT count() FROM system.merges) + (SELECT count() FROM system.asynchronous_inserts)"
        )

    def kill(self) -> None:
        """SIGKILL. Does nothing when it is not running."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._child is not None:
            self._child.kill()
            self._child.wait(10)
            self._child = None
