"""A loopback port for a child process that is told where to listen."""

from __future__ import annotations

import random
import socket

LOOPBACK = "127.0.0.1"
# Beneath ip_local_port_range (32,768 to 60,999 unless an operator says otherwise, see ip(7)): between our look and the
# child's bind the kernel gives none of these to a connection that somebody opens.
CHOICE = range(20_000, 32_768)
TRIES = 100


class NoFreePort(OSError):
    """Each port that was tried is taken."""


def free_port(preferred: int = 0) -> int:
    """A port that nobody listens on at this moment: `preferred` when it is free and not 0, else one by chance.

    Raises `NoFreePort`.
    """
    if preferred and _can_be_bound(preferred, reuse=True):
        return preferred
    for port in random.sample(CHOICE, TRIES):
        if _can_be_bound(port, reuse=False):
            return port
    raise NoFreePort(f"{TRIES} loopback ports between {CHOICE.start} and {CHOICE.stop - 1} are all taken")


def _can_be_bound(port: int, *, reuse: bool) -> bool:
    # With `reuse`, connections of an earlier listener that are still in TIME_WAIT do not count.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
