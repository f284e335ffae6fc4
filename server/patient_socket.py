"""Waiting for ClickHouse in short steps, so that whoever waits can show that it moves.

A flusher thread that waits for an answer is not wedged, however long the answer takes; one that hangs in code of ours
is. From outside both look the same unless the wait itself gives signs of life. So the driver's connection gets a socket
whose every wait is cut into steps of `STEP_S`, with a call between two of them; its timeout holds as before. Resolving
a name and connecting cannot be cut: they run in a thread of their own, and the wait for that is.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

STEP_S = 1.0
"""Between two signs of life."""
CONNECT_LIMIT_S = 60.0
"""A resolver that is away may take 5 s for each attempt, server and search domain; a connect has its timeout."""

OnWait = Callable[[], None]


class PatientSocket:
    """A connected socket, as far as clickhouse-driver uses one; `on_wait` is called whenever a step has passed."""

    def __init__(self, connected: socket.socket, on_wait: OnWait) -> None:
        self._socket = connected
        self._on_wait = on_wait
        self._timeout_s = connected.gettimeout()

    def settimeout(self, timeout_s: float | None) -> None:
        """The longest silence within one call."""
        self._timeout_s = timeout_s

    def gettimeout(self) -> float | None:
        """See `settimeout`."""
        return self._timeout_s

    def recv_into(self, buffer: Any) -> int:
        """Raises TimeoutError when nothing comes."""
        return self._stepwise(self._socket.recv_into, buffer)

    def sendall(self, data: Any) -> None:
        """Raises TimeoutError when nothing is taken for that long; how much was sent before is unknown."""
        rest = memoryview(data).cast("B")
        while rest:
            rest = rest[self._stepwise(self._socket.send, rest) :]

    def setsockopt(self, *option: Any) -> None:
        """As the socket's."""
        self._socket.setsockopt(*option)

    def shutdown(self, how: int) -> None:
        """As the socket's."""
        self._socket.shutdown(how)

    def close(self) -> None:
        """As the socket's."""
        self._socket.close()

    def _stepwise(self, move: Callable[[Any], int], data: Any) -> int:
        deadline_s = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while True:
            left_s = STEP_S if deadline_s is None else max(0.001, min(STEP_S, deadline_s - time.monotonic()))
            self._socket.settimeout(left_s)
            try:
                return move(data)
            except TimeoutError:
                if deadline_s is not None and time.monotonic() >= deadline_s:
                    raise
                self._on_wait()


def connect_patiently(connect: Callable[[], socket.socket], on_wait: OnWait) -> PatientSocket:
    """What `connect` makes, waited for in steps. Raises what it raises, and TimeoutError after `CONNECT_LIMIT_S`."""
    attempt = _Attempt(connect)
    give_up_s = time.monotonic() + CONNECT_LIMIT_S
    while not attempt.ended.wait(STEP_S):
        on_wait()
        if time.monotonic() > give_up_s:
            attempt.abandon()
            raise TimeoutError(f"no connection within {CONNECT_LIMIT_S:g} s")
    return PatientSocket(attempt.result(), on_wait)


class _Attempt:
    """One connect in a thread of its own. What comes after it was abandoned is closed."""

    def __init__(self, connect: Callable[[], socket.socket]) -> None:
        self.ended = threading.Event()
        self._connect = connect
        self._turn = threading.Lock()
        self._abandoned = False
        self._made: socket.socket | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, name="clickhouse-connect", daemon=True).start()

    def result(self) -> socket.socket:
        if self._error is not None:
            raise self._error
        assert self._made is not None, "an attempt ends with a socket or an error"
        return self._made

    def abandon(self) -> None:
        with self._turn:
            self._abandoned = True
            if self._made is not None:
                self._made.close()

    def _run(self) -> None:
        try:
            made = self._connect()
        except Exception as error:  # raised again where it is waited for
            self._error = error
        else:
            with self._turn:
                self._made = made
                if self._abandoned:
                    made.close()
        self.ended.set()
