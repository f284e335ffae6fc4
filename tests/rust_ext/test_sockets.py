"""The public port's sockets without a loop: what is answered, what fails, and that reads change nothing."""

from __future__ import annotations

import itertools
import re
import resource
import select
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rust_ext import CLOSE, DRAINED, END, FULL, OVER, Collector, Connection
from tests.rust_ext.hits import PACK, connect, hit, snapshot_json

PATIENCE_S = 10.0

STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")

HITS = (
    hit("/a")
    + hit("/b", headers="X-Debug-Request: true\r\n")
    + hit("/c")
    + b"POST /api/event HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"
)
"""Two that wait for their records, between them one that is answered at once; then one that is refused and closes."""


class Port:
    """A listening port, its collector, and every connection it took."""

    def __init__(self, folder: Path, family: socket.AddressFamily = socket.AF_INET) -> None:
        batch = orjson.dumps({"batch": {"batch_max_age_ms": 600_000}})
        self.collector = Collector(rules_path=str(PACK), spool_folder=str(folder / ("0" * 32)), settings=batch)
        self.collector.apply_snapshot(snapshot_json())
        self.accept: Callable[[Connection], Callable[[int], object] | None] = self.attend
        self.sockets = self.collector.sockets(lambda connection: self.accept(connection))
        self.address: Any = str(folder / "port") if family is socket.AF_UNIX else ("127.0.0.1", 0)
        self.listener = socket.socket(family)
        self.listener.bind(self.address)
        self.address = self.listener.getsockname()
        self.listener.listen(64)
        self.listener.setblocking(False)
        self.sockets.listen(self.listener.fileno())
        self.connections: list[Connection] = []
        self.masks: list[int] = []
        self.has_shortage = False
        self._poll = select.poll()
        self._poll.register(self.sockets.fd, select.POLLIN)

    def attend(self, connection: Connection) -> Callable[[int], object]:
        """Notes what a wake says, and does what must be done of it."""
        self.connections.append(connection)

        def wake(mask: int) -> None:
            self.masks.append(mask)
            if mask & END:
                mask |= connection.end_of_input()
            if mask & OVER or (mask & CLOSE and connection.end() & OVER):
                connection.close()

        return wake

    def connect(self) -> socket.socket:
        """A client."""
        client = socket.socket(self.listener.family)
        client.settimeout(PATIENCE_S)
        client.connect(self.address)
        return client

    def turn_until(self, is_done: Callable[[], bool]) -> None:
        """Turns as a loop does."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_done():
            assert time.monotonic() < deadline_s
            if self._poll.poll(10):
                self.has_shortage |= self.sockets.turn()

    def read(self, client: socket.socket, count: int) -> bytes:
        """So many bytes, with turns meanwhile."""
        return self._read_until(client, lambda found: len(found) >= count)

    def statuses(self, client: socket.socket, count: int) -> list[int]:
        """So many answers' statuses."""
        found = self._read_until(client, lambda found: len(STATUS.findall(found)) >= count)
        return [int(status) for status in STATUS.findall(found)]

    def _read_until(self, client: socket.socket, is_enough: Callable[[bytearray], bool]) -> bytes:
        client.setblocking(False)
        found = bytearray()

        def is_done() -> bool:
            with suppress(BlockingIOError):
                found.extend(client.recv(1 << 20))
            return is_enough(found)

        self.turn_until(is_done)
        client.settimeout(PATIENCE_S)
        return bytes(found)

    def close(self) -> None:
        """Everything."""
        for connection in self.connections:
            connection.close()
        self.listener.close()
        self.collector.close()


@pytest.fixture
def port(tmp_path: Path) -> Iterator[Port]:
    made = Port(tmp_path)
    yield made
    made.close()


