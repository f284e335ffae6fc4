"""The suites of scaling and freshness work; their figures need a quiet machine."""

from __future__ import annotations

import pytest

from bench.harness import Run, choose_cpus
from bench.suites import freshness, scale


@pytest.mark.slow
def test_the_quick_form_compares_processes_and_flushers() -> None:
    results = {result.name: result for result in scale.measure(Run(cpus=choose_cpus(), rounds=1, quick=True))}
    assert results.keys() == {"hits_2_vs_1_processes", "rows_2_vs_1_flushers"}
    for result in results.values():
        assert result.ratio is not None
        assert result.ratio > 0


def test_every_probe_is_found() -> None:
    (result,) = freshness.measure(Run(cpus=choose_cpus(), quick=True))
    assert result.notes["probes"] == freshness.QUICK_PROBES
    assert 0 < result.ours < freshness.FOUND_WITHIN_S * 1000
