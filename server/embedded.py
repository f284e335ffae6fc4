"""The embedded ClickHouse: a private server process on a free loopback port, kept alive beside `serve`.

`EmbeddedClickHouse` starts `server.embedded_child` and starts it again with backoff when it ends; hits wait in the
spool meanwhile. `embedded_session` is what CLI commands use: the server beside `serve` when there is one, else one of
their own for as long as they need it. Whoever holds `lock` in the home folder serves; `serve` takes over within
`TAKEOVER_POLL_S` when a command that started first is done.

libchdb 26.7 aborts on a wrong password and on a connection that is reset inside its hello. Both end in a restart, which
takes 0.3 s and loses nothing; nobody sends it a password.

Ownership: the child belongs to the object that started it and ends with it (a pipe, see `server.embedded_child`).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from server.clickhouse_url import ClickHouseAddress
from server.embedded_child import EXIT_IN_USE
from server.loopback_port import free_port
from server.retry import Backoff

logger = logging.getLogger(__name__)

OLDEST_BINARY = (25, 3)
"""Oldest `clickhouse` on PATH that is used: the oldest long-term release whose types and settings we rely on."""
START_TIMEOUT_S = 30.0
"""Until the port answers. 0.2 s is usual; a large data folder on a cold disk takes seconds."""
READY_POLL_S = 0.02
"""Between two looks at the port while it starts."""
TAKEOVER_POLL_S = 0.2
"""Between two looks at a lock that another process holds."""
STEADY_AFTER_S = 30.0
"""A server that lived this long had started well: the next restart is at once again."""
STOP_TIMEOUT_S = 15.0
"""Longer than the child gives a `clickhouse` binary to finish."""
LIBRARY_IN_CHECKOUT = Path("node_modules/@chdb/lib-linux-x64-gnu/libchdb.so")
"""Where npm puts the library."""
LOG_LIMIT_BYTES = 4 * 1024 * 1024
"""The server's log is emptied at a start that finds it longer."""


class EmbeddedUnavailable(RuntimeError):
    """There is no ClickHouse to run, or it does not start. Nothing was consumed; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What the child runs."""

    kind: Literal["binary", "library"]
    path: Path


def find_engine(library: str = "") -> Engine:
    """The library that the operator named, else `clickhouse` on PATH if recent enough, else libchdb from npm."""
    if library:
        if not Path(library).is_file():
            raise EmbeddedUnavailable(f"chdb_library is {library!r}, allowed: the path of an existing libchdb.so")
        return Engine("library", Path(library).resolve())
    binary = shutil.which("clickhouse")
    if binary is not None and _binary_version(binary) >= OLDEST_BINARY:
        return Engine("binary", Path(binary))
    for checkout in (Path(__file__).resolve().parent.parent, Path.cwd()):
        candidate = checkout / LIBRARY_IN_CHECKOUT
        if candidate.is_file():
            return Engine("library", candidate)
    raise EmbeddedUnavailable(
        f"no embedded ClickHouse: install `clickhouse` {OLDEST_BINARY[0]}.{OLDEST_BINARY[1]} or later on PATH, run "
        "`npm ci` in the checkout, or set clickhouse_url"
    )


