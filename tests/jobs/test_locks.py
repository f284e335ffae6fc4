"""Locks on both stores: who holds one, keeps it and loses it, and what a database that fails does to it."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from jobs.context import DeadlineExceeded, JobContext, LockLost
from jobs.job import Shard
from jobs.limits import JobLimits
from jobs.runner import Piece
from jobs.state import Outcome, holder_of, new_token
from server.alerts import AlertKind
from server.app_database import writing
from server.models import JobRun
from tests.jobs.doubles import MINUTE_MS, NOON_MS, RunningClock
from tests.jobs.one_job import World, go, piece


def test_who_lost_the_lock_hears_it_at_progress_and_in_a_transaction_and_records_nothing(world: World) -> None:
    heard: list[type[BaseException]] = []

    def overtaken(context: JobContext) -> int:
        world.clock.advance(61)
        world.function = lambda context: 2
        (other,) = go(world.runner())
        assert other.outcome is Outcome.SUCCEEDED
        with pytest.raises(LockLost) as lost, writing(world.engine) as session:
            context.fence(session)
        heard.append(lost.type)
        with pytest.raises(LockLost):
            context.progress(1)
        context.progress(1)
        raise AssertionError

    world.function = overtaken
    world.clock.advance(600)
    (result,) = go(world.runner())
    assert heard == [LockLost]
    assert (result.outcome, result.is_settled) == (Outcome.ABANDONED, False)
    assert world.outcomes() == ["abandoned", "succeeded"]
    assert world.standing().attempts == 0


def test_a_job_that_does_not_listen_cannot_record_after_it_was_overtaken(world: World) -> None:
    def deaf(context: JobContext) -> int:
        world.clock.advance(61)
        world.function = lambda context: 2
        go(world.runner())
        return 99

    world.function = deaf
    world.clock.advance(600)
    (result,) = go(world.runner())
    assert result.outcome is Outcome.ABANDONED
    assert [(run.outcome, run.rows) for run in world.runs()] == [("abandoned", 0), ("succeeded", 2)]


def test_a_fence_holds_until_the_transaction_ends(world: World) -> None:
    """On PostgreSQL nobody can take over between the fence and the commit; SQLite has one writer anyway."""
    taken: list[bool] = []

    def write(context: JobContext) -> int:
        with writing(world.engine) as session:
            context.fence(session)
            world.clock.advance(61)
            session.execute(update(JobRun).values(rows=5))
            other = threading.Thread(target=lambda: taken.append(bool(go(world.runner()))))
            world.function = lambda context: 2
            other.start()
            other.join(0.3)
            assert taken == [], "the row is locked"
        other.join(10)
        return 5

    world.function = write
    world.clock.advance(600)
    go(world.runner())
    assert taken == [True]


def test_nobody_runs_beside_a_run_by_hand(world: World) -> None:
    other = world.runner()

    def look(context: JobContext) -> int:
        assert other.run_at(piece(other), NOON_MS) is None
        assert go(other) == []
        return 1

    world.function = look
    world.clock.advance(600)
    runner = world.runner()
    assert runner.run_at(piece(runner), NOON_MS) is not None
    assert len(go(world.runner())) == 1


def test_pieces_have_their_own_state_and_lock(world: World) -> None:
    seen: list[tuple[int, int]] = []

    def look(context: JobContext) -> int:
        seen.append((context.shard.index, context.shard.count))
        other = world.runner(shards=2)
        if context.shard.index == 0:
            assert other.run_next(Piece(other.job("test"), Shard(1, 2))) is not None
        return 1

    runner = world.runner(shards=2)
    runner.tick()
    world.function = look
    world.clock.advance(600)
    assert len(go(runner)) == 1
    assert seen == [(0, 2), (1, 2)]


def test_the_heartbeat_keeps_the_lock_of_a_job_that_is_silent(world: World) -> None:
    world.limits = JobLimits(lease_ms=1200, heartbeat_interval_s=0.05)
    world.clock = RunningClock(NOON_MS + 10 * MINUTE_MS)
    found: list[Any] = []

    def silent(context: JobContext) -> int:
        time.sleep(2.0)
        found.extend(world.runner().tick())
        return 1

    world.function = silent
    runner = world.runner(has_heartbeat=True)
    (result,) = go(runner)
    assert (result.outcome, found) == (Outcome.SUCCEEDED, [])


def test_the_heartbeat_stops_at_the_deadline_and_says_so(world: World) -> None:
    world.limits = JobLimits(lease_ms=300, heartbeat_interval_s=0.05)
    world.clock = RunningClock(NOON_MS + 10 * MINUTE_MS)

    def hang(context: JobContext) -> int:
        time.sleep(1.45)
        with pytest.raises(DeadlineExceeded), writing(world.engine) as session:
            context.fence(session)
        assert len(world.runner(deadline_s=1).tick()) == 1, "its lock is over"
        context.progress(1)
        raise AssertionError

    world.function = hang
    (result,) = go(world.runner(has_heartbeat=True, deadline_s=1))
    assert "deadline" in result.error
    assert world.alerts.keys(AlertKind.JOB_STUCK) == ["test run 1"]


def test_the_end_of_a_run_is_recorded_though_the_database_fails_meanwhile(world: World) -> None:
    failures = [3]

    def fail(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if "job_states" in statement and statement.startswith("UPDATE") and failures[0] and world.called:
            failures[0] -= 1
            raise OperationalError("away", None, Exception())

    event.listen(world.engine, "before_cursor_execute", fail)
    world.clock.advance(600)
    (result,) = go(world.runner())
    assert (result.outcome, failures) == (Outcome.SUCCEEDED, [0])
    assert world.outcomes() == ["succeeded"]


def test_an_end_whose_commit_was_not_answered_is_recorded_once(world: World) -> None:
    """The transaction was committed, but the connection died before the answer."""
    is_broken = [True]

    def fail(session: Any) -> None:
        if is_broken[0] and world.called:
            is_broken[0] = False
            raise OperationalError("lost", None, Exception())

    event.listen(Session, "after_commit", fail)
    try:
        world.clock.advance(600)
        (result,) = go(world.runner())
    finally:
        event.remove(Session, "after_commit", fail)
    assert (result.outcome, is_broken) == (Outcome.SUCCEEDED, [False])
    assert world.outcomes() == ["succeeded"]
    assert world.standing().attempts == 0


def test_an_end_that_cannot_be_recorded_leaves_the_due_time_to_others(world: World) -> None:
    away = [True]

    def fail(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        if statement.startswith("UPDATE") and world.called and away[0]:
            raise OperationalError("away", None, Exception())

    event.listen(world.engine, "before_cursor_execute", fail)
    world.clock.advance(600)
    (result,) = go(world.runner())
    assert (result.outcome, result.error) == (Outcome.ABANDONED, "its end could not be recorded")
    away[0] = False
    world.clock.advance(61)
    (again,) = go(world.runner())
    assert again.outcome is Outcome.SUCCEEDED


def test_progress_writes_now_and_then_and_outlives_a_database_that_is_away(world: World) -> None:
    world.limits = JobLimits(progress_interval_ms=1000)
    statements: list[str] = []
    away: list[bool] = []

    def note(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
        statements.append(statement)
        if away:
            raise OperationalError("away", None, Exception())

    def work(context: JobContext) -> int:
        statements.clear()
        for rows in range(1000):
            context.progress(rows)
        assert statements == []
        world.clock.advance(1)
        context.progress(1000)
        assert len([line for line in statements if line.startswith("UPDATE")]) == 2
        assert world.runs()[0].rows == 1000
        away.append(True)
        world.clock.advance(30)
        context.progress(2000)
        world.clock.advance(60)
        with pytest.raises(LockLost):
            context.progress(3000)
        away.clear()
        context.progress(4000)
        return 5000

    event.listen(world.engine, "before_cursor_execute", note)
    world.function = work
    world.clock.advance(600)
    (result,) = go(world.runner())
    assert (result.outcome, result.rows) == (Outcome.SUCCEEDED, 5000), "nobody had taken the lock"


def test_a_token_names_its_holder_and_fits_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "footfall-worker-7d9f8b6c5-x2k4q.with.a.long.domain:1")
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert {len(token) <= 32 for token in tokens} == {True}
    assert len({holder_of(token) for token in tokens}) == 1
