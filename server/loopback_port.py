"""A loopback port for a child process that is told where to listen.

Until the child listens, the port is claimed: its namesake of UDP is bound here, so that neither this process nor
another one that asks here gives it away again. The kernel takes a claim back when its process ends, and only the newest
are kept.
"""

from __future__ import annotations

import os
import random
import socket
from collections import deque

LOOPBACK = "127.0.0.1"
# Beneath ip_local_port_range (32,768 to 60,999 unless an operator says otherwise, see ip(7)): between our look and the
# child's bind the kernel gives none of these to a connection that somebody opens.
CHOICE = range(20_000, 32_768)
TRIES = 100
# More than anybody starts at once.
MOST_CLAIMS = 32

# Descriptors, as nobody is to close them before the process ends.
_claims: deque[int] = deque()
# A test that seeds `random` would have two processes look at the same ports in the same order.
_random = random.SystemRandom()


class NoFreePort(OSError):
    """Each port that was tried is taken."""


def free_port(preferred: int = 0) -> int:
    """A port that nobody listens on at this moment: `preferred` when it is free and not 0, else one by chance, claimed.

    Raises `NoFreePort`.
    """
    if preferred and _can_be_bound(preferred, reuse=True):
        return preferred
    for port in _random.sample(CHOICE, min(TRIES, len(CHOICE))):
        if _can_be_bound(port, reuse=False) and _claim(port):
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


def _claim(port: int) -> bool:
    with socket.socket(type=socket.SOCK_DGRAM) as claim:
        try:
            claim.bind((LOOPBACK, port))
        except OSError:
            return False
        _claims.append(claim.detach())
    if len(_claims) > MOST_CLAIMS:
        os.close(_claims.popleft())
    return True
