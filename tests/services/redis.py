"""A real Redis on a free loopback port, nothing written to disk."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.services import program
from tests.services.clickhouse import free_port

START_TIMEOUT_S = 10.0


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[str]:
    """The URL of a Redis that lives inside the `with`."""
    port = free_port()
    command = [str(program("redis-server")), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    command += ["--save", "", "--appendonly", "no"]
    with (folder / "redis.log").open("ab") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        wait_for_port(port, child)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        child.terminate()
        child.wait(10)


def wait_for_port(port: int, child: subprocess.Popen[bytes]) -> None:
    """Until `child` listens on `port`; fails when it ended instead."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        assert child.poll() is None, f"{child.args!r} ended with status {child.returncode}"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on port {port} after {START_TIMEOUT_S:g} s")
