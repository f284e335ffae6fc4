"""Intervals against known data, a made-up regression, what callgrind writes, and what cannot be compared."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.__main__ import main as bench_main
from bench.compare import builds, command
from bench.compare.builds import ROOT, Build, BuildError, built, commit_of, sources_of
from bench.compare.callgrind import Count, NoValgrindError, compare_counts, count_paths, moved_functions, read_profile
from bench.compare.inputs import write_inputs
from bench.compare.intervals import Compared, Interval, t_95
from bench.compare.probe import PATHS, Record, prepare, read_requests
from bench.compare.timed import Round, Starter, compare_blocks, running_probe

THIS = Build("base", "0" * 40, ROOT)


def test_the_interval_is_students_over_logarithms() -> None:
    """Logarithms 0.01 to 0.05: mean 0.03, deviation 0.0158114, t(4) 2.776, so 0.03 \u00b1 0.0196296."""
    found = Interval.of([2.718281828459045**log for log in (0.01, 0.02, 0.03, 0.04, 0.05)])
    assert found.ratio == pytest.approx(1.0304545, abs=1e-6)
    assert found.low == pytest.approx(1.0104244, abs=1e-6)
    assert found.high == pytest.approx(1.0508817, abs=1e-6)


def test_ratios_upwards_and_downwards_are_treated_alike() -> None:
    ratios = [1.1, 0.97, 1.04, 1.2]
    there, back = Interval.of(ratios), Interval.of([1 / ratio for ratio in ratios])
    assert (back.ratio, back.low, back.high) == pytest.approx((1 / there.ratio, 1 / there.high, 1 / there.low))


@pytest.mark.parametrize(("degrees", "wanted"), [(1, 12.706), (9, 2.262), (22, 2.086), (1_000, 1.960)])
def test_t_between_rows_is_the_wider_one(degrees: int, wanted: float) -> None:
    assert t_95(degrees) == wanted


def test_one_ratio_has_no_interval() -> None:
    with pytest.raises(ValueError, match="at least two"):
        t_95(0)


@pytest.mark.slow
def test_the_interval_holds_the_truth_in_95_of_100() -> None:
    source = random.Random(5)
    held = 0
    for _ in range(2_000):
        found = Interval.of([source.lognormvariate(0.05, 0.02) for _ in range(10)])
        held += found.low <= 2.718281828459045**0.05 <= found.high
    assert 0.93 < held / 2_000 < 0.97


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        (Interval(1.05, 1.01, 1.09), "REGRESSION"),
        (Interval(1.05, 0.99, 1.11), "within noise"),
        (Interval(1.02, 1.01, 1.03), "within noise"),
        (Interval(0.90, 0.85, 0.95), "faster"),
        (Interval.exact(1.0301), "REGRESSION"),
        (Interval.exact(1.03), "within noise"),
    ],
)
def test_a_regression_is_beyond_noise_and_surely_there(interval: Interval, verdict: str) -> None:
    assert Compared("x", 1, 1, "ns", interval, 0.03).verdict == verdict


def made_up(costs: dict[str, float], log: list[str]) -> Starter:
    """Builds that cost so much, on a machine that becomes slower by the minute and has moods."""
    chance, drift = random.Random(3), itertools.count()

    @contextmanager
    def start(side: str) -> Iterator[Round]:
        log.append(f"start {side}")

        def measured(_: str) -> float:
            log.append(side)
            return costs[side] * (1 + next(drift) / 100) * chance.lognormvariate(0, 0.005)

        yield measured

    return start


@pytest.mark.parametrize(("head", "verdict"), [(110.0, "REGRESSION"), (100.0, "within noise"), (90.0, "faster")])
def test_a_slower_build_is_found_and_a_slowing_machine_is_not(head: float, verdict: str) -> None:
    log: list[str] = []
    (found,) = compare_blocks({"x": "ns"}, made_up({"base": 100.0, "head": head}, log), blocks=6, noise=0.03)
    assert found.verdict == verdict
    assert found.interval.ratio == pytest.approx(head / 100, rel=0.01)
    assert log[:12] == [
        *("start base", "start head", "base", "head", "head", "base"),
        *("start head", "start base", "head", "base", "base", "head"),
    ]


PROFILE = """\
version: 1
summary: 100

fl=a.rs
fn=crate::parse::h0123456789abcdef
12 40
cfn=memchr
calls=3 0
12 25
13 10