def _binary_version(binary: str) -> tuple[int, int]:
    """(major, minor) of a `clickhouse` program; (0, 0) when it does not say."""
    try:
        answer = subprocess.run([binary, "local", "--version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    found = re.search(r"version (\d+)\.(\d+)", answer.stdout)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def home_folder(data_dir: Path) -> Path:
    """The embedded server's folder inside a data folder."""
    return data_dir / "clickhouse"


def published_address(home: Path) -> ClickHouseAddress:
    """Where the present holder of the lock serves. Raises `EmbeddedUnavailable` when nobody ever did."""
    try:
        port = json.loads((home / "address.json").read_bytes())["port"]
    except FileNotFoundError:
        raise EmbeddedUnavailable(f"no embedded ClickHouse has been started in {home}") from None
    return ClickHouseAddress(hosts=(("127.0.0.1", int(port)),))


def is_served(home: Path) -> bool:
    """Whether some process holds the home folder's lock."""
    try:
        lock = os.open(home / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def wait_until_ready(home: Path, timeout_s: float = START_TIMEOUT_S) -> ClickHouseAddress:
    """Wait for the port to take connections. Raises `EmbeddedUnavailable` after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if is_served(home):
            try:
                address = published_address(home)
                with socket.create_connection(address.hosts[0], timeout=1.0):
                    return address
            except (OSError, EmbeddedUnavailable):
                pass  # still starting: the loop's deadline decides
        time.sleep(READY_POLL_S)
    raise EmbeddedUnavailable(f"embedded ClickHouse did not start within {timeout_s:g} s, see {home}/clickhouse.log")


class EmbeddedClickHouse:
    """One supervised server. `start` returns when it answers; `stop` ends it."""

    def __init__(self, home: Path, engine: Engine) -> None:
        self.home = home
        self.engine = engine
        self.restarts = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._supervisor: threading.Thread | None = None
        self._port = 0

    def start(self, timeout_s: float = START_TIMEOUT_S) -> ClickHouseAddress:
        """Start the server and its supervision, and wait until it answers."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._supervisor = threading.Thread(target=self._supervise, name="embedded-clickhouse", daemon=True)
        self._supervisor.start()
        try:
            return wait_until_ready(self.home, timeout_s)
        except EmbeddedUnavailable:
            self.stop()
            raise

    def address(self) -> ClickHouseAddress:
        """Where it serves now; another port after a restart that found the old one taken."""
        return published_address(self.home)

    @property
    def child_pid(self) -> int | None:
        """The process that serves, if it is ours and runs."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def stop(self) -> None:
        """End the server and wait for it."""
        self._stopping.set()
        child = self._child
        if child is not None:
            self._end(child)
        if self._supervisor is not None:
            self._supervisor.join(STOP_TIMEOUT_S)

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        _close_pipe(child)
        try:
            child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()

    def _supervise(self) -> None:
        backoff = Backoff(first_s=0.05, longest_s=10.0)
        while not self._stopping.is_set():
            started_at = time.monotonic()
            child = self._child = self._spawn()
            if self._stopping.is_set():
                self._end(child)
            status = child.wait()
            _close_pipe(child)
            if self._stopping.is_set():
                return
            if status == EXIT_IN_USE:
                while is_served(self.home) and not self._stopping.wait(TAKEOVER_POLL_S):
                    pass
                continue
            if time.monotonic() - started_at > STEADY_AFTER_S:
                backoff.reset()
            self.restarts += 1
            delay_s = backoff.next_s()
            logger.warning("embedded ClickHouse ended with status %s, starting again in %.2f s", status, delay_s)
            self._stopping.wait(delay_s)

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._port = free_port(self._port)
        log_path = self.home / "clickhouse.log"
        too_long = log_path.exists() and log_path.stat().st_size > LOG_LIMIT_BYTES
        with log_path.open("wb" if too_long else "ab") as log:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "server.embedded_child",
                    f"--home={self.home}",
                    f"--port={self._port}",
                    f"--{self.engine.kind}={self.engine.path}",
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).resolve().parent.parent,
                start_new_session=True,  # a terminal's Ctrl-C is for `serve`, which flushes before it stops the store
            )


def _close_pipe(child: subprocess.Popen[bytes]) -> None:
    if child.stdin is not None:
        child.stdin.close()


@contextmanager
def embedded_session(home: Path, library: str = "") -> Iterator[ClickHouseAddress]:
    """An address to work with: of the server that already runs on `home`, else of one that lives inside the `with`."""
    if is_served(home):
        yield wait_until_ready(home)
        return
    server = EmbeddedClickHouse(home, find_engine(library))
    try:
        yield server.start()
    finally:
        server.stop()
