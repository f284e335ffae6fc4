"""Prometheus metrics: what each process counts, and the merged page that the parent serves on the internal port.

A collect or web process keeps its metrics in `REGISTRY` and reports them to the parent every second as plain lists
(`export_families`). The parent answers `/metrics` from the last report of each process, with a label `process`
(`MergedReports`). So there is one page for one pod, without shared files, and a scrape never waits for a busy process.

Metrics carry totals only: what happened per site is in `ledger`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

REGISTRY = CollectorRegistry()

OPEN_CONNECTIONS = Gauge("footfall_open_connections", "Connections on the public port", registry=REGISTRY)
CONNECTIONS = Counter("footfall_connections", "Connections accepted on the public port", registry=REGISTRY)
REFUSED_CONNECTIONS = Counter(
    "footfall_refused_connections", "Connections over the limit, answered 503", registry=REGISTRY
)
DEADLINE_CLOSES = Counter(
    "footfall_deadline_closes", "Connections closed by a deadline", ["deadline"], registry=REGISTRY
)
REQUESTS = Counter("footfall_requests", "Requests answered by the application", ["status"], registry=REGISTRY)
BAD_REQUESTS = Counter("footfall_bad_requests", "Requests refused as malformed", registry=REGISTRY)
BATCH_SETTINGS_INVALID = Gauge(
    "footfall_batch_settings_invalid", "1 while the batch settings file is not used", registry=REGISTRY
)
BATCH_SETTINGS_RELOADS = Counter(
    "footfall_batch_settings_reloads", "Changes of the batch settings put in force", registry=REGISTRY
)
SNAPSHOT_VERSION = Gauge("footfall_snapshot_version", "Version of the snapshot in force", registry=REGISTRY)
SNAPSHOT_AGE_S = Gauge(
    "footfall_snapshot_age_seconds", "Seconds since the app database last answered", registry=REGISTRY
)
RESIDENT_BYTES = Gauge("footfall_resident_bytes", "Resident memory of the process", registry=REGISTRY)
LOOP_LAG_S = Gauge("footfall_loop_lag_seconds", "How late the event loop ran its last timer", registry=REGISTRY)

# One sample as it travels to the parent: name, labels, value.
Sample = tuple[str, dict[str, str], float]
# A family: name, help, type, samples.
Family = tuple[str, str, str, list[Sample]]


# Of the core's numbers, those that go down as well as up.
CORE_GAUGES = frozenset(
    ("groups_in_flight", "bytes_in_flight", "spool_bytes", "segments_open", "segments_waiting", "failing")
)
# Said elsewhere, or no number of events.
_CORE_SKIPPED = frozenset(("outcomes", "snapshot_version", "oldest_segment_ms", "last_error"))


class CoreStats(Collector):
    """Presents the ingest core's counters: the outcomes as one metric with a label, the rest one metric each."""

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """The families of this moment."""
        stats = self._read()
        hits = CounterMetricFamily("footfall_hits", "Answered hits by outcome", labels=["outcome"])
        for label, count in sorted(stats["outcomes"].items()):
            hits.add_metric([label], count)
        yield hits
        for name, value in sorted(stats.items()):
            if name in _CORE_SKIPPED:
                continue
            family = GaugeMetricFamily if name in CORE_GAUGES else CounterMetricFamily
            yield family(f"footfall_core_{name}", name.replace("_", " "), value=value)


class SpoolGauges(Collector):
    """How much a process may spool, and how long the store has been behind. Only of a process that takes hits."""

    def __init__(self, max_bytes: Callable[[], int], oldest_unflushed_ms: Callable[[], int | None]) -> None:
        """`oldest_unflushed_ms`: epoch time before which nothing waits; None when nothing does."""
        self._max_bytes = max_bytes
        self._oldest_unflushed_ms = oldest_unflushed_ms

    def collect(self) -> Iterator[Metric]:
        """The families of this moment."""
        yield GaugeMetricFamily(
            "footfall_spool_max_bytes", "Bytes that the spool may hold before hits are refused", value=self._max_bytes()
        )
        oldest_ms = self._oldest_unflushed_ms()
        age_s = 0.0 if oldest_ms is None else max(0.0, time.time() - oldest_ms / 1000)
        yield GaugeMetricFamily(
            "footfall_oldest_unflushed_seconds", "Age of the oldest answered hit that is not stored", value=age_s
        )


def export_families(registry: CollectorRegistry = REGISTRY) -> list[Family]:
    """The registry's present values, ready for JSON."""
    return [
        (
            metric.name,
            metric.documentation,
            metric.type,
            [
                (sample.name, dict(sample.labels), sample.value)
                for sample in metric.samples
                if not sample.name.endswith("_created")
            ],
        )
        for metric in registry.collect()
    ]


class MergedReports(Collector):
    """The last report of every process, told apart by the label `process`."""

    def __init__(self, reports: Callable[[], dict[str, list[Any]]]) -> None:
        self._reports = reports

    def collect(self) -> Iterator[Metric]:
        """One family per name, over all processes."""
        families: dict[str, Metric] = {}
        for process, report in sorted(self._reports().items()):
            for name, documentation, kind, samples in report:
                family = families.setdefault(name, Metric(name, documentation, kind))
                for sample_name, labels, value in samples:
                    family.add_sample(sample_name, {**labels, "process": process}, value)
        yield from families.values()
