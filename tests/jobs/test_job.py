"""The job table's lines: when a job is due, into what it is cut, and what is refused."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.context import JobContext
from jobs.job import CatchUp, Job, JobRefused, Shard, ShardRefused, shown_time
from jobs.schedule import JOBS
from tests.jobs.doubles import HOUR_MS, MINUTE_MS, NOON_MS

DAY_MS = 24 * HOUR_MS


def nothing(context: JobContext) -> int:
    return 0


def job(schedule: str = "5 * * * *", **more: Any) -> Job:
    given_values: dict[str, Any] = {"deadline_s": 60, "monitor": "", "catch_up": CatchUp.EACH, "late_after_s": 60}
    return Job("test", schedule, nothing, **{**given_values, **more})


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def test_due_times_are_those_of_cron_in_utc() -> None:
    daily = job("30 2 * * *")
    assert shown_time(daily.due_after(NOON_MS)) == "2026-11-24T02:30:00Z"
    assert shown_time(daily.latest_due(NOON_MS)) == "2026-11-23T02:30:00Z"
    assert daily.is_due_at(ms("2026-11-23T02:30"))
    assert not daily.is_due_at(ms("2026-11-23T02:31"))
    assert not daily.is_due_at(ms("2026-11-23T02:30") + 1)


def test_a_change_of_clocks_neither_skips_nor_repeats_a_due_time() -> None:
    """Around the nights in which 02:30 does not exist, or comes twice, in Europe/Berlin."""
    daily = job("30 2 * * *")
    for night in ("2026-03-29", "2026-10-25"):
        day_ms = ms(f"{night}T00:00")
        dues = list(daily.due_between(day_ms - DAY_MS, day_ms + 2 * DAY_MS))
        assert [due - dues[0] for due in dues] == [0, DAY_MS, 2 * DAY_MS]


@given(st.integers(NOON_MS, NOON_MS + 400 * DAY_MS), st.sampled_from(["*/5 * * * *", "3 * * * *", "0 0 29 2 *"]))
def test_due_times_before_and_after_meet(at_ms: int, schedule: str) -> None:
    some = job(schedule)
    latest_ms, next_ms = some.latest_due(at_ms), some.due_after(at_ms)
    assert latest_ms <= at_ms < next_ms
    assert some.due_after(latest_ms) == next_ms
    assert some.latest_due(next_ms - 1) == latest_ms
    assert list(some.due_between(latest_ms, next_ms)) == [next_ms]
    assert some.is_due_at(latest_ms)


@pytest.mark.parametrize(
    "wrong",
    [
        {"schedule": "61 * * * *"},
        {"schedule": "* * * * * *"},
        {"schedule": "0 0 31 2 *"},
        {"schedule": ""},
        {"deadline_s": 0},
        {"late_after_s": 0},
        {"shards": 0},
        {"attempts": 0},
        {"monitor": "Über"},
        {"name": "a b"},
        {"name": ""},
    ],
)
def test_a_wrong_line_is_refused_when_it_is_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(JobRefused):
        dataclasses.replace(job(), **wrong)


def test_pieces_are_named_as_the_command_line_has_them() -> None:
    cut = job(shards=3)
    assert [str(piece) for piece in cut.pieces()] == ["0/3", "1/3", "2/3"]
    assert cut.piece("2/3") == Shard(2, 3)
    for text in ("3/3", "0/2", "x", "1", "-1/3", "1/3/5", ""):
        with pytest.raises(ShardRefused):
            cut.piece(text)
    with pytest.raises(ShardRefused, match="runs in one piece"):
        job().piece("0/2")


def test_the_table_is_of_one_piece_with_itself() -> None:
    assert len({line.name for line in JOBS}) == len(JOBS)
    assert len({line.monitor for line in JOBS}) == len(JOBS)
    assert {line.name for line in JOBS} >= {"salts", "tidy", "audit"}
    for line in JOBS:
        period_ms = line.due_after(line.due_after(NOON_MS)) - line.due_after(NOON_MS)
        assert line.deadline_s * 1000 < period_ms
        assert MINUTE_MS <= line.late_after_s * 1000 < period_ms
