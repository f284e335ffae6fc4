"""Every counter of the flusher is a metric."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from server.flush_metrics import COUNTERS, FlushMetrics
from server.flusher import FlushCounters, Flusher, NoSegments
from server.quarantine import Quarantine
from server.sink import Sink


def no_sink(shard: int) -> Sink:
    raise AssertionError("nothing is sent here")


def test_every_counter_is_presented(tmp_path: Path) -> None:
    flusher = Flusher(NoSegments(), no_sink, Quarantine(tmp_path))
    flusher.counters.rows = 7
    flusher.counters.failures["network"] += 2
    registry = CollectorRegistry()
    registry.register(FlushMetrics(flusher))
    text = generate_latest(registry).decode()
    assert "footfall_flush_rows_total 7.0" in text
    assert 'footfall_flush_failures_total{reason="network"} 2.0' in text
    assert "footfall_flush_pending_segments 0.0" in text
    assert {field.name for field in dataclasses.fields(FlushCounters)} == {*COUNTERS, "failures"}
