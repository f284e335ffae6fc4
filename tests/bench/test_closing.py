"""The suite of closing over a small day: it closes, and its parts add up to what it prints."""

from __future__ import annotations

import pytest

from bench.harness import Cpus, Run
from bench.suites import closing


def test_a_small_day_is_closed_and_measured() -> None:
    run = Run(cpus=Cpus(server=0, client=0), quick=True, events=3_000)  # enough for breakdowns of the largest site
    cost, size = closing.measure(run)
    steps, tables = cost.notes["steps"], size.notes["tables"]
    assert isinstance(steps, dict)
    assert isinstance(tables, dict)
    assert {"names", "sessions", "daily", "vitals"} <= steps.keys()
    assert 0 < cost.ours <= sum(steps.values()) * 2
    assert set(tables) == set(closing.CLOSED)
    assert size.ours == pytest.approx(sum(tables.values()), abs=0.01)
