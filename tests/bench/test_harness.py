"""The harness judges budgets, pairs rounds and refuses what it must."""

from __future__ import annotations

import os

import pytest

from bench import harness, suites
from bench.__main__ import suite_names, suites_of_all, table_row
from bench.harness import Budget, Cpus, Result, Run


@pytest.fixture
def run() -> Run:
    return Run(cpus=Cpus(server=0, client=0), rounds=3)


def test_compare_measures_alternately_after_one_warm_round(run: Run) -> None:
    order: list[str] = []

    def measured(name: str, value: float) -> float:
        order.append(name)
        return value

    result = run.compare(
        "x", lambda: measured("ours", 30.0), lambda: measured("theirs", 10.0), unit="hits/s", at_least=3
    )
    assert (result.ours, result.theirs, result.ratio, result.kept) == (30.0, 10.0, 3.0, True)
    assert order == ["ours", "theirs", "ours", "theirs", "theirs", "ours", "ours", "theirs"]


def test_ratio_of_costs_is_theirs_by_ours(run: Run) -> None:
    result = run.compare("x", lambda: 2.0, lambda: 10.0, unit="us", better="less", at_least=6)
    assert result.ratio == 5.0
    assert result.kept is False


def test_ratio_is_the_median_of_the_rounds_own_ratios(run: Run) -> None:
    ours = iter([1.0, 10.0, 40.0, 30.0])
    theirs = iter([1.0, 5.0, 10.0, 10.0])
    result = run.compare("x", lambda: next(ours), lambda: next(theirs), unit="rows/s")
    assert result.rounds == ((10.0, 5.0), (40.0, 10.0), (30.0, 10.0))
    assert result.ratio == 3.0


def test_figure_has_no_peer_and_bounds_ours(run: Run) -> None:
    result = run.figure("record_us", lambda: 1.25, unit="us", at_most=1.5)
    assert (result.theirs, result.ratio, result.kept) == (None, None, True)
    assert result.as_json()["ratio"] is None


@pytest.mark.parametrize(
    ("budget", "value", "holds"),
    [
        (Budget(0.7, "at_least"), 0.7, True),
        (Budget(0.7, "at_least"), 0.69, False),
        (Budget(150, "at_most"), 150, True),
        (Budget(150, "at_most"), 151, False),
    ],
)
def test_budget_includes_its_bound(budget: Budget, value: float, holds: bool) -> None:
    assert budget.holds(value) is holds


def test_json_line_has_the_five_keys_first() -> None:
    result = Result("a", 123456.0, 2.0, 61728.0, "hits/s", Budget(1, "at_least"), notes={"build": "quick"})
    line = result.as_json()
    assert list(line)[:5] == ["name", "ours", "theirs", "ratio", "unit"]
    assert line["ours"] == 123500
    assert line["build"] == "quick"
    assert "kept" in table_row(result)


@pytest.mark.parametrize(
    ("module", "profile"), [("rust_ext", "debug"), ("rust_ext", "quick"), ("core_ext.native", "checked")]
)
def test_other_builds_are_refused_or_named(monkeypatch: pytest.MonkeyPatch, module: str, profile: str) -> None:
    monkeypatch.setattr(f"{module}.build_profile", lambda: profile)
    with pytest.raises(harness.WrongBuildError, match=profile):
        harness.require_release_build(any_build=False)
    assert harness.require_release_build(any_build=True) == {"build": profile}


def test_pinned_restores_the_cpus() -> None:
    before = os.sched_getaffinity(0)
    with harness.pinned(harness.choose_cpus().server):
        assert os.sched_getaffinity(0) == {harness.choose_cpus().server}
    assert os.sched_getaffinity(0) == before


def test_cpu_cost_is_the_inverse_of_the_rate() -> None:
    def work() -> int:
        return len([None for _ in range(200_000)])

    assert 0 < harness.cpu_cost(work) < 1e5
    assert harness.cpu_rate(work) > 1e4


def test_machine_tells_no_name_or_address() -> None:
    assert set(harness.machine()) == {"cpu", "cpus", "memory_gib", "kernel", "python"}


def test_every_suite_has_a_measure_function() -> None:
    import importlib

    for name in suite_names():
        assert callable(importlib.import_module(f"bench.suites.{name}").measure)


def test_all_leaves_out_the_suites_that_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "front" in suites_of_all()
    monkeypatch.setattr("bench.suites.front.IN_ALL", False, raising=False)
    assert "front" not in suites_of_all()
    assert "front" in suite_names()
    assert suites.__doc__ is not None
    assert "IN_ALL" in suites.__doc__
