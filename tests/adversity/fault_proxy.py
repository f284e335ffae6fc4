"""A TCP proxy that breaks connections on purpose, between a client of ours and a real server.

`FaultProxy(target).plan(Fault(...))` sets what happens to the next connections. A fault counts bytes that flow from
the client to the server (`after_bytes`), so a test can cut inside the hello, inside a block, or after the last byte.
Without a fault the proxy is a plain pipe. It speaks no ClickHouse: the same proxy cuts HTTP, Redis or PostgreSQL.

Threads: one accepts, two per connection copy. `close` ends them all.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

COPY_BYTES = 64 * 1024
LINGER_RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # struct linger {1, 0}: close sends RST

Action = Literal["cut", "reset", "stall", "swallow_answer"]


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens once a connection has carried `after_bytes` from the client.

    cut: both sides are closed, what was sent before arrives. reset: both get RST. stall: nothing more is carried either
    way and nothing closed. swallow_answer: everything reaches the server, nothing of its answer the client, then a cut.
    """

    action: Action
    after_bytes: int


class FaultProxy:
    """Listens on `port` (loopback) and carries connections to `target`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.connections = 0
        self.faults_hit = 0
        self._faults: list[Fault] = []
        self._every: Fault | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._closing = threading.Event()
        self._refusing = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="fault-proxy", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def plan(self, *faults: Fault) -> None:
        """One fault for each of the next connections; those after them are carried whole."""
        with self._lock:
            self._faults = list(faults)
            self._every = None

    def plan_every(self, fault: Fault | None) -> None:
        """The same fault for every connection from now on; None: carried whole."""
        with self._lock:
            self._faults = []
            self._every = fault

    def refuse(self, refusing: bool) -> None:
        """While true, connections are accepted and closed at once, and open ones are cut."""
        with self._lock:
            self._refusing = refusing
            doomed = list(self._open) if refusing else []
        for side in doomed:
            _close(side)

    def close(self) -> None:
        """Cut everything and stop."""
        self._closing.set()
        # A listener that is only closed would keep the accepting thread inside accept(2).
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            doomed = list(self._open)
        for side in doomed:
            _close(side)
        self._acceptor.join(5)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                refusing = self._refusing
                fault = self._faults.pop(0) if self._faults else self._every
            if refusing:
                client.close()
                continue
            try:
                server = socket.create_connection(self.target, timeout=5.0)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            pipe = _Pipe(self, client, server, fault)
            threading.Thread(target=pipe.forward, name="fault-proxy-forward", daemon=True).start()
            threading.Thread(target=pipe.backward, name="fault-proxy-backward", daemon=True).start()

    def _struck(self) -> None:
        with self._lock:
            self.faults_hit += 1

    def _forget(self, *sides: socket.socket) -> None:
        with self._lock:
            self._open -= set(sides)


class _Pipe:
    """One carried connection."""

    def __init__(self, proxy: FaultProxy, client: socket.socket, server: socket.socket, fault: Fault | None) -> None:
        self.proxy = proxy
        self.client = client
        self.server = server
        self.fault = fault
        self.mute = fault is not None and fault.action == "swallow_answer" and fault.after_bytes == 0
        self.stalled = threading.Event()

    def forward(self) -> None:
        """Client to server, counting."""
        carried = 0
        with contextlib.suppress(OSError):
            while data := self.client.recv(COPY_BYTES):
                if self.fault is not None and carried + len(data) >= self.fault.after_bytes:
                    keep = max(self.fault.after_bytes - carried, 0)
                    if self.fault.action == "swallow_answer":
                        self.mute = True
                        self.proxy._struck()
                        self.server.sendall(data)
                        self._drain()
                        break
                    self.server.sendall(data[:keep])
                    self.proxy._struck()
                    if self.fault.action == "stall":
                        self.stalled.set()
                        return
                    if self.fault.action == "reset":
                        for side in (self.client, self.server):
                            side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
                    break
                self.server.sendall(data)
                carried += len(data)
        self._end()

    def _drain(self) -> None:
        """Carry on to the server until the client or the server has finished."""
        self.client.settimeout(0.5)
        with contextlib.suppress(OSError):
            while data := self.client.recv(COPY_BYTES):
                self.server.sendall(data)

    def backward(self) -> None:
        """Server to client."""
        with contextlib.suppress(OSError):
            while data := self.server.recv(COPY_BYTES):
                if self.stalled.is_set():
                    return
                if not self.mute:
                    self.client.sendall(data)
        if not self.mute and not self.stalled.is_set():
            self._end()

    def _end(self) -> None:
        for side in (self.client, self.server):
            _close(side)
        self.proxy._forget(self.client, self.server)


def _close(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
    side.close()
