"""A job in real processes: killed halfway by SIGKILL, and run by two processes at once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text

from jobs import state
from jobs.job import Shard
from server.app_database import open_app_database, reading, writing
from server.clock import DAY_MS, now_ms
from server.config import Settings
from server.models import JobRun

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def engine(sqlite_settings: Settings) -> Iterator[Engine]:
    engine = open_app_database(sqlite_settings)
    with writing(engine) as session:
        session.execute(text("CREATE TABLE counted (number INTEGER PRIMARY KEY)"))
    state.register(engine, "count", Shard(), now_ms() - 400 * DAY_MS)
    yield engine
    engine.dispose()


@contextmanager
def counting(settings: Settings, number: int, pause_ms: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.jobs.counting_program", str(settings.data_dir), str(number), str(pause_ms)]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def counted(engine: Engine) -> list[int]:
    with reading(engine) as session:
        return list(session.execute(text("SELECT number FROM counted ORDER BY number")).scalars())


def runs(engine: Engine) -> list[tuple[str, int]]:
    """Outcome and attempt of each run that was begun."""
    with reading(engine) as session:
        begun = select(JobRun.outcome, JobRun.attempt).where(JobRun.outcome != "covered").order_by(JobRun.run_id)
        return [(outcome, attempt) for outcome, attempt in session.execute(begun)]


def test_a_killed_job_goes_on_where_it_was(sqlite_settings: Settings, engine: Engine) -> None:
    with counting(sqlite_settings, 1000, pause_ms=10) as first:
        deadline_s = time.monotonic() + 30
        while len(counted(engine)) < 20:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        first.kill()
        first.wait(10)
    half = len(counted(engine))
    assert 20 <= half < 1000
    assert runs(engine) == [("running", 1)]
    with counting(sqlite_settings, 1000, pause_ms=0) as second:
        output, _ = second.communicate(timeout=60)
    assert output.split() == ["begin", "succeeded", str(1000 - half)]
    assert counted(engine) == list(range(1, 1001))
    assert runs(engine) == [("abandoned", 1), ("succeeded", 2)]


def test_two_processes_at_once_count_once(sqlite_settings: Settings, engine: Engine) -> None:
    with (
        counting(sqlite_settings, 60, pause_ms=5) as first,
        counting(sqlite_settings, 60, pause_ms=5) as second,
    ):
        outputs = [process.communicate(timeout=60)[0].split() for process in (first, second)]
    assert sorted(outputs) == [["begin"], ["begin", "succeeded", "60"]]
    assert counted(engine) == list(range(1, 61))
    assert runs(engine) == [("succeeded", 1)]
