"""Which port a child is given."""

from __future__ import annotations

import socket

import pytest

from server import loopback_port
from server.loopback_port import CHOICE, NoFreePort, free_port


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


def test_all_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(loopback_port, "CHOICE", range(taken, taken + 1))
        monkeypatch.setattr(loopback_port, "TRIES", 1)
        with pytest.raises(NoFreePort, match=str(taken)):
            free_port()
