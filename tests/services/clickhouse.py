"""A real ClickHouse on a free loopback port, that a test may stop, kill, freeze and start again.

CLICKHOUSE_URL names a running server to prefer where a test only needs one; otherwise, and always for tests that kill
it, the embedded engine runs as a child of the test, with its data in the test's temporary folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress, parse_clickhouse_url
from server.embedded import EmbeddedClickHouse, find_engine, wait_until_ready
from server.loopback_port import free_port

CHECKOUT = Path(__file__).resolve().parents[2]


class ClickHouseServer:
    """One unsupervised server. It keeps its port and its data over `kill` and `start`."""

    def __init__(self, home: Path, database: str = "footfall") -> None:
        self.home = home
        self.database = database
        self.port = free_port()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> ClickHouseAddress:
        """Where it serves, or will serve again."""
        return ClickHouseAddress(hosts=(("127.0.0.1", self.port),), database=self.database)

    @property
    def pid(self) -> int:
        """The process that serves."""
        assert self._child is not None, "not started"
        return self._child.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        engine = find_engine(os.environ.get("FOOTFALL_CHDB_LIBRARY", ""))
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "clickhouse.log").open("ab") as log:
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "server.embedded_child",
                    f"--home={self.home}",
                    f"--port={self.port}",
                    f"--{engine.kind}={engine.path}",
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=CHECKOUT,
            )
        wait_until_ready(self.home)

    def exit_status(self) -> int | None:
        """None while it runs or after `kill`."""
        return None if self._child is None else self._child.poll()

    def kill(self) -> None:
        """SIGKILL, as an OOM killer would."""
        self._signal(signal.SIGKILL)
        self._reap()

    def freeze(self) -> None:
        """SIGSTOP: the port still takes connections, nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it whatever its state."""
        if self._child is not None and self._child.poll() is None:
            self._signal(signal.SIGKILL)
        self._reap()

    def _signal(self, number: int) -> None:
        assert self._child is not None, "not started"
        self._child.send_signal(number)

    def _reap(self) -> None:
        if self._child is not None:
            self._child.wait(10)
            assert self._child.stdin is not None
            self._child.stdin.close()
            self._child = None


@contextlib.contextmanager
def running_clickhouse(home: Path) -> Iterator[ClickHouseServer]:
    """A server of the test's own."""
    server = ClickHouseServer(home)
    try:
        server.start()
        yield server
        status = server.exit_status()
        assert status is None, f"ClickHouse ended by itself with status {status}"
    finally:
        server.stop()


@contextlib.contextmanager
def shared_clickhouse(home: Path) -> Iterator[ClickHouseAddress]:
    """CLICKHOUSE_URL's server, else one for the whole test session."""
    url = os.environ.get("CLICKHOUSE_URL", "")
    if url:
        yield parse_clickhouse_url(url)[0]
        return
    # Supervised: libchdb 26.7 aborts when a connection is reset inside its hello, which is what some tests do.
    server = EmbeddedClickHouse(home, find_engine(os.environ.get("FOOTFALL_CHDB_LIBRARY", "")))
    try:
        yield server.start()
    finally:
        server.stop()


def _wait_for_port(address: ClickHouseAddress, timeout_s: float = 10.0) -> None:
    """A supervised server may be on its way back after the last test."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(address.hosts[0], timeout=1.0).close()
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on {address}"
            time.sleep(0.02)
        else:
            return


@contextlib.contextmanager
def fresh_database(address: ClickHouseAddress) -> Iterator[ClickHouseAddress]:
    """An empty database of its own name, dropped at the end."""
    _wait_for_port(address)
    admin = BlockConnection(dataclasses.replace(address, database="default"))
    name = f"footfall_test_{uuid.uuid4().hex[:12]}"
    try:
        admin.command(f"CREATE DATABASE {name}")
        yield dataclasses.replace(address, database=name)
        _wait_for_port(address)
        admin.command(f"DROP DATABASE {name} SYNC")
    finally:
        admin.close()