@pytest.fixture
def unraisable(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What went to `sys.unraisablehook`."""
    seen: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: seen.append(args.exc_value))
    return seen


def close_all(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def test_a_turn_answers_hits_and_wakes_nobody(port: Port) -> None:
    with port.connect() as client:
        for _ in range(3):
            client.sendall(hit())
            assert port.read(client, 12).startswith(b"HTTP/1.1 202")
    assert port.masks == []
    assert port.collector.stats()["outcomes"]["accepted"] == 3


def test_turns_that_wait_a_moment_answer_everybody(port: Port) -> None:
    clients = [port.connect() for _ in range(6)]
    port.turn_until(lambda: len(port.connections) == len(clients))
    # Long enough that some turn tries whether waiting pays, and those after it wait (`sockets/pace.rs`).
    rounds = 300
    for _ in range(rounds):
        for client in clients:
            client.sendall(hit())
        assert [port.statuses(client, 1) for client in clients] == [[202]] * len(clients)
    assert port.collector.stats()["outcomes"]["accepted"] == rounds * len(clients)
    close_all(clients)


def test_a_connection_of_this_machine_is_taken(tmp_path: Path) -> None:
    port = Port(tmp_path, socket.AF_UNIX)
    try:
        with port.connect() as client:
            client.sendall(hit())
            assert port.read(client, 12).startswith(b"HTTP/1.1 202")
    finally:
        port.close()


def test_the_end_and_a_reset_are_told_once(port: Port) -> None:
    with port.connect() as client:
        client.sendall(hit())
        client.shutdown(socket.SHUT_WR)
        assert port.read(client, 12).startswith(b"HTTP/1.1 202")
        port.turn_until(lambda: client.recv(1) == b"")
    assert port.masks[0] & END
    port.masks.clear()
    with port.connect() as client:
        port.turn_until(lambda: len(port.connections) == 2)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    port.turn_until(lambda: bool(port.masks))
    assert port.masks == [OVER]


def test_who_reads_nothing_is_full_and_drained_when_he_does(port: Port) -> None:
    with port.connect() as client:
        port.turn_until(lambda: bool(port.connections))
        (connection,) = port.connections
        written, said = 0, 0
        while not said & FULL:
            said = connection.write(b"x" * 65_536)
            written += 65_536
        assert len(port.read(client, written)) == written
    assert port.masks == [DRAINED]


def test_an_end_waits_for_what_is_not_written(port: Port) -> None:
    with port.connect() as client:
        port.turn_until(lambda: bool(port.connections))
        (connection,) = port.connections
        written = 0
        while not connection.write(b"x" * 65_536) & FULL:
            written += 65_536
        assert not connection.end() & OVER
        assert not port.masks
        assert len(port.read(client, written)) >= written
        port.turn_until(lambda: bool(port.masks and port.masks[-1] & OVER))


def test_a_callback_that_fails_costs_the_others_nothing(port: Port, unraisable: list[Any]) -> None:
    def refuse(connection: Connection) -> None:
        raise RuntimeError("no more")

    with port.connect() as first:
        first.sendall(hit())
        assert port.read(first, 12).startswith(b"HTTP/1.1 202")
        port.accept = refuse
        with port.connect() as second:
            second.sendall(hit())
            port.turn_until(lambda: bool(unraisable))
            with pytest.raises((ConnectionResetError, AssertionError)):
                assert second.recv(1)
        first.sendall(hit())
        assert port.read(first, 12).startswith(b"HTTP/1.1 202")
    assert [str(error) for error in unraisable] == ["no more"]


def test_a_connection_that_is_not_wanted_is_closed(port: Port) -> None:
    def refuse(connection: Connection) -> None:
        connection.write(b"go away")

    port.accept = refuse
    with port.connect() as client:
        assert port.read(client, 7) == b"go away"
        assert client.recv(1) == b""


def test_out_of_descriptors_waits_and_goes_on(port: Port) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        client = stack.enter_context(socket.socket())
        client.settimeout(PATIENCE_S)
        fillers = [socket.socket()]
        stack.callback(close_all, fillers)
        resource.setrlimit(resource.RLIMIT_NOFILE, (fillers[0].fileno() + 8, limits[1]))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        with suppress(OSError):
            fillers.extend(socket.socket() for _ in range(16))
        with pytest.raises(OSError, match="Too many open files"):
            socket.socket()
        client.connect(port.address)
        client.sendall(hit())
        port.turn_until(lambda: port.has_shortage)
        assert not port.sockets.turn(), "the listener is left alone until it is resumed"
        close_all(fillers)
        port.sockets.resume_listening()
        assert port.read(client, 12).startswith(b"HTTP/1.1 202")


def test_who_waits_when_listening_ends_is_taken_and_nobody_after(port: Port) -> None:
    with port.connect() as waiting:
        waiting.sendall(hit())
        port.sockets.finish_listening()
        assert len(port.connections) == 1
        with port.connect() as late:
            late.sendall(hit())
            assert port.read(waiting, 12).startswith(b"HTTP/1.1 202")
            assert len(port.connections) == 1


def test_what_is_no_listener_is_an_error(port: Port) -> None:
    for fd in (-1, 1_000_000):
        with pytest.raises(OSError, match="descriptor"):
            port.sockets.listen(fd)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, len(HITS) - 1), max_size=6))
def test_reads_never_change_what_is_handled(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    """The same answers and records as of its twin without a socket, which is fed all at once."""
    port = Port(tmp_path_factory.mktemp("port"))
    try:
        twin, transport = connect(port.collector)
        twin.feed(HITS)
        port.collector.commit()
        port.turn_until(lambda: len(transport.statuses) == 4)
        with port.connect() as client:
            port.turn_until(lambda: bool(port.connections))
            edges = [0, *sorted(cuts), len(HITS)]
            for begin, end in itertools.pairwise(edges):
                client.sendall(HITS[begin:end])
                port.sockets.turn()
            assert port.statuses(client, 4) == transport.statuses
        assert port.collector.stats()["outcomes"]["accepted"] == 4
    finally:
        port.close()
