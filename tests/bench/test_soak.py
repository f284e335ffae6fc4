"""The soak's judgement: it finds a leak through noise and restarts, lets flat series be, and draws what it saw."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from bench.load.generator import Outcome
from bench.plots import Line, Span, page, plot, section, table, tick
from bench.soak.faults import Faults, Happened
from bench.soak.flatness import Point, growth
from bench.soak.page import soak_page
from bench.soak.sampling import ProcessSample, Sample
from bench.suites import soak
from tests.adversity.kept_clickhouse import KeptClickHouse
from tests.services.footfall import FootfallServer

RUN_S = 3_600.0


def series(mib_per_hour: float, *, restart_every_s: float = 0.0) -> list[Point]:
    """An hour of a process of 90 MiB, with noise, wild samples, warming up and restarts."""
    chance = random.Random(5)
    points = []
    for number in range(600):
        at_s = number * 6.0
        life = int(at_s // restart_every_s) if restart_every_s else 0
        age_s = at_s - life * restart_every_s
        warming = min(age_s, 12.0) / 12 * 40
        wild = 60.0 if chance.random() < 0.1 else 0.0
        value = 50 + warming + age_s / RUN_S * mib_per_hour + chance.gauss(0, 1.5) + wild
        points.append(Point(at_s, value, life))
    return points


def test_a_leak_is_found_through_noise_and_restarts() -> None:
    assert growth(series(60), RUN_S) == pytest.approx(60, rel=0.1)
    assert growth(series(60, restart_every_s=600), RUN_S) > soak.MEMORY_MIB


def test_noise_warming_up_and_restarts_are_no_leak() -> None:
    assert abs(growth(series(0), RUN_S)) < soak.MEMORY_MIB / 10
    assert abs(growth(series(0, restart_every_s=600), RUN_S)) < soak.MEMORY_MIB / 2
    assert growth([], RUN_S) == 0
    assert growth([Point(0, 1), Point(60, 500)], RUN_S) == 0, "two samples say nothing"


def made_up_samples() -> list[Sample]:
    return [
        Sample(
            at_s,
            (ProcessSample("collect", 7, 90 + at_s / 10, 30, 9), ProcessSample("worker", 8, 70, 20, 5)),
            None if at_s == 20 else 12,
            1_000_000,
        )
        for at_s in range(0, 100, 10)
    ]


class Harmless(Faults):
    """Takes its turns and does nothing."""

    def collector_killed(self) -> None: ...

    def store_killed(self) -> None: ...

    def processes_replaced(self) -> None: ...

    def store_frozen(self) -> None: ...

    def spool_full(self) -> None: ...


def test_each_fault_has_its_turn_and_processes_can_be_spared(tmp_path: Path) -> None:
    faults = Harmless(Mock(FootfallServer), Mock(KeptClickHouse), tmp_path / "batch.yaml", time.monotonic())
    for spares_processes in (False,) * 6 + (True,) * 4:
        faults.next(spares_processes=spares_processes)
    of_the_store = ["store killed", "store frozen", "spool full"]
    assert [fault.name for fault in faults.happened] == [
        "collector killed", "store killed", "processes replaced", "store frozen", "spool full",
        "collector killed", *of_the_store, "store killed",
    ]  # fmt: skip


def test_the_report_needs_nothing_else_and_names_each_fault() -> None:
    latencies = [{"at_s": float(at_s), "p50_us": 300.0, "p99_us": 4_000.0} for at_s in range(0, 100, 10)]
    faults = [Happened("store killed", 30, 34)]
    verdicts = [("soak_lost_or_doubled", 0.0, "≤ 0", "kept")]
    html = soak_page("Soak", "100 s <b>", made_up_samples(), latencies, faults, verdicts)
    assert_self_contained(html)
    assert "<title>store killed</title>" in html
    assert "100 s &lt;b&gt;" in html
    for name in ("collect", "worker", "Active parts", "Spool", "p99"):
        assert name in html


def assert_self_contained(html: str) -> None:
    """No script, nothing fetched, and both colour schemes."""
    assert not re.search(r"<script|<link|<img|https?://|url\(|\son\w+=", html)
    assert "prefers-color-scheme: dark" in html


def test_a_plot_has_gaps_where_nothing_was_measured() -> None:
    drawn = plot("Parts", "seconds", [Line("parts", [(0, 1), (1, 2), (2, None), (3, 4), (4, 5)])], [Span(1, 2, "<x>")])
    assert drawn.count("<polyline") == 2
    assert "&lt;x&gt;" in drawn
    assert "nothing was measured" in plot("Empty", "seconds", [Line("none", [(0, None)])])
    assert plot("Log", "rows", [Line("a", [(10, 1), (1_000, 2)])], log_x=True).count("<polyline") == 1
    assert section("S", table(("a", "b"), [("x", 1_234.5), ("y", None)])).count("<td>") == 4
    assert [tick(value) for value in (1_500_000, 25_000, 4_000, 0.5)] == ["1.5 M", "25 k", "4,000", "0.5"]
    assert page("T", "i", []).startswith("<!doctype html>")


def test_the_rate_goes_down_until_it_is_kept_up_with() -> None:
    asked = []

    class Kept:
        """An outcome that is slow above 3,000 hits a second."""

        answered = due = answered_per_s = 10_000

        def __init__(self, rate_per_s: float) -> None:
            self.latency = self
            self._p99_us = 900_000 if rate_per_s > 3_000 else 2_000

        def get_value_at_percentile(self, _share: float) -> int:
            return self._p99_us

    def attack(rate_per_s: float) -> Outcome:
        asked.append(round(rate_per_s))
        return Kept(rate_per_s)  # type: ignore[return-value]

    assert round(soak.sustained_rate(attack, lambda: None)) == 2_867
    assert asked == [0, 0, 7_000, 5_600, 4_480, 3_584, 2_867]
