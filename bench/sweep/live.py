"""A whole Footfall under an open-loop load, its batch settings changed while it runs, as an operator changes them."""

from __future__ import annotations

import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.harness import Cpus
from bench.load.generator import Attack, RunningAttack, percentiles_ms, run_attack
from bench.load.requests import write_requests
from bench.load.spending import Spending, place, roles
from bench.suites.freshness import DOMAIN, Probes
from bench.sweep.configmap import batch_file
from server.clickhouse_tcp import BlockConnection
from server.config import BatchSettings
from server.embedded import home_folder, published_address
from tests.adversity.exactly_once import wait_until_drained
from tests.services.footfall import running_footfall
from tests.services.waiting import wait_until

REQUESTS = 20_000
READY_WITHIN_S = 120.0

# A change of the mounted file is in force within seconds.
IN_FORCE_WITHIN_S = 30.0
SPOOL_MAX = "footfall_spool_max_bytes"

# Probes come every tenth of a second on average; asking more often would load the store.
PROBES_PER_S = 7
LOOK_EVERY_S = 0.05

EVENTS = "SELECT event, value FROM system.events WHERE event IN ('InsertQuery', 'Merge', 'MergedRows')"


@dataclass(frozen=True)
class LivePoint:
    """One measurement. CPU in µs for a hit; latencies from the due time; freshness from sending to finding."""

    settings: BatchSettings
    got_per_s: float
    hits: int
    our_us: float
    store_us: float
    p50_ms: float
    p99_ms: float
    fresh_p50_ms: float
    fresh_p99_ms: float
    inserts: int
    merges: int
    parts: int

    @property
    def hits_per_cpu_s(self) -> float:
        """Of Footfall and its store together."""
        return 1e6 / (self.our_us + self.store_us)


class Live:
    """The server. Footfall has one CPU, generator and ClickHouse the other."""

    def __init__(self, folder: Path, cpus: Cpus) -> None:
        self._folder = folder
        self._cpus = cpus
        self._stack = ExitStack()
        self._batch_file = folder / "batch.yaml"
        self._changes = 0
        self._attacks = 0

    def __enter__(self) -> Live:
        self._batch_file.write_text("")
        self.requests = write_requests(self._folder / "requests", REQUESTS, site=DOMAIN)
        self._server = self._stack.enter_context(
            running_footfall(
                self._folder / "data",
                first_site_domain=DOMAIN,
                trusted_proxies="127.0.0.1",
                batch_settings_file=str(self._batch_file),
            )
        )
        wait_until(lambda: "ClickHouse is ready" in self._server.log_path.read_text(), READY_WITHIN_S)
        self._connection = BlockConnection(published_address(home_folder(self._server.data_dir)))
        self._stack.callback(self._connection.close)
        for role, pids in roles(self._server.pid).items():
            place(pids, self._cpus.client if role in ("clickhouse", "worker") else self._cpus.server)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def maximum_per_s(self, seconds: float) -> float:
        """Of a closed loop at the settings in force."""
        outcome = run_attack(Attack(self._server.port, self.requests, 0, seconds), self._cpus.client)
        outcome.require_all_answered()
        wait_until_drained(self._server)
        return outcome.answered_per_s

    def apply(self, settings: BatchSettings) -> None:
        """Put settings in force; they differ in a byte of the spool's room, by which that is seen."""
        self._changes += 1
        seen = settings.model_copy(update={"spool_max_bytes": settings.spool_max_bytes + self._changes})
        self._batch_file.write_text(batch_file(seen, {}))
        wait_until(lambda: self._metric(SPOOL_MAX) == seen.spool_max_bytes, IN_FORCE_WITHIN_S)

    def _metric(self, name: str) -> float:
        url = f"http://127.0.0.1:{self._server.internal_port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        values = [line.split()[-1] for line in lines if line.startswith(name) and 'process="worker"' not in line]
        return float(values[0]) if values else 0.0

    def measure(self, settings: BatchSettings, rate_per_s: float, seconds: float) -> LivePoint:
        """One point, into emptied tables. Raises unless every hit was answered well."""
        self.apply(settings)
        self._connection.command("TRUNCATE TABLE events")
        before = self._store_events()
        spending = Spending(roles(self._server.pid))
        self._attacks += 1
        attack = Attack(self._server.port, self.requests, rate_per_s, seconds, seed=self._attacks)
        probes = Probes(
            self._server,
            max(3, int(seconds * PROBES_PER_S)),
            prefix=f"/probe-{self._attacks}/",
            look_every_s=LOOK_EVERY_S,
        )
        running = RunningAttack(attack, self._cpus.client)
        try:
            delays_ms = probes.delays_ms()
        except BaseException:
            running.end()
            raise
        outcome, _ = running.wait()
        outcome.require_all_answered()
        wait_until_drained(self._server)
        spent = spending.until_now()
        now = self._store_events()
        ((parts,),) = self._connection.select("SELECT count() FROM system.parts WHERE active AND table = 'events'")
        latency = percentiles_ms(outcome.latency)
        store_s = spent.user_s["clickhouse"] + spent.system_s["clickhouse"]
        return LivePoint(
            settings=settings,
            got_per_s=outcome.answered_per_s,
            hits=outcome.answered,
            our_us=spent.our_cpu_s() / outcome.answered * 1e6,
            store_us=store_s / outcome.answered * 1e6,
            p50_ms=latency["p50"],
            p99_ms=latency["p99"],
            fresh_p50_ms=delays_ms[len(delays_ms) // 2],
            fresh_p99_ms=delays_ms[min(len(delays_ms) - 1, int(len(delays_ms) * 0.99))],
            inserts=now.get("InsertQuery", 0) - before.get("InsertQuery", 0),
            merges=now.get("Merge", 0) - before.get("Merge", 0),
            parts=int(parts),
        )

    def _store_events(self) -> dict[str, int]:
        return {str(name): int(value) for name, value in self._connection.select(EVENTS)}
