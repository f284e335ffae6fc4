"""The runner on both stores: what is due runs, in order and once; what fails, dies, is late or stuck is dealt with."""

from __future__ import annotations

import pytest

from jobs.context import JobContext, RunInterrupted
from jobs.job import CatchUp, shown_time
from jobs.limits import JobLimits
from jobs.runner import JobRunner, UnknownJob
from jobs.state import OVERDUE, Outcome
from server.alerts import AlertKind
from server.app_database import writing
from tests.jobs.doubles import MINUTE_MS, NOON_MS, AlertBook, services_of
from tests.jobs.one_job import World, die, go, piece


def test_nothing_is_due_for_the_time_before_a_job_was_known(world: World) -> None:
    assert go(world.runner()) == []
    assert world.standing().settled_until_ms == NOON_MS
    world.clock.advance(599)
    assert go(world.runner()) == []
    world.clock.advance(1)
    (result,) = go(world.runner())
    assert (result.outcome, result.due_at_ms, result.rows) == (Outcome.SUCCEEDED, NOON_MS + 10 * MINUTE_MS, 1)
    assert go(world.runner()) == []


def test_each_missed_due_time_has_its_run_in_order(world: World) -> None:
    world.clock.advance(35 * 60)
    go(world.runner())
    assert world.called == [NOON_MS + minutes * MINUTE_MS for minutes in (10, 20, 30)]
    assert world.outcomes() == ["succeeded"] * 3


def test_one_run_stands_for_all_missed_due_times(world: World) -> None:
    world.catch_up = CatchUp.LATEST
    world.clock.advance(35 * 60)
    go(world.runner())
    assert world.called == [NOON_MS + 30 * MINUTE_MS]
    covered = [run.due_at_ms for run in world.runs() if run.outcome == Outcome.COVERED]
    assert covered == [NOON_MS + 10 * MINUTE_MS, NOON_MS + 20 * MINUTE_MS]
    assert world.standing().settled_until_ms == NOON_MS + 30 * MINUTE_MS


def test_lines_of_covered_due_times_are_bounded(world: World) -> None:
    world.catch_up = CatchUp.LATEST
    world.limits = JobLimits(covered_rows=3)
    world.clock.advance(10 * 24 * 3600)
    go(world.runner())
    covered = [run.due_at_ms for run in world.runs() if run.outcome == Outcome.COVERED]
    assert covered == [world.clock() - minutes * MINUTE_MS for minutes in (30, 20, 10)]


def test_catching_up_leaves_the_thread_after_a_slice(world: World) -> None:
    def slow(context: JobContext) -> int:
        world.clock.advance(20)
        return 1

    world.function = slow
    world.clock.advance(3600)
    assert len(go(world.runner())) == 2
    assert len(go(world.runner())) == 2


def test_a_failed_run_is_tried_again_after_growing_pauses_and_then_given_up(world: World) -> None:
    def fail(context: JobContext) -> int:
        context.progress(7)
        raise ValueError("first line\nsecond line with more")

    world.function = fail
    world.clock.advance(600)
    (first,) = go(world.runner())
    assert (first.outcome, first.attempt, first.is_settled) == (Outcome.FAILED, 1, False)
    assert first.retry_at_ms == world.clock() + 60_000
    world.clock.advance(59)
    assert go(world.runner()) == []
    world.clock.advance(1)
    (second,) = go(world.runner())
    assert second.retry_at_ms == world.clock() + 120_000
    world.clock.advance(120)
    assert world.alerts.raised == []
    (third,) = go(world.runner())
    assert (third.outcome, third.attempt, third.is_settled) == (Outcome.FAILED, 3, True)
    (alert,) = world.alerts.raised
    assert (alert.kind, alert.key) == (AlertKind.JOB_FAILED, "test 2026-11-23T12:10:00Z")
    assert "after 3 attempts: ValueError." in alert.detail
    assert "first line" not in alert.detail
    assert {(run.outcome, run.rows, run.error) for run in world.runs()} == {("failed", 7, "ValueError: first line")}
    world.function = lambda context: 1
    world.clock.advance(600)
    (next_one,) = go(world.runner())
    assert (next_one.outcome, next_one.due_at_ms, next_one.attempt) == (
        Outcome.SUCCEEDED,
        NOON_MS + 20 * MINUTE_MS,
        1,
    )


