"""A real Redis on a free loopback port that a test may kill, freeze and start again; nothing of it is on disk."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis

from server.loopback_port import free_port
from tests.services import program

START_TIMEOUT_S = 10.0


class RedisServer:
    """One server process at a time, always on the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._child: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        command = [str(program("redis-server")), "--port", str(self._port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--save", "", "--appendonly", "no"]
        with (self._folder / "redis.log").open("ab") as log:
            self._child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        wait_for_port(self._port, self._child)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._child is not None:
            self._child.kill()
            self._child.wait(10)
            self._child = None

    def freeze(self) -> None:
        """It takes connections, and never answers."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A running server that lives inside the `with` at most."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """The URL of a Redis that lives inside the `with`."""
    with redis_server(folder) as server:
        yield server.url


@contextlib.contextmanager
def raw_client(url: str) -> Iterator[redis.Redis]:
    """A plain client that reads text, to look at what is there and to put something there."""
    with redis.Redis.from_url(url, decode_responses=True) as client:
        yield client


def wait_for_port(port: int, child: subprocess.Popen[bytes]) -> None:
    """Until `child` listens on `port`; fails when it ended instead."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert child.poll() is None, f"{child.args!r} ended with status {child.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port} after {START_TIMEOUT_S:g} s")
