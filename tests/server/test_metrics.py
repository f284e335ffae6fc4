"""Metrics of the processes, merged into one page."""

from __future__ import annotations

import json
import time

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from server.metrics import CoreStats, MergedReports, SpoolGauges, export_families

STATS = {
    "outcomes": {"accepted": 5, "bot": 2},
    "unavailable": 1,
    "spool_bytes": 100,
    "snapshot_version": 3,
    "oldest_segment_ms": None,
    "last_error": None,
}


def report(stats: dict[str, object]) -> list[object]:
    registry = CollectorRegistry()
    registry.register(CoreStats(lambda: stats))
    Counter("footfall_things", "Things", ["kind"], registry=registry).labels(kind="a").inc(4)
    travelled: list[object] = json.loads(json.dumps(export_families(registry)))
    return travelled


def test_a_page_tells_processes_apart_and_parses() -> None:
    registry = CollectorRegistry()
    reports = {"0": report(STATS), "1": report({**STATS, "spool_bytes": 7})}
    registry.register(MergedReports(lambda: reports))
    page = generate_latest(registry).decode()
    samples = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert samples["footfall_hits_total", (("outcome", "bot"), ("process", "0"))] == 2
    assert samples["footfall_core_spool_bytes", (("process", "1"),)] == 7
    assert samples["footfall_things_total", (("kind", "a"), ("process", "1"))] == 4
    assert page.count("# TYPE footfall_hits_total") == 1


@pytest.mark.parametrize("name", ["snapshot_version", "oldest_segment_ms", "last_error"])
def test_what_is_no_count_is_left_out(name: str) -> None:
    assert all(f"footfall_core_{name}" not in str(family) for family in report(STATS))


@pytest.mark.parametrize(("oldest_s_ago", "expected_s"), [(None, 0.0), (90.0, 90.0), (-5.0, 0.0)])
def test_the_spool_tells_its_limit_and_how_far_the_store_is_behind(
    oldest_s_ago: float | None, expected_s: float
) -> None:
    oldest_ms = None if oldest_s_ago is None else int((time.time() - oldest_s_ago) * 1000)
    registry = CollectorRegistry()
    registry.register(SpoolGauges(lambda: 4096, lambda: oldest_ms))
    assert registry.get_sample_value("footfall_spool_max_bytes") == 4096
    assert registry.get_sample_value("footfall_oldest_unflushed_seconds") == pytest.approx(expected_s, abs=5.0)
