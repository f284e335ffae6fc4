"""A client that remembers: sends numbered hits and keeps what was acknowledged, for comparison with what is stored.

Each hit's path is its own, `/<worker>/<number>`. A hit whose answer never came may or may not be stored; one that was
answered 202 must be stored exactly once; one that was answered 503 must not be stored at all.

By default a worker keeps its connection and sends several hits in one write, so that kills land inside groups; with
`at_once=1` it waits for each answer and goes elsewhere when that says `Connection: close`, as a browser does, so none
needs to fail. With `connect_each` each hit has a connection of its own, as behind a proxy without keep-alive: what is
accepted by a process that is about to stop, or waits in the queue of its socket, then shows. With several `visitors`
hits come, as a proxy says, from several addresses. `name` tells the paths of several loads apart.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36"
SOCKET_TIMEOUT_S = 10.0
PIPELINED = 8
"""Hits in one write."""
PAUSE_S = 0.02
"""Between two writes of a worker: the load is there to be remembered, not to slow the restarts down."""


class RememberingLoad:
    """Worker threads that send until `stop`."""

    def __init__(
        self,
        port: int,
        domain: str,
        workers: int = 4,
        *,
        at_once: int = PIPELINED,
        connect_each: bool = False,
        visitors: int = 0,
        name: str = "",
    ) -> None:
        self.acknowledged: set[str] = set()
        self.unanswered: set[str] = set()
        self.refused = 0
        self.unexpected: list[bytes] = []
        self._port = port
        self._domain = domain
        self._connect_each = connect_each
        self._visitors = visitors
        self._at_once = 1 if connect_each else at_once
        self._name = name
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"load-{number}", daemon=True)
            for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the workers."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _work(self, worker: int) -> None:
        number = 0
        while not self._stopping.is_set():
            waiting: list[str] = []
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=SOCKET_TIMEOUT_S) as connection:
                    while not self._stopping.is_set():
                        paths = [f"/{self._name}{worker}/{number + step}" for step in range(self._at_once)]
                        number += self._at_once
                        waiting = list(paths)
                        connection.sendall(b"".join(self._request(path) for path in paths))
                        is_last = self._read_answers(connection, waiting)
                        time.sleep(PAUSE_S)
                        if is_last:
                            break
            except OSError:
                time.sleep(0.01)
            with self._lock:
                self.unanswered.update(waiting)

    def _read_answers(self, connection: socket.socket, waiting: list[str]) -> bool:
        """Take the answers of all waiting hits, in order. Raises OSError when the connection ends before.

        Returns whether the connection takes no more.
        """
        received = b""
        is_last = False
        while waiting:
            data = connection.recv(65_536)
            if not data:
                raise ConnectionResetError
            received += data
            while waiting and (end := received.find(b"\r\n\r\n")) >= 0:
                head = received[:end]
                length = 0
                for line in head.split(b"\r\n"):
                    name, _, value = line.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                    is_last = is_last or (name.lower() == b"connection" and value.strip().lower() == b"close")
                if len(received) < end + 4 + length:
                    break
                received = received[end + 4 + length :]
                self._note(waiting.pop(0), head)
        return is_last

    def _note(self, path: str, head: bytes) -> None:
        with self._lock:
            if head.startswith(b"HTTP/1.1 202") and b"Footfall-Dropped:" not in head:
                self.acknowledged.add(path)
            elif head.startswith(b"HTTP/1.1 503"):
                self.refused += 1
            else:
                self.unexpected.append(head)

    def _request(self, path: str) -> bytes:
        number = int(path.rpartition("/")[2])
        visitor = f"X-Forwarded-For: 198.51.100.{number % self._visitors}\r\n" if self._visitors else ""
        body = f'{{"n":"pageview","u":"http://{self._domain}{path}","d":"{self._domain}"}}'.encode()
        head = (
            f"POST /api/event HTTP/1.1\r\nHost: {self._domain}\r\nUser-Agent: {USER_AGENT}\r\n"
            f"{visitor}Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
            f"{'Connection: close' if self._connect_each else 'Connection: keep-alive'}\r\n\r\n"
        )
        return head.encode() + body


def wait_for_acknowledged(load: RememberingLoad, more: int, timeout_s: float = 60.0) -> None:
    """Wait until so many further hits were acknowledged."""
    wanted = len(load.acknowledged) + more
    deadline_s = time.monotonic() + timeout_s
    while len(load.acknowledged) < wanted:
        assert time.monotonic() < deadline_s, "no hits are acknowledged any more"
        with contextlib.suppress(InterruptedError):
            time.sleep(0.01)