def test_a_failed_run_stops_catching_up_until_its_retry(world: World) -> None:
    def fail(context: JobContext) -> int:
        raise ValueError

    world.function = fail
    world.clock.advance(1800)
    assert len(go(world.runner())) == 1
    assert go(world.runner()) == []


def test_a_run_whose_process_died_is_abandoned_and_run_again_when_its_lock_is_over(world: World) -> None:
    world.function = die
    world.clock.advance(600)
    with pytest.raises(KeyboardInterrupt):
        go(world.runner())
    assert world.outcomes() == ["running"]
    world.clock.advance(59)
    assert go(world.runner()) == [], "the lock still holds"
    world.function = lambda context: 1
    world.clock.advance(1)
    (result,) = go(world.runner())
    assert (result.outcome, result.attempt) == (Outcome.SUCCEEDED, 2)
    first, second = world.runs()
    assert (first.outcome, first.error, first.ended_at_ms) == ("abandoned", "its process died", world.clock())
    assert second.due_at_ms == first.due_at_ms
    assert world.alerts.raised == []


def test_a_due_time_that_kills_every_process_is_given_up(world: World) -> None:
    world.function = die
    world.clock.advance(600)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            go(world.runner())
        world.clock.advance(60)
    (result,) = go(world.runner())
    assert (result.outcome, result.is_settled, result.run_id) == (Outcome.FAILED, True, 0)
    assert world.outcomes() == ["abandoned"] * 3
    assert world.alerts.keys(AlertKind.JOB_FAILED) == ["test 2026-11-23T12:10:00Z"]
    assert world.standing().settled_until_ms == NOON_MS + 10 * MINUTE_MS
    assert len(world.called) == 3


def test_giving_up_leaves_later_due_times_their_attempts(world: World) -> None:
    world.catch_up = CatchUp.LATEST
    world.function = die
    world.clock.advance(600)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            go(world.runner())
        world.clock.advance(60)
    world.function = lambda context: 1
    world.clock.advance(600)
    given_up, done = go(world.runner())
    assert (given_up.outcome, given_up.due_at_ms) == (Outcome.FAILED, NOON_MS + 10 * MINUTE_MS)
    assert (done.outcome, done.due_at_ms, done.attempt) == (Outcome.SUCCEEDED, NOON_MS + 20 * MINUTE_MS, 1)


def test_what_did_not_begin_in_time_is_told_once(world: World) -> None:
    world.clock.advance(600 + 119)
    world.runner().tick()
    assert world.alerts.raised == []
    world.clock.advance(1)
    for _ in range(3):
        world.runner().tick()
        world.clock.advance(60)
    (alert,) = world.alerts.raised
    assert (alert.kind, alert.key, alert.is_urgent) == (AlertKind.JOB_LATE, "test 2026-11-23T12:10:00Z", False)
    assert go(world.runner())[0].outcome is Outcome.SUCCEEDED
    world.clock.advance(3600)
    go(world.runner())
    assert world.alerts.keys(AlertKind.JOB_LATE) == ["test 2026-11-23T12:10:00Z", "test 2026-11-23T13:10:00Z"]


def test_a_run_that_began_in_time_is_not_late_however_long_it_takes(world: World) -> None:
    def look(context: JobContext) -> int:
        world.clock.advance(250)
        context.progress(1)
        world.runner().tick()
        raise ValueError

    world.function = look
    world.clock.advance(600)
    go(world.runner())
    world.runner().tick()
    assert world.alerts.raised == []


def test_an_alert_whose_raiser_died_is_raised_by_the_next_tick(world: World) -> None:
    world.clock.advance(720)
    broken = AlertBook(lambda: die(None))  # type: ignore[arg-type]
    runner = JobRunner(
        services_of(world.engine, world.settings, broken), [world.job()], limits=world.limits, clock=world.clock
    )
    with pytest.raises(KeyboardInterrupt):
        runner.tick()
    world.runner().tick()
    world.runner().tick()
    assert world.alerts.keys(AlertKind.JOB_LATE) == ["test 2026-11-23T12:10:00Z"]


