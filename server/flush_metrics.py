"""A flusher's counters as Prometheus metrics: totals of one process, read without a lock when somebody scrapes."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.flusher import Flusher

COUNTERS = {
    "segments": "Segments stored",
    "rows": "Rows stored in events",
    "records": "Hits stored as rows or counts",
    "segment_bytes": "Bytes of stored segments",
    "block_bytes": "Compressed bytes sent to ClickHouse",
    "prepare_seconds": "Seconds spent on scanning and encoding",
    "store_seconds": "Seconds spent on sending and waiting for ClickHouse",
    "found_stored": "Segments that an earlier send had stored already",
    "orphans": "Segments taken over from ended processes",
    "quarantined_segments": "Segments moved to quarantine",
    "quarantined_records": "Hits moved to quarantine, damage included",
}
"""Fields of `FlushCounters` and what they mean."""


class FlushMetrics(Collector):
    """Register one for the process's flusher."""

    def __init__(self, flusher: Flusher) -> None:
        self._flusher = flusher

    def collect(self) -> Iterator[Metric]:
        """The families of this moment."""
        counters = self._flusher.counters
        for name, meaning in COUNTERS.items():
            yield CounterMetricFamily(f"footfall_flush_{name}", meaning, value=getattr(counters, name))
        failures = CounterMetricFamily("footfall_flush_failures", "Attempts that failed, by reason", labels=["reason"])
        for label, count in sorted(counters.failures.copy().items()):
            failures.add_metric([label], count)
        yield failures
        pending = self._flusher.pending()
        yield GaugeMetricFamily("footfall_flush_pending_segments", "Segments known and not stored yet", value=pending)
        failing = float(self._flusher.last_failure is not None)
        yield GaugeMetricFamily("footfall_flush_failing", "1 while the last attempt failed", value=failing)
