"""Which port a child is given."""

from __future__ import annotations

import os
import socket
from collections import deque

import pytest

from server import loopback_port
from server.loopback_port import CHOICE, NoFreePort, free_port


def is_free(port: int) -> bool:
    with socket.socket() as listener, socket.socket(type=socket.SOCK_DGRAM) as claim:
        try:
            listener.bind(("127.0.0.1", port))
            claim.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def test_none_that_the_kernel_gives_to_connections() -> None:
    for _ in range(50):
        port = free_port()
        assert port in CHOICE
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_the_preferred_one_when_it_is_free() -> None:
    port = free_port()
    assert free_port(port) == port
    with socket.create_server(("127.0.0.1", port)):
        assert free_port(port) != port
    assert free_port(port) == port


def test_the_preferred_one_although_old_connections_linger() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as listener:
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
        accepted.close()  # who closes first keeps TIME_WAIT
        client.close()
    assert free_port(port) == port


def test_none_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    first = next(port for port in CHOICE if all(is_free(port + n) for n in range(4)))
    monkeypatch.setattr(loopback_port, "CHOICE", range(first, first + 4))
    with socket.socket(type=socket.SOCK_DGRAM) as claim_of_another:
        claim_of_another.bind(("127.0.0.1", first + 2))
        assert sorted(free_port() for _ in range(3)) == [first, first + 1, first + 3]
        with pytest.raises(NoFreePort):
            free_port()


def test_old_claims_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    claims: deque[int] = deque()
    monkeypatch.setattr(loopback_port, "MOST_CLAIMS", 2)
    monkeypatch.setattr(loopback_port, "_claims", claims)
    ports = [free_port() for _ in range(3)]
    with socket.socket(type=socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", ports[0]))
    for port in ports[1:]:
        with socket.socket(type=socket.SOCK_DGRAM) as refused, pytest.raises(OSError, match="in use"):
            refused.bind(("127.0.0.1", port))
    for claim in claims:
        os.close(claim)


def test_all_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(loopback_port, "CHOICE", range(taken, taken + 1))
        monkeypatch.setattr(loopback_port, "TRIES", 1)
        with pytest.raises(NoFreePort, match=str(taken)):
            free_port()
