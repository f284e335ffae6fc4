"""Reports to a monitor in healthchecks.io's shape, and the checks made there."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from jobs import monitors
from jobs.context import JobContext
from jobs.job import CatchUp, Job, Shard
from jobs.limits import JobLimits
from jobs.monitors import MonitorRefused, Monitors, check_name, make_checks
from jobs.runner import JobRunner, Piece
from jobs.schedule import JOBS
from jobs.state import Run
from server.config import SettingError, Settings, load_settings
from tests.jobs.doubles import NOON_MS, AlertBook, Clock, services_of
from tests.services.healthchecks import API_KEY, PING_KEY, Healthchecks, running_healthchecks


@pytest.fixture
def monitor() -> Iterator[Healthchecks]:
    with running_healthchecks() as running:
        yield running


@pytest.fixture
def settings(sqlite_settings: Settings, monitor: Healthchecks) -> Settings:
    return load_settings(
        data_dir=sqlite_settings.data_dir,
        monitor_ping_url=monitor.ping_url,
        monitor_api_url=monitor.api_url,
        monitor_api_key=API_KEY,
    )


def job(function: Any = None, **more: Any) -> Job:
    values: dict[str, Any] = {"deadline_s": 60, "monitor": "test", "catch_up": CatchUp.EACH, "late_after_s": 120}
    return Job("test", "*/10 * * * *", function or (lambda context: 7), **{**values, **more})


def run(shard: Shard = Shard(), *, is_manual: bool = False) -> Run:  # noqa: B008 - frozen
    return Run(1, "test", shard, NOON_MS, is_manual, 1, "token", NOON_MS, NOON_MS)


def test_a_run_is_reported_at_its_start_and_its_end(settings: Settings, engine: Engine, monitor: Healthchecks) -> None:
    make_checks(settings, [job()])
    clock = Clock()

    def work(context: JobContext) -> int:
        assert [ping.what for ping in monitor.pings] == ["start"]
        return 7

    runner = JobRunner(services_of(engine, settings, AlertBook()), [job(work)], clock=clock)
    runner.tick()
    clock.advance(600)
    assert runner.run_next(Piece(runner.job("test"), Shard())) is not None
    assert [(ping.slug, ping.what, ping.body) for ping in monitor.pings] == [
        ("test", "start", ""),
        ("test", "success", "7 rows"),
    ]
    assert len({ping.run_id for ping in monitor.pings}) == 1
    runner.run_at(Piece(runner.job("test"), Shard()), NOON_MS)
    assert len(monitor.pings) == 2, "a run by hand is not reported"


def test_only_what_is_given_up_is_reported_as_failed(settings: Settings, engine: Engine, monitor: Healthchecks) -> None:
    def fail(context: JobContext) -> int:
        raise ValueError("it broke")

    make_checks(settings, [job()])
    clock = Clock()
    services = services_of(engine, settings, AlertBook())
    runner = JobRunner(services, [job(fail, attempts=2)], clock=clock, limits=JobLimits())
    runner.tick()
    clock.advance(600)
    runner.run_next(Piece(runner.job("test"), Shard()))
    assert [ping.what for ping in monitor.pings] == ["start"]
    clock.advance(60)
    runner.run_next(Piece(runner.job("test"), Shard()))
    assert [(ping.what, ping.body) for ping in monitor.pings][1:] == [("start", ""), ("fail", "ValueError")]
    assert monitor.pings[0].run_id != monitor.pings[1].run_id == monitor.pings[2].run_id


@pytest.mark.parametrize("status", [301, 404, 409, 500, 503])
def test_a_monitor_that_refuses_costs_nothing(
    settings: Settings, monitor: Healthchecks, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    monitor.answers_with = status
    with caplog.at_level(logging.DEBUG):
        Monitors(settings).ping_of(job(), run()).started()
    assert monitor.requests == (2 if status >= 500 else 1)
    (line,) = [record for record in caplog.records if record.name == "jobs.monitors"]
    assert vars(line)["reason"] == f"status {status}"
    assert PING_KEY not in caplog.text + str([vars(record) for record in caplog.records])


def test_a_monitor_that_is_away_delays_a_run_by_seconds_at_most(
    settings: Settings, monitor: Healthchecks, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(monitors, "REPORT_TIMEOUT_S", 0.1)
    monitor.hangs_s = 5.0
    ping = Monitors(settings).ping_of(job(), run())
    began_s = time.monotonic()
    with caplog.at_level(logging.DEBUG):
        ping.succeeded(1)
    assert time.monotonic() - began_s < 4.0
    nobody = load_settings(data_dir=settings.data_dir, monitor_ping_url=f"http://127.0.0.1:1/{PING_KEY}")
    with caplog.at_level(logging.DEBUG):
        Monitors(nobody).ping_of(job(), run()).succeeded(1)
    assert [vars(line)["reason"] for line in caplog.records if line.name == "jobs.monitors"] == [
        "ReadTimeoutError",
        "NewConnectionError",
    ]
    assert PING_KEY not in caplog.text + str([vars(record) for record in caplog.records])


def test_a_name_server_that_is_away_is_not_waited_for(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()

    def hang(*arguments: object, **more: object) -> Any:
        given_up.wait(5.0)
        raise socket.gaierror("away")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(monitors, "REPORT_WAIT_S", 0.1)
    began_s = time.monotonic()
    Monitors(settings).ping_of(job(), run()).started()
    assert time.monotonic() - began_s < 4.0
    given_up.set()
    for thread in threading.enumerate():
        if thread.name == "monitor-report":
            thread.join(10)


def test_pieces_have_checks_of_their_own(settings: Settings, monitor: Healthchecks) -> None:
    cut = job(shards=2)
    make_checks(settings, [cut])
    assert [check["slug"] for check in monitor.checks] == ["test-0", "test-1"]
    Monitors(settings).ping_of(cut, run(Shard(1, 2))).started()
    assert [ping.slug for ping in monitor.pings] == ["test-1"]


def test_without_a_monitor_nothing_is_sent(tmp_path: Path, settings: Settings, monitor: Healthchecks) -> None:
    Monitors(load_settings(data_dir=tmp_path)).ping_of(job(), run()).started()
    Monitors(settings).ping_of(job(monitor=""), run()).started()
    assert make_checks(settings, [job(monitor="")]) == []
    assert monitor.checks == []
    assert monitor.pings == []


def test_checks_are_made_once_and_then_brought_up_to_date(settings: Settings, monitor: Healthchecks) -> None:
    pieces = [check_name(line, shard) for line in JOBS for shard in line.pieces()]
    made = make_checks(settings, JOBS)
    assert [(check.name, check.is_new) for check in made] == [(name, True) for name in pieces]
    by_slug = {check["slug"]: check for check in monitor.checks}
    assert by_slug.keys() == set(pieces)
    tidy = by_slug["footfall-tidy"]
    assert (tidy["schedule"], tidy["tz"], tidy["grace"], tidy["channels"]) == ("23 3 * * *", "UTC", 5400, "*")
    tidy["channels"] = "only-me"
    tidy["schedule"] = "0 0 * * *"
    made = make_checks(settings, JOBS)
    assert [check.is_new for check in made] == [False] * len(pieces)
    assert len(monitor.checks) == len(pieces)
    assert (tidy["schedule"], tidy["channels"]) == ("23 3 * * *", "only-me")


def test_what_the_api_refuses_is_said_without_the_key(settings: Settings, monitor: Healthchecks) -> None:
    def refusal(**more: Any) -> str:
        with pytest.raises((MonitorRefused, SettingError)) as refused:
            make_checks(settings.model_copy(update=more), [job()])
        assert API_KEY not in str(refused.value)
        return str(refused.value)

    assert refusal(monitor_api_key="").startswith("FOOTFALL_MONITOR_API_KEY= is not allowed")
    assert "refuses the key" in refusal(monitor_api_key="wrong-key")
    assert "does not answer: NewConnectionError" in refusal(monitor_api_url="http://127.0.0.1:1")
    monitor.answers_with = 500
    assert "status 500" in refusal()
    monitor.answers_with = 302
    assert "status 302" in refusal()
    monitor.answers_with = 0
    monitor.raw_answer = b"<html>"
    assert "did not answer with JSON" in refusal()
    monitor.raw_answer = b"[]"
    assert "as documented" in refusal()
