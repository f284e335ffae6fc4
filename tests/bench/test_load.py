"""The open-loop generator: latency counts from the due time, each outcome is told apart, rows are held against hits.

A server that stalls on purpose is a thread here; what is measured of it is the stall, not the machine.
"""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from itertools import count
from pathlib import Path

import pytest

from bench.harness import Run, choose_cpus
from bench.load.generator import Attack, GeneratorError, Outcome, RunningAttack, percentiles_ms
from bench.load.requests import write_requests
from bench.load.stored import ATTACK_HITS, SCRAMBLE, UNSCRAMBLE, compare_with_rows
from bench.suites import load
from server.clickhouse_tcp import BlockConnection
from server.migrate import SchemaForm, migrate
from tests.services.clickhouse import fresh_database, shared_clickhouse
from tests.services.closed_port import closed_port

STALL_S = 0.4
RATE_PER_S = 500.0
SECONDS = 1.2
ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"


class StallingServer:
    """Answers at once, but for one stall that stops everything, and says of each third hit what is asked."""

    def __init__(self, stall_s: float = 0.0, third: bytes = ANSWER) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self.requests = 0
        self._stall_s = stall_s
        self._third = third
        self._lock = threading.Lock()
        self._started_s: float | None = None
        threading.Thread(target=self._accept, name="stalling-server", daemon=True).start()

    def close(self) -> None:
        """Take no more: without the shutdown, an accept that waits would take one more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="stalling-connection", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65_536):
                with self._lock:
                    self._started_s = self._started_s or time.monotonic()
                    if self._stall_s and time.monotonic() - self._started_s > 0.3:
                        time.sleep(self._stall_s)
                        self._stall_s = 0.0
                    self.requests += 1
                    is_third = self.requests % 3 == 0
                answer = self._third if is_third else ANSWER
                if not answer:
                    return
                connection.sendall(answer)
                if b"Connection: close" in data:
                    return


@contextmanager
def stalling_server(stall_s: float = 0.0, third: bytes = ANSWER) -> Iterator[StallingServer]:
    """Closed at the end."""
    with closing(StallingServer(stall_s, third)) as server:
        yield server


@cache
def ready_requests(is_short: bool) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_requests(Path(folder) / "requests", 50, is_short=is_short).read_bytes()


def attacked(server: StallingServer, folder: Path, **more: object) -> tuple[Outcome, list[dict[str, float]]]:
    requests = folder / "requests"
    requests.write_bytes(ready_requests(bool(more.get("short"))))
    asked = {"rate_per_s": RATE_PER_S, "seconds": SECONDS, "connections": 4, "poisson": False, **more}
    return RunningAttack(Attack(server.port, requests, **asked), choose_cpus().client).wait()  # type: ignore[arg-type]


def test_a_stall_shows_in_every_hit_that_it_makes_wait(tmp_path: Path) -> None:
    with stalling_server(STALL_S) as server:
        outcome, _ = attacked(server, tmp_path)
    outcome.require_all_answered()
    assert outcome.answered == server.requests == int(RATE_PER_S * SECONDS)
    # A third of all hits was due during the stall. A closed loop would have seen four slow answers of 600.
    corrected, uncorrected = percentiles_ms(outcome.latency), percentiles_ms(outcome.uncorrected)
    assert corrected["p90"] > STALL_S * 1_000 / 3
    assert STALL_S * 900 < corrected["p99"] <= corrected["max"]
    slow = [histogram.get_total_count() for histogram in (outcome.latency, outcome.uncorrected)]
    assert slow[0] == slow[1]
    assert uncorrected["p90"] < corrected["p90"]


def test_each_outcome_is_told_apart(tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes"
    for third, name, number in (
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "refused", 3),
        (b"HTTP/1.1 202 Accepted\r\nX-Footfall-Dropped: bot\r\nContent-Length: 0\r\n\r\n", "dropped", 2),
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", "failed", 5),
        (b"", "unanswered", 4),
    ):
        with stalling_server(third=third) as server:
            outcome, intervals = attacked(server, tmp_path, seconds=0.3, outcomes=outcomes, every_ms=50)
        hits = int(RATE_PER_S * 0.3)
        assert (getattr(outcome, name), outcome.accepted) == (hits // 3, hits - hits // 3)
        written = outcomes.read_bytes()
        assert (len(written), written.count(number), written.count(1)) == (hits, hits // 3, hits - hits // 3)
        assert sum(interval[name] for interval in intervals) <= hits // 3
        if name != "dropped":
            with pytest.raises(GeneratorError, match=name if name != "failed" else "answered otherwise"):
                outcome.require_all_answered()


def test_a_connection_for_each_hit(tmp_path: Path) -> None:
    with stalling_server() as server:
        outcome, _ = attacked(server, tmp_path, seconds=0.3, short=True)
    outcome.require_all_answered()
    assert outcome.connections_opened == outcome.answered == int(RATE_PER_S * 0.3)


def test_a_closed_loop_sends_as_soon_as_it_is_answered(tmp_path: Path) -> None:
    with stalling_server() as server:
        outcome, _ = attacked(server, tmp_path, rate_per_s=0, seconds=0.2)
    outcome.require_all_answered()
    assert outcome.answered == server.requests > 20


def test_nobody_listens(tmp_path: Path) -> None:
    requests = tmp_path / "requests"
    requests.write_bytes(ready_requests(is_short=False))
    with closed_port() as port, pytest.raises(GeneratorError, match="nobody takes connections"):
        RunningAttack(Attack(port, requests, RATE_PER_S, SECONDS), choose_cpus().client).wait()


@pytest.fixture
def events(tmp_path: Path) -> Iterator[BlockConnection]:
    """An empty database with the tables."""
    with shared_clickhouse(tmp_path / "clickhouse") as clickhouse, fresh_database(clickhouse) as address:
        migrate(address, SchemaForm())
        connection = BlockConnection(address)
        yield connection
        connection.close()


def test_rows_are_held_against_hits(events: BlockConnection) -> None:
    first = 3 * ATTACK_HITS
    # accepted, dropped, accepted, unanswered, accepted, unanswered, refused
    outcomes = bytes([1, 2, 1, 4, 1, 4, 3])

    inserts = count(1)

    def store(*numbers: int) -> None:
        # Each with a site of its own: the table takes the same block only once.
        for number, site_id in zip(numbers, inserts, strict=False):
            load_id = (first + number) * SCRAMBLE % (1 << 60)
            assert load_id * UNSCRAMBLE % (1 << 60) == first + number
            events.command(f"INSERT INTO events (site_id, hour, load_id) VALUES ({site_id}, now(), {load_id})")

    store(0, 2, 3, 4)
    found = compare_with_rows(events, outcomes, first)
    assert (found.ok, found.rows, found.accepted, found.unanswered) == (True, 4, 3, 2)
    assert compare_with_rows(events, bytes([1, 2, 1, 1, 1]), first).chunks_by_row == 0
    assert compare_with_rows(events, bytes([1, 1, 1, 1, 1]), first).lost == [1]
    assert compare_with_rows(events, bytes([1, 2, 1, 1, 3]), first).strangers == [4]
    store(2)
    assert compare_with_rows(events, outcomes, first).doubled == [2]


@pytest.mark.slow
def test_the_quick_form_measures_every_line() -> None:
    results = {result.name: result for result in load.measure(Run(choose_cpus(), rounds=1, quick=True))}
    names = ["p99_ms", "short_p99_ms", "tls_p99_ms", "power_p99_ms", "stored_p99_ms", "user_us"]
    assert list(results) == [f"load_{name}" for name in names]
    for result in results.values():
        assert result.ours > 0
    assert results["load_stored_p99_ms"].notes["rows_held_against_hits"]