fn=memchr
0 25
0 25
"""


def test_what_a_callee_takes_is_not_its_callers() -> None:
    total, functions = read_profile(PROFILE)
    assert total == 100
    assert functions == {"crate::parse": 50, "memchr": 50}


def test_counts_are_compared_per_item_and_functions_listed() -> None:
    base = Count(1_000, 10, Counter(parse=600, hash=400))
    head = Count(2_400, 20, Counter(parse=1_200, hash=800, extra=400))
    (found,) = compare_counts({"record": base}, {"record": head}, noise=0.01)
    assert (found.base, found.head, found.verdict) == (100, 120, "REGRESSION")
    assert moved_functions(base, head, count=1) == [("parse", 60, 60), ("extra", 0, 20)]


def test_without_valgrind_a_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoValgrindError, match="apt-get install valgrind"):
        count_paths(THIS, tmp_path, ["record"])


def test_the_probe_measures_this_checkout(tmp_path: Path) -> None:
    """As both builds are: prepared, started, asked for each path."""
    write_inputs(tmp_path, counted=True)
    prepare(tmp_path)
    assert sum(group.count(b"POST /api/event ") for group in read_requests(tmp_path)) == 3_200
    with running_probe(THIS, tmp_path) as measured:
        for path in PATHS:
            assert 0 < measured(path) < 1e6


def test_a_probe_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    with running_probe(THIS, tmp_path) as measured, pytest.raises(RuntimeError, match="failed at record"):
        measured("record")


def test_the_probe_refuses_another_builds_modules(tmp_path: Path) -> None:
    elsewhere = Build("head", "0" * 40, tmp_path)
    done = subprocess.run(
        elsewhere.probe("serve", tmp_path), env=THIS.environment, input="", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert f"is not of {tmp_path}" in done.stderr


def test_every_answer_of_the_probe_is_asserted(tmp_path: Path) -> None:
    write_inputs(tmp_path, counted=True)
    prepare(tmp_path)
    sound = (tmp_path / "requests.bin").read_bytes()
    (tmp_path / "requests.bin").write_bytes(sound.replace(b'"d":"example.com"', b'"d":{}           ', 1))
    path = Record(tmp_path, str(tmp_path / "spool"))
    assert path.run() == 3_200
    with pytest.raises(AssertionError, match=r"\(3199, 3200\)"):
        path.finish()


def test_what_is_no_commit_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BuildError, match="'no-such-branch' is no commit"), built("base", "no-such-branch", tmp_path):
        pass
    assert bench_main(["compare", "no-such-branch", "HEAD"]) == 2
    assert "is no commit" in capsys.readouterr().err


def test_a_build_that_was_kept_is_not_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    monkeypatch.setattr(builds, "KEPT", kept)
    monkeypatch.setattr(builds, "compile_extensions", lambda build, cpu: pytest.fail("built again"))
    products = kept / "built" / f"{sources_of(commit_of('HEAD'))}-release"
    (products / "rust_ext").mkdir(parents=True)
    (products / "rust_ext" / "rules.pack").write_text("rules")
    (products / "complete").touch()
    with built("base", "HEAD", tmp_path / "tree") as build:
        assert (build.folder / "rust_ext" / "rules.pack").read_text() == "rules"
        assert (build.folder / "rust_ext" / "Cargo.toml").exists()
    assert not (tmp_path / "tree").exists()
    assert str(tmp_path / "tree") not in builds.git("worktree", "list")


@pytest.mark.parametrize(
    "arguments", [["HEAD", "--blocks", "1"], ["HEAD", "--paths", "x"], ["HEAD", "--instructions", "--paths", "front"]]
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.parse(arguments)
    assert "error: --" in capsys.readouterr().err


def test_a_regression_is_printed_and_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    counts = (
        {"record": Count(1_000, 10, Counter(parse=1_000))},
        {"record": Count(1_020, 10, Counter(parse=1_000, new=20))},
    )

    @contextmanager
    def no_build(name: str, revision: str, folder: Path, *, cpu: str) -> Iterator[Build]:
        assert cpu == "x86-64-v3"
        yield Build(name, commit_of(revision), folder)

    monkeypatch.setattr(command, "built", no_build)
    monkeypatch.setattr(command, "counted", lambda *_: counts)
    assert command.main(["HEAD", "HEAD", "--instructions", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "REGRESSION"
    assert command.main(["HEAD", "HEAD", "--instructions"]) == 1
    assert "new" in capsys.readouterr().out
    assert command.main(["HEAD", "HEAD", "--instructions", "--noise", "0.03"]) == 0
