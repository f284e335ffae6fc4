"""`footfall jobs …` as people and CronJobs call it."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, select, update

from jobs import commands, schedule
from jobs.context import JobContext
from jobs.job import CatchUp, Job, shown_time
from jobs.schedule import JOBS
from server.app_database import open_app_database, reading, writing
from server.cli import program
from server.clock import now_ms
from server.config import Settings
from server.models import JobRun, JobState
from tests.jobs.doubles import HOUR_MS, MINUTE_MS
from tests.services.healthchecks import API_KEY, running_healthchecks

CHECKOUT = Path(__file__).resolve().parents[2]
FOOTFALL = (sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())")


@pytest.fixture
def settings(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("FOOTFALL_DATA_DIR", str(sqlite_settings.data_dir))
    root, handlers = logging.getLogger(), logging.getLogger().handlers[:]
    level, term, interrupt = root.level, signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    yield sqlite_settings
    root.handlers[:] = handlers
    root.setLevel(level)
    signal.signal(signal.SIGTERM, term)
    signal.signal(signal.SIGINT, interrupt)


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = open_app_database(settings)
    yield engine
    engine.dispose()


def footfall(*arguments: str) -> Result:
    return CliRunner().invoke(program, list(arguments))


def change(engine: Engine, job: str, **values: Any) -> None:
    footfall("jobs", "list")
    with writing(engine) as session:
        session.execute(update(JobState).where(JobState.job == job).values(**values))


def runs(engine: Engine, job: str) -> list[JobRun]:
    with reading(engine) as session:
        return list(session.execute(select(JobRun).where(JobRun.job == job).order_by(JobRun.run_id)).scalars())


def install(monkeypatch: pytest.MonkeyPatch, *jobs: Job) -> None:
    """Another job table for the commands."""
    monkeypatch.setattr(schedule, "JOBS", jobs)


def job(function: Any, **more: Any) -> Job:
    values: dict[str, Any] = {"deadline_s": 60, "monitor": "", "catch_up": CatchUp.EACH, "late_after_s": 9999}
    return Job("test", "* * * * *", function, **{**values, **more})


def test_nothing_is_due_on_a_fresh_installation(settings: Settings) -> None:
    done = footfall("jobs", "run", "salts")
    assert done.exit_code == 0, done.output
    assert done.output.startswith("salts: nothing is due; the next time is 20")


def test_what_is_due_is_run_and_shown(engine: Engine) -> None:
    change(engine, "salts", settled_until_ms=now_ms() - 3 * HOUR_MS)
    done = footfall("jobs", "run", "salts")
    assert (done.exit_code, done.output.count("done, 1 rows")) == (0, 1)
    again = footfall("jobs", "run", "salts")
    assert "nothing is due" in again.output
    listed = {line["job"]: line for line in json.loads(footfall("jobs", "list", "--json").output)}
    assert listed.keys() == {job.name for job in JOBS}
    assert (listed["salts"]["outcome"], listed["salts"]["rows"], listed["tidy"]["outcome"]) == ("succeeded", 1, None)
    assert listed["salts"]["next_due"] == shown_time(JOBS[0].due_after(now_ms()))
    history = json.loads(footfall("jobs", "history", "salts", "--json").output)
    assert sorted(line["outcome"] for line in history) == ["covered", "covered", "succeeded"]
    assert len(json.loads(footfall("jobs", "history", "salts", "--json", "--limit", "1").output)) == 1
    for table in (footfall("jobs", "list"), footfall("jobs", "history", "salts")):
        assert table.exit_code == 0
        assert "succeeded" in table.output
        assert "0/1" in table.output


def test_a_past_due_time_is_run_again_by_hand(engine: Engine) -> None:
    for at in ("2026-11-20T03:23:00Z", "2026-11-20T03:23", "2026-11-20T04:23:00+01:00"):
        done = footfall("jobs", "run", "tidy", "--at", at)
        assert (done.exit_code, done.output) == (0, "tidy 2026-11-20T03:23:00Z: done, 0 rows\n")
    assert [(run.is_manual, shown_time(run.due_at_ms)) for run in runs(engine, "tidy")] == [
        (True, "2026-11-20T03:23:00Z")
    ] * 3
    assert json.loads(footfall("jobs", "history", "tidy", "--json").output)[0]["by_hand"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tiddy",), f"there is no job 'tiddy'; known: {', '.join(sorted(job.name for job in JOBS))}"),
        (("tidy", "--at", "yesterday"), "yesterday"),
        (("tidy", "--at", "2026-11-20"), "the times around it are 2026-11-19T03:23:00Z and 2026-11-20T03:23:00Z"),
        (("tidy", "--at", "2999-11-20T03:23"), "has not come yet"),
        (("tidy", "--shard", "1/2"), "tidy runs in one piece"),
        (("tidy", "--shard", "x"), "expected i/n"),
    ],
)
def test_a_wrong_option_is_said(settings: Settings, arguments: tuple[str, ...], said: str) -> None:
    done = footfall("jobs", "run", *arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_a_lock_that_somebody_keeps_is_waited_for_and_named(engine: Engine) -> None:
    change(
        engine,
        "salts",
        settled_until_ms=now_ms() - 3 * HOUR_MS,
        lock_token="pod-7:42:0123456789",
        lock_until_ms=now_ms() + HOUR_MS,
    )
    for arguments in ((), ("--at", shown_time(JOBS[0].latest_due(now_ms())))):
        done = footfall("jobs", "run", "salts", "--wait", "0", *arguments)
        assert (done.exit_code, done.output) == (1, "salts: it is being run by pod-7:42; waited 0 s\n")
    listed = json.loads(footfall("jobs", "list", "--json").output)[0]
    assert (listed["job"], listed["running_by"]) == ("salts", "pod-7:42")
    change(engine, "salts", lock_until_ms=now_ms() + 300)
    done = footfall("jobs", "run", "salts", "--wait", "30")
    assert (done.exit_code, "done, 1 rows" in done.output) == (0, True)


def test_a_failure_is_tried_again_and_then_said(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def fail(context: JobContext) -> int:
        calls.append(context.attempt)
        context.progress(3, "three of it")
        raise ValueError("it broke")

    install(monkeypatch, job(fail, attempts=2))
    monkeypatch.setattr("jobs.limits.JobLimits.retry_ms", lambda self, attempt: 200)
    change(engine, "test", settled_until_ms=now_ms() - now_ms() % MINUTE_MS - MINUTE_MS)
    done = footfall("jobs", "run", "test")
    assert (done.exit_code, calls) == (1, [1, 2])
    assert "failed (attempt 1 of 2): ValueError: it broke" in done.output
    assert "tried again at" in done.output
    assert "failed (attempt 2 of 2): ValueError: it broke" in done.output
    by_hand = footfall("jobs", "run", "test", "--at", shown_time(now_ms() - now_ms() % MINUTE_MS))
    assert by_hand.exit_code == 1


def test_all_pieces_are_run_or_the_one_that_is_named(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def note(context: JobContext) -> int:
        seen.append(str(context.shard))
        return 1

    install(monkeypatch, job(note, shards=3, catch_up=CatchUp.LATEST))
    change(engine, "test", settled_until_ms=now_ms() - HOUR_MS)
    assert footfall("jobs", "run", "test", "--shard", "1/3").exit_code == 0
    assert seen == ["1/3"]
    done = footfall("jobs", "run", "test")
    assert done.exit_code == 0
    assert seen == ["1/3", "0/3", "2/3"]
    assert "test 2/3 20" in done.output
    at = shown_time(now_ms() - now_ms() % MINUTE_MS)
    assert footfall("jobs", "run", "test", "--shard", "2/3", "--at", at).exit_code == 0
    assert seen[-1] == "2/3"


def test_a_signal_stops_a_run_that_another_one_does_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(context: JobContext) -> int:
        if len(runs(engine, "test")) == 1:
            signal.raise_signal(signal.SIGTERM)
        context.progress(1)
        return 1

    install(monkeypatch, job(work, catch_up=CatchUp.LATEST))
    change(engine, "test", settled_until_ms=now_ms() - HOUR_MS)
    done = footfall("jobs", "run", "test")
    assert (done.exit_code, done.output.splitlines()[-1]) == (1, "test: stopped")
    assert footfall("jobs", "run", "test").exit_code == 0
    assert [(run.outcome, run.attempt) for run in runs(engine, "test")][:2] == [("abandoned", 1), ("succeeded", 1)]


def test_a_run_whose_process_died_is_not_shown_as_running(engine: Engine) -> None:
    change(engine, "salts", lock_token="pod-7:42:0123456789", lock_until_ms=now_ms() - 1)
    with writing(engine) as session:
        run = {"job": "salts", "shard": "0/1", "due_at_ms": 1, "lock_token": "pod-7:42:0123456789"}
        session.add(JobRun(**run, started_at_ms=now_ms() - HOUR_MS, error="past its deadline"))
    assert json.loads(footfall("jobs", "list", "--json").output)[0]["outcome"] == "abandoned"
    change(engine, "salts", lock_until_ms=now_ms() + HOUR_MS)
    listed = json.loads(footfall("jobs", "list", "--json").output)[0]
    assert listed["outcome"] == "running, past its deadline"


def test_checks_are_made_by_command(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_healthchecks() as monitor:
        monkeypatch.setenv("FOOTFALL_MONITOR_API_URL", monitor.api_url)
        monkeypatch.setenv("FOOTFALL_MONITOR_API_KEY", API_KEY)
        assert footfall("jobs", "monitors").output.splitlines()[0] == "made: footfall-salts (3 * * * *)"
        assert footfall("jobs", "monitors").output.splitlines()[0].startswith("brought up to date: footfall-salts")
        monkeypatch.setenv("FOOTFALL_MONITOR_API_KEY", "another")
        refused = footfall("jobs", "monitors")
        assert (refused.exit_code, refused.output.count("\n")) == (1, 1)


def test_an_app_database_that_is_away_is_said_in_one_line(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOOTFALL_APP_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/none")
    done = footfall("jobs", "run", "salts")
    assert done.exit_code == 1
    assert done.output.startswith("Error: the app database does not answer")
    assert "hunter2" not in done.output


def test_two_commands_at_once_run_what_is_due_once(settings: Settings, engine: Engine) -> None:
    change(engine, "salts", settled_until_ms=now_ms() - 3 * HOUR_MS)
    processes = [
        subprocess.Popen(
            [*FOOTFALL, "jobs", "run", "salts"],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert [run.outcome for run in runs(engine, "salts")].count("succeeded") == 1
    assert sorted("done, 1 rows" in output for output in outputs) == [False, True]


def test_a_worker_without_threads_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run(
        [*FOOTFALL, "worker"],
        cwd=CHECKOUT,
        env={"FOOTFALL_WORKER_THREADS": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        2,
        "FOOTFALL_WORKER_THREADS=0 is not allowed: expected at least 1 for a worker\n",
    )
    assert commands.LOCK_WAIT_S * 1000 > 60_000
