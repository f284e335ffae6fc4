"""A Redis that a test kills and starts again on the same port; it keeps nothing."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.services import program
from tests.services.clickhouse import free_port
from tests.services.redis import wait_for_port


class MortalRedis:
    """One Redis after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens while it lives."""
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Begin with nothing."""
        command = [str(program("redis-server")), "--port", str(self._port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--save", "", "--appendonly", "no"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        self._child = subprocess.Popen(command, **quiet)  # type: ignore[call-overload]
        assert self._child is not None
        wait_for_port(self._port, self._child)

    def kill(self) -> None:
        """End it without a word."""
        if self._child is not None:
            self._child.kill()
            self._child.wait(10)
            self._child = None


@contextlib.contextmanager
def mortal_redis(folder: Path) -> Iterator[MortalRedis]:
    """A running one, killed at the end."""
    redis = MortalRedis(folder)
    redis.start()
    try:
        yield redis
    finally:
        redis.kill()
