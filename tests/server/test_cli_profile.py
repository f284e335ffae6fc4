"""`footfall profile`: of a live process, and of one question."""

from __future__ import annotations

import pstats
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from snakeviz.stats import json_stats, table_rows

from server.cli_profile import profile_group
from server.clickhouse_url import ClickHouseAddress
from server.config import Settings, load_settings
from server.process_profile import ProfileError, choose, live_processes, record

# What a process of ours looks like from outside, without what it costs to start one.
STAND_IN = """
import time
def count_for_ever():
    while True:
        sum(range(10_000))
count_for_ever()
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(profile_group, list(arguments), catch_exceptions=False)


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is named like a worker's, on a data folder of its own."""
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "__init__.py").touch()
    (tmp_path / "jobs" / "worker.py").write_text(STAND_IN)
    monkeypatch.setenv("FOOTFALL_DATA_DIR", str(tmp_path / "data"))
    process = subprocess.Popen([sys.executable, "-m", "jobs.worker", "--slot=worker"], cwd=tmp_path)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


def wait_for(settings: Settings) -> None:
    deadline_s = time.monotonic() + 20
    while not live_processes(settings):
        assert time.monotonic() < deadline_s, "it did not start"
        time.sleep(0.02)


def test_a_live_process_is_found_and_drawn(live: subprocess.Popen[bytes], tmp_path: Path) -> None:
    wait_for(load_settings())
    output = tmp_path / "flames.svg"
    done = run("--seconds=1", "--role=worker", f"--output={output}")
    assert done.exit_code == 0, done.output
    assert f"sampling process {live.pid} (worker) for 1 s" in done.stderr
    drawn = output.read_text()
    assert drawn.startswith("<?xml")
    assert "count_for_ever" in drawn


def test_processes_of_other_data_folders_are_not_ours(live: subprocess.Popen[bytes], tmp_path: Path) -> None:
    wait_for(load_settings())
    (found,) = live_processes(load_settings())
    assert (found.pid, found.role, found.slot) == (live.pid, "worker", "worker")
    assert live_processes(load_settings(data_dir=tmp_path / "another")) == []
    with pytest.raises(ProfileError, match=r"no collect process of .* runs here; running: worker"):
        choose(load_settings(), "collect")


def test_a_process_that_is_gone_is_said_in_one_line(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(20)
    with pytest.raises(ProfileError, match=f"py-spy did not profile process {ended.pid}: "):
        record(ended.pid, 1, tmp_path / "flames.svg")


@pytest.fixture
def question_settings(
    sqlite_settings: Settings, store_address: ClickHouseAddress, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A data folder with a site, and its tables."""
    from server.app_database import open_app_database
    from server.sites import add_site
    from server.store import configured_store

    monkeypatch.setenv("FOOTFALL_DATA_DIR", str(sqlite_settings.data_dir))
    monkeypatch.setenv("FOOTFALL_CLICKHOUSE_URL", str(store_address))
    settings = load_settings()
    engine = open_app_database(settings)
    add_site(engine, "example.com")
    engine.dispose()
    configured_store(settings).migrate()
    return settings


def test_a_question_s_profile_opens_in_snakeviz(question_settings: Settings, tmp_path: Path) -> None:
    output = tmp_path / "query.prof"
    done = run("query", "--site=example.com", f"--output={output}")
    assert done.exit_code == 0, done.output
    assert "1 rows in " in done.output
    stats = pstats.Stats(str(output))
    assert any("answer_document" in name for name in json_stats(stats))
    assert any("event_reader.py" in str(row) for row in table_rows(stats))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--site=nobody.example"], "there is no site 'nobody.example'"),
        ([], "the domain of a site is needed"),
        (["no JSON"], "no JSON: "),
        (["[1]"], "a JSON object is needed"),
        (['{"site_id": "example.com", "metrics": ["nonsense"], "date_range": "7d"}'], "nonsense"),
    ],
)
def test_a_question_that_cannot_be_asked_is_said_in_one_line(
    question_settings: Settings, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = run("query", f"--output={tmp_path / 'query.prof'}", *arguments)
    assert done.exit_code != 0
    assert said in done.output
