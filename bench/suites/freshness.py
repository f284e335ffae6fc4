"""How soon a hit can be asked for: probe hits at default settings, each looked for in `events` until it is there.

One whole `footfall serve` as a first start makes it, its ClickHouse included. Probes come at moments that have nothing
to do with the age of its segments; each is one visitor's page view of a path of its own. The clock of a probe runs from
before its first byte is sent until a question that was asked afterwards finds it, so it includes what asking takes.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import orjson

from bench.harness import Result, Run, pinned
from server.clickhouse_tcp import BlockConnection
from server.embedded import home_folder, published_address
from tests.services.footfall import FootfallServer, running_footfall

PROBES = 400
QUICK_PROBES = 10

# Mean and bounds of the pause between two probes: the default age of a segment is a second, and no multiple of these.
PAUSES_S = (0.03, 0.17)

LOOK_EVERY_S = 0.01
FOUND_WITHIN_S = 120.0
DOMAIN = "localhost"
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"


class Probes:
    """Sends probes and looks for them."""

    def __init__(
        self, server: FootfallServer, count: int, *, prefix: str = "/probe/", look_every_s: float = LOOK_EVERY_S
    ) -> None:
        """`prefix` begins the path of each: another one for another time in the same tables."""
        self._prefix = prefix
        self._look_every_s = look_every_s
        self._port = server.port
        self._address = published_address(home_folder(server.data_dir))
        self._count = count
        self._sent_s: dict[str, float] = {}
        self._found_s: dict[str, float] = {}
        self._sending = threading.Thread(target=self._send, name="probes", daemon=True)

    def delays_ms(self) -> list[float]:
        """From sending to finding, of all probes, ascending."""
        connection = BlockConnection(self._address)
        question = f"SELECT path FROM events WHERE startsWith(path, '{self._prefix}') AND hour >= now() - 7200"
        self._sending.start()
        give_up_s = time.monotonic() + FOUND_WITHIN_S + self._count * PAUSES_S[1]
        try:
            while len(self._found_s) < self._count:
                assert time.monotonic() < give_up_s, f"{len(self._found_s)} of {self._count} probes were found"
                for (path,) in connection.select(question):
                    self._found_s.setdefault(str(path), time.monotonic())
                time.sleep(self._look_every_s)
        finally:
            connection.close()
        self._sending.join()
        assert self._found_s.keys() == self._sent_s.keys()
        return sorted((self._found_s[path] - sent_s) * 1000 for path, sent_s in self._sent_s.items())

    def _send(self) -> None:
        chance = random.Random(47)
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        for number in range(self._count):
            path = f"{self._prefix}{number}"
            body = orjson.dumps({"n": "pageview", "u": f"http://{DOMAIN}{path}", "d": DOMAIN})
            self._sent_s[path] = time.monotonic()
            connection.request("POST", "/api/event", body, {"User-Agent": USER_AGENT, "Content-Type": "text/plain"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 202, answer.status
            time.sleep(chance.uniform(*PAUSES_S))
        connection.close()


def measure(run: Run) -> Iterator[Result]:
    """freshness_p99_ms."""
    count = QUICK_PROBES if run.quick else PROBES
    with (
        tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder,
        pinned(run.cpus.server, run.cpus.client),
        running_footfall(Path(folder) / "data", first_site_domain=DOMAIN) as server,
    ):
        _wait_for_store(server)
        delays_ms = Probes(server, count).delays_ms()
    p50_ms, p99_ms = (delays_ms[min(count - 1, int(count * share))] for share in (0.5, 0.99))
    notes = {**run.notes, "p50_ms": round(p50_ms), "max_ms": round(delays_ms[-1]), "probes": count}
    yield Result("freshness_p99_ms", p99_ms, None, None, "ms", notes=notes)


def _wait_for_store(server: FootfallServer) -> None:
    """A first start makes its tables beside taking hits; what is measured is what comes after."""
    deadline_s = time.monotonic() + FOUND_WITHIN_S
    while "ClickHouse is ready" not in server.log_path.read_text():
        assert time.monotonic() < deadline_s, "ClickHouse did not start"
        time.sleep(0.05)
