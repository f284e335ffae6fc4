"""Hits per CPU second: Footfall with its segments on disk, against nginx that only says 204, and a stock Tornado
handler.

All three are sent the same requests (real beacons of the traffic generator, every one different) by the same wrk on the
client's CPU, and run on the server's CPU. What counts is CPU time of all their processes and threads, user and system,
from /proc: unlike a rate it does not change when the client is the bottleneck. After each of our rounds the spool is
read back: it must hold a record for every answer.

nginx's `return 204` reads neither body nor headers into anything and stores nothing: it stands for the least a server
can do.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from bench.collector_process import SITE, CollectorProcess, running_collector
from bench.harness import Budget, Result, Run
from bench.procfs import anonymous_mib, cpu_s, process_tree
from bench.traffic import TrafficMix, event_body, generate_hits, http_request
from bench.wrk import run_wrk, write_script
from server.loopback_port import free_port
from tests.services import program
from tests.services.nginx import running_nginx

# Enough different requests that caches see real variety, few enough that wrk's Lua holds them (about 50 MB).
REQUESTS = 60_000
QUICK_REQUESTS = 2_000

# Keep-alive connections of notes and peers alike.
CONNECTIONS = 64

ROUND_S = 4
QUICK_ROUND_S = 1

# A process whose memory grows by less than this over all rounds is flat: allocators keep that much to themselves.
FLAT_MIB = 8.0


class Load:
    """The one client, and what it measures of a server."""

    def __init__(self, run: Run, folder: Path) -> None:
        self.run = run
        self.seconds = QUICK_ROUND_S if run.quick else ROUND_S
        count = QUICK_REQUESTS if run.quick else REQUESTS
        hits = generate_hits(count, seed=20_261_123, mix=TrafficMix(sites=(SITE,)))
        self.script = write_script(folder, (http_request(hit, host="127.0.0.1:8000") for hit in hits))
        self.wrk = program("wrk")

    def hits_per_cpu_s(
        self, port: int, pids: list[int], settle: Callable[[], None] = lambda: None
    ) -> tuple[float, int]:
        """Answers per CPU second of these processes until `settle` returns, and the number of answers."""
        before = sum(cpu_s(pids))
        outcome = run_wrk(
            self.wrk, self.script, port=port, seconds=self.seconds, cpu=self.run.cpus.client, connections=CONNECTIONS
        )
        settle()
        return outcome.requests / (sum(cpu_s(pids)) - before), outcome.requests


class Ours:
    """Rounds against the collector, each with its spool counted."""

    def __init__(self, load: Load, collector: CollectorProcess) -> None:
        self.load = load
        self.collector = collector
        self.stored = collector.spool_records()
        self.anonymous_mib: list[float] = []

    def round(self) -> float:
        """Hits per CPU second of one round; asserts a record for each answer."""
        rate, answered = self.load.hits_per_cpu_s(
            self.collector.port, self.collector.pids, self.collector.wait_until_sealed
        )
        self.anonymous_mib.append(anonymous_mib(self.collector.collect_pid))
        stored = self.collector.spool_records()
        # wrk hangs up with up to one unread answer per connection.
        assert answered <= stored - self.stored <= answered + CONNECTIONS, (answered, stored - self.stored)
        self.stored = stored
        return rate


@contextmanager
def running_tornado() -> Iterator[tuple[int, int]]:
    """Port and process id of the stock handler."""
    port = free_port()
    child = subprocess.Popen([sys.executable, "-m", "bench.peers.tornado_handler", str(port)], stdin=subprocess.DEVNULL)
    try:
        hit = next(generate_hits(1))
        request = Request(f"http://127.0.0.1:{port}/api/event", event_body(hit), method="POST")
        for _ in range(100):
            try:
                with urlopen(request, timeout=5) as answer:
                    assert answer.status == 202
                    break
            except URLError:
                time.sleep(0.05)
        yield port, child.pid
    finally:
        child.kill()
        child.wait()


def measure(run: Run) -> Iterator[Result]:
    """front_vs_nginx, front_vs_tornado, front_rss_mib."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="footfall-bench-")))
        load = Load(run, folder)
        # What generating the load took here must not count as anyone's start-up.
        ours = Ours(load, stack.enter_context(running_collector(folder)))
        nginx = stack.enter_context(running_nginx(folder))
        tornado_port, tornado_pid = stack.enter_context(running_tornado())
        yield run.compare(
            "front_vs_nginx",
            ours.round,
            lambda: load.hits_per_cpu_s(nginx.port, process_tree(nginx.pid))[0],
            unit="hits/CPU s",
            at_least=0.80,
        )
        yield run.compare(
            "front_vs_tornado",
            ours.round,
            lambda: load.hits_per_cpu_s(tornado_port, [tornado_pid])[0],
            unit="hits/CPU s",
            at_least=15,
        )
        # The first round fills caches and arenas; from then on nothing may grow.
        growth_mib = ours.anonymous_mib[-1] - ours.anonymous_mib[1]
        yield Result(
            name="front_rss_mib",
            ours=max(ours.anonymous_mib),
            theirs=None,
            ratio=None,
            unit="MiB",
            budget=Budget(150, "at_most"),
            rounds=tuple((value,) for value in ours.anonymous_mib),
            notes={**run.notes, "growth_mib": round(growth_mib, 1), "flat": growth_mib < FLAT_MIB, "hits": ours.stored},
        )