def test_a_run_past_its_deadline_is_told_once_and_fails_at_its_next_progress(world: World) -> None:
    def long(context: JobContext) -> int:
        for _ in range(6):
            world.clock.advance(50)
            context.progress(1)
            assert world.runner().tick() == []
        raise AssertionError("it should have been stopped")

    world.function = long
    world.clock.advance(600)
    (result,) = go(world.runner())
    assert result.error == "DeadlineExceeded: it ran past its deadline of 300 s"
    assert not result.is_settled

    def hang(context: JobContext) -> int:
        for _ in range(5):
            world.clock.advance(59)
            context.progress(1)
        world.clock.advance(20)
        for _ in range(3):
            world.runner().tick()
        assert world.runs()[-1].error == OVERDUE
        return 5

    world.function = hang
    world.clock.advance(60)
    (result,) = go(world.runner())
    assert (result.outcome, world.runs()[-1].error) == (Outcome.SUCCEEDED, ""), "late, but nobody had taken over"
    assert world.alerts.keys(AlertKind.JOB_STUCK) == ["test run 2"]


def test_a_process_that_died_before_its_deadline_is_not_called_stuck(world: World) -> None:
    world.function = die
    world.clock.advance(600)
    with pytest.raises(KeyboardInterrupt):
        go(world.runner())
    world.clock.advance(400)
    world.runner().tick()
    assert world.alerts.keys(AlertKind.JOB_STUCK) == []


def test_a_stopped_run_does_not_count_and_is_run_again_at_once(world: World) -> None:
    runner = world.runner()

    def stop(context: JobContext) -> int:
        context.progress(3)
        runner.stopping.set()
        with pytest.raises(RunInterrupted), writing(world.engine) as session:
            context.fence(session)
        context.progress(4)
        raise AssertionError

    world.function = stop
    world.clock.advance(600)
    (result,) = go(runner)
    assert (result.outcome, result.error) == (Outcome.ABANDONED, "its process stopped")
    assert (world.standing().attempts, world.standing().lock_token) == (0, None)
    world.function = lambda context: 1
    (again,) = go(world.runner())
    assert (again.outcome, again.attempt) == (Outcome.SUCCEEDED, 1)
    assert [(run.outcome, run.rows) for run in world.runs()] == [("abandoned", 4), ("succeeded", 1)]


def test_a_run_by_hand_changes_nothing_about_what_is_due(world: World) -> None:
    runner = world.runner()
    past_ms = NOON_MS - 10 * MINUTE_MS
    for _ in range(2):
        result = runner.run_at(piece(runner), past_ms)
        assert result is not None
        assert (result.outcome, result.due_at_ms) == (Outcome.SUCCEEDED, past_ms)
    assert [run.is_manual for run in world.runs()] == [True, True]
    assert world.standing().settled_until_ms == NOON_MS
    world.clock.advance(600)
    assert go(world.runner())[0].attempt == 1
    # Again one that is done, and one whose turn by schedule is past.
    for due_ms in (NOON_MS + 10 * MINUTE_MS, past_ms):
        result = runner.run_at(piece(runner), due_ms)
        assert result is not None
        assert result.is_settled


def test_a_failed_run_by_hand_is_not_tried_again_and_raises_no_alert(world: World) -> None:
    def fail(context: JobContext) -> int:
        raise ValueError("no")

    world.function = fail
    runner = world.runner()
    result = runner.run_at(piece(runner), NOON_MS)
    assert result is not None
    assert (result.outcome, result.error) == (Outcome.FAILED, "ValueError: no")
    assert (world.standing().attempts, world.standing().next_attempt_at_ms) == (0, 0)
    assert world.alerts.raised == []


def test_an_unknown_job_names_the_known_ones(world: World) -> None:
    with pytest.raises(UnknownJob, match=r"^there is no job 'tset'; known: test$"):
        world.runner().job("tset")


def test_times_are_shown_in_utc() -> None:
    assert shown_time(NOON_MS) == "2026-11-23T12:00:00Z"
