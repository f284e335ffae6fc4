"""What a peer loses when it is killed: numbered hits, one SIGKILL in their middle, and the store asked afterwards.

Each hit is a page view of a page of its own, sent once. A hit that was answered 2xx and is not in the store after the
peer was started again on its data is lost. One whose answer never came may be stored or not.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPResponse

from bench.peers.peer import Peer
from bench.traffic import Hit, HitKind, TrafficMix, generate_hits

# Each waits for its answer: enough that a peer which answers late still gets hits at a time worth counting.
CLIENTS = 32

SOCKET_TIMEOUT_S = 10.0
RETRY_S = 0.02
PREFIX = "/numbered/"
OK = range(200, 300)


@dataclass(frozen=True)
class Loss:
    """What became of the hits of one load."""

    answered: int
    """Hits that were answered 2xx."""
    stored: int
    """Hits in the store afterwards, answered or not, each once."""
    lost: int
    """Answered and not stored."""
    doubled: int
    """Stored more often than once."""
    refused: int
    """Answered otherwise than 2xx."""


class NumberedLoad:
    """Clients that each send one numbered hit after the other until `stop`."""

    def __init__(self, peer: Peer, site: str) -> None:
        self.answered: set[str] = set()
        self.refused = 0
        self._peer = peer
        mix = TrafficMix(sites=(site,), bot_share=0.0)
        pageviews = (hit for hit in generate_hits(1_000, seed=5, mix=mix) if hit.kind is HitKind.PAGEVIEW)
        self._templates = list(itertools.islice(pageviews, 100))
        self._site = site
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the clients once each has its answer."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(SOCKET_TIMEOUT_S + 5)

    def _hit(self, number: int) -> Hit:
        template = self._templates[number % len(self._templates)]
        return replace(template, url=f"https://{self._site}{PREFIX}{number}", load_id=number + 1, sequence=0)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                with socket.create_connection(("127.0.0.1", self._peer.port), timeout=SOCKET_TIMEOUT_S) as connection:
                    while not self._stopping.is_set():
                        self._send_one(connection)
            except (OSError, HTTPException):
                # Killed, or not up yet. The hit that was under way stays unanswered; the deadline is the caller's.
                time.sleep(RETRY_S)

    def _send_one(self, connection: socket.socket) -> None:
        with self._lock:
            number = next(self._numbers)
        connection.sendall(self._peer.request(self._hit(number)))
        answer = HTTPResponse(connection, method="POST")
        answer.begin()
        answer.read()
        with self._lock:
            if answer.status in OK:
                self.answered.add(f"{PREFIX}{number}")
            else:
                self.refused += 1
        if answer.will_close:
            raise ConnectionResetError("the server closes this connection")


def loss_when_killed(peer: Peer, site: str, *, seconds: float) -> Loss:
    """Load for `seconds`, kill -9, start again, load as long again, and ask the store once it has settled."""
    assert not [path for path in peer.stored_paths() if path.startswith(PREFIX)], "numbered hits are there already"
    before = peer.stored()
    load = NumberedLoad(peer, site)
    try:
        time.sleep(seconds)
        peer.kill()
        peer.start()
        time.sleep(seconds)
    finally:
        load.stop()
    peer.settle(before + len(load.answered))
    times = Counter(path for path in peer.stored_paths() if path.startswith(PREFIX))
    return Loss(
        answered=len(load.answered),
        stored=len(times),
        lost=len(load.answered - times.keys()),
        doubled=sum(count > 1 for count in times.values()),
        refused=load.refused,
    )
