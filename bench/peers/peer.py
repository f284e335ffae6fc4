"""What a peer is to the suite `peers`: a server that is sent hits in its own form, and its store that is asked back.

A peer is started, loaded, asked how many hits its store holds, killed in the middle of a load and started again on the
same data. Whatever it needs to run in the form that its documentation recommends for one core is said in its module.

Processes are told apart: `server_pids` take the hits, `store_pids` keep them. A store that takes the hits itself
(ClickHouse with async_insert) is a store without a server.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

from bench.procfs import process_tree
from bench.traffic import Hit, http_request
from server.loopback_port import free_port
from tests.services.redis import wait_for_port

# In every request of every peer; none looks at it for routing but those that tell sites apart by it.
HOST = "127.0.0.1:8000"

# Keep-alive connections of the load.
CONNECTIONS = 64

LOOK_EVERY_S = 0.1


class AbsentError(RuntimeError):
    """A peer cannot be had on this machine. The message is the reason, as the output shows it."""


class Peer(ABC):
    """One server under measurement. It keeps its port and its data over `kill` and `start`."""

    name: str
    """As in the names of results."""
    form: str
    """How it is configured, for people."""
    stores = True
    """Whether it keeps hits at all; what only answers stores none by design."""
    connections = CONNECTIONS
    """How many clients at once it is measured with."""
    patience_s = 5.0
    """A store whose count stands still for so long gets no more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it takes hits. Raises `AbsentError` when it cannot be had here."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL to its server, as an OOM killer would. Does nothing when it is not running."""

    @property
    @abstractmethod
    def server_pids(self) -> list[int]:
        """The processes that take hits and are no store."""

    @property
    def store_pids(self) -> list[int]:
        """The processes that keep hits and are none of the above."""
        return []

    def stop(self) -> None:
        """End it for good."""
        self.kill()

    def wake(self) -> None:  # noqa: B027 - most need nothing
        """Called before each round, outside of what is measured."""

    def rest(self) -> None:  # noqa: B027 - most need nothing
        """Called after each round, outside of what is measured: what it still has to do must not burden others."""

    def request(self, hit: Hit) -> bytes:
        """The hit in its own form. The default is our tracker's beacon, unchanged."""
        return http_request(hit, host=HOST)

    def stored(self) -> int:
        """How many hits its store holds now."""
        raise NotImplementedError(f"{self.name} stores nothing")

    def stored_paths(self) -> list[str]:
        """The path of every page in its store, as often as it is there."""
        raise NotImplementedError(f"{self.name} stores nothing")

    def is_quiet(self) -> bool:
        """Whether its store is done with what came of earlier hits, merges included."""
        return True

    def settle(self, expected: int) -> int:
        """Wait until the store holds `expected` hits, or its count stands still for `patience_s`, and until it is
        quiet; returns the count.
        """
        count = self.stored()
        changed_s = time.monotonic()
        while count < expected and time.monotonic() - changed_s < self.patience_s:
            time.sleep(LOOK_EVERY_S)
            now = self.stored()
            if now != count:
                count, changed_s = now, time.monotonic()
        quiet_by_s = time.monotonic() + self.patience_s
        while not self.is_quiet() and time.monotonic() < quiet_by_s:
            time.sleep(LOOK_EVERY_S)
        return self.stored()


class ProcessPeer(Peer):
    """A peer that is one command which listens on its port."""

    child: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What runs it."""

    @property
    def log_path(self) -> Path:
        """What it printed."""
        return self.folder / f"{self.name}.log"

    def environment(self) -> dict[str, str] | None:
        """Its environment; None: ours."""
        return None

    def start(self) -> None:
        """Run the command in its folder's name and wait for the port."""
        with self.log_path.open("ab") as log:
            self.child = subprocess.Popen(
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment()
            )
        try:
            wait_for_port(self.port, self.child)
        except AssertionError as error:
            self.kill()
            raise AbsentError(f"{error}: {self.log_path.read_text(errors='replace')[-500:]}") from None

    def kill(self) -> None:
        """The whole tree at once, the parent first, so that nobody starts a worker again."""
        if self.child is None:
            return
        family = process_tree(self.child.pid)[1:] if self.child.poll() is None else []
        self.child.kill()
        self.child.wait(10)
        for pid in family:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.child = None

    @property
    def server_pids(self) -> list[int]:
        """The command and its children."""
        assert self.child is not None, "not started"
        return process_tree(self.child.pid)
