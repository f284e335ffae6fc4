"""The timed form of bench/micro refuses builds that mean nothing; `make test` itself collects it untimed."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bench.micro.conftest import refuse_other_builds

ROOT = Path(__file__).resolve().parents[2]


def test_steps_of_other_builds_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rust_ext.build_profile", lambda: "debug")
    with pytest.raises(pytest.exit.Exception, match="rust_ext is a debug build") as refused:
        refuse_other_builds()
    assert refused.value.returncode == 2


def test_all_tests_run_each_step_once() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert "bench/micro" in options["testpaths"]
    assert "--benchmark-disable" in options["addopts"]
    assert "pytest -q bench/micro --benchmark-enable" in (ROOT / "Makefile").read_text()
