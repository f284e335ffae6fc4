"""One attempt after the other, on a fake clock: what each end of a function records, and when it is tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from server.config import Settings
from server.models import Task
from server.tasks import (
    Cancelled,
    CheckpointRefused,
    DeadlineExceeded,
    LeaseLost,
    TaskCancelled,
    TaskFailed,
    TaskLimits,
    TaskRun,
    WorkerStopping,
    rows,
)
from server.tasks.runner import Outcome
from tests.server.tasks import kinds
from tests.server.tasks.fixtures import NOON_MS, Bench, make_bench

Act = Callable[[TaskRun], None]


def fails(error: BaseException) -> Act:
    def act(run: TaskRun) -> None:
        raise error

    return act


def run(bench: Bench, task_id: int, act: Act) -> Outcome | None:
    bench.services.extra = act
    return bench.runner.run(task_id)


def test_a_success_keeps_its_last_progress(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")

    def act(run: TaskRun) -> None:
        assert (run.task_id, run.kind, run.attempt, run.is_last_attempt) == (task_id, "test.act", 1, False)
        for done in range(5):
            run.progress(done, 4, f"{done} done\0")

    assert run(bench, task_id, act) is Outcome.SUCCEEDED
    row = bench.row(task_id)
    assert (row.state, row.progress_done, row.progress_total, row.message) == ("succeeded", 4, 4, "4 done")
    assert (row.lease_token, row.lease_until_ms, row.attempts, row.ended_at_ms) == (None, None, 1, NOON_MS)
    assert run(bench, task_id, fails(AssertionError())) is None, "it is done"
    assert bench.services.alerts.raised == []


def test_retries_wait_twice_as_long_each_time_up_to_the_longest(bench: Bench) -> None:
    kinds.GIVEN_UP.clear()
    task_id = bench.enqueue("test.act")
    bench.broker.taken()
    for attempt, delay_s in ((1, 30), (2, 60), (3, 100)):
        assert run(bench, task_id, fails(ValueError("secret"))) is Outcome.RETRIED
        row = bench.row(task_id)
        assert (row.state, row.attempts, row.run_at_ms) == ("queued", attempt, bench.clock() + delay_s * 1000)
        assert row.message == "ValueError", "an error's text may be anything"
        bench.clock.advance(s=delay_s - 0.001)
        assert bench.runner.run(task_id) is None, "not yet"
        assert bench.queue.sweep(bench.clock()) == 0
        bench.clock.advance(s=0.001)
        assert bench.queue.sweep(bench.clock()) == 1
        assert bench.broker.taken() == [task_id]
    assert bench.services.alerts.raised == []
    assert run(bench, task_id, fails(ValueError())) is Outcome.FAILED
    row = bench.row(task_id)
    assert (row.state, row.attempts, row.ended_at_ms) == ("failed", 4, bench.clock())
    summary, detail = "task test.act failed for good", f"task {task_id} after 4 of 4 attempts: ValueError"
    assert bench.services.alerts.raised == [("task_failed", "test.act", summary, detail)]
    assert kinds.GIVEN_UP == [({}, "ValueError")]


def test_the_delay_is_drawn_between_half_and_all(settings: Settings, bench: Bench) -> None:
    drawn: list[tuple[float, float]] = []

    def draw(least: float, most: float) -> float:
        drawn.append((least, most))
        return most

    bench.runner._draw = draw
    run(bench, bench.enqueue("test.act"), fails(ValueError()))
    assert drawn == [(15, 30)]


def test_a_permanent_failure_is_not_tried_again(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")
    assert run(bench, task_id, fails(TaskFailed("the file is no CSV"))) is Outcome.FAILED
    assert (bench.row(task_id).state, bench.row(task_id).message) == ("failed", "the file is no CSV")
    assert bench.services.alerts.raised[0][3].endswith("after 1 of 4 attempts: the file is no CSV")


def test_a_kind_may_fail_without_an_alert(bench: Bench) -> None:
    assert run(bench, bench.enqueue("test.quiet"), fails(ValueError())) is Outcome.FAILED
    assert bench.services.alerts.raised == []


def test_a_failing_clean_up_does_not_hold_up_the_end(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    task_id = bench.enqueue("test.bad_clean_up")
    assert bench.runner.run(task_id) is Outcome.FAILED
    assert bench.row(task_id).state == "failed"
    assert "a task that was given up could not be cleaned up" in caplog.text


def test_an_errors_text_is_not_logged_and_its_place_is(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[BaseException] = []
    bench.runner._on_error = seen.append
    run(bench, bench.enqueue("test.act"), fails(LookupError("secret@example.com")))
    (record,) = [record for record in caplog.records if record.getMessage() == "a task failed"]
    assert "secret@example.com" not in str(vars(record))
    assert vars(record)["reason"] == "LookupError"
    assert "in act" in vars(record)["trace"]
    assert [type(error) for error in seen] == [LookupError]


def test_an_error_tracker_that_fails_changes_nothing(bench: Bench) -> None:
    def report(error: BaseException) -> None:
        raise RuntimeError

    bench.runner._on_error = report
    task_id = bench.enqueue("test.act")
    assert run(bench, task_id, fails(LookupError())) is Outcome.RETRIED
    assert bench.row(task_id).message == "LookupError"


def test_a_lost_task_is_taken_again_when_its_lease_is_over(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")
    bench.broker.taken()
    assert rows.claim(bench.queue.engine, task_id, bench.clock(), 60_000) is not None, "and its worker dies"
    bench.clock.advance(s=59.999)
    assert (bench.queue.sweep(bench.clock()), bench.runner.run(task_id)) == (0, None)
    bench.clock.advance(s=0.001)
    assert bench.queue.sweep(bench.clock()) == 1
    assert run(bench, task_id, lambda run: None) is Outcome.SUCCEEDED
    assert bench.row(task_id).attempts == 2


def test_a_task_that_kills_its_worker_each_time_fails_in_the_end(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")
    for _ in range(4):
        assert rows.claim(bench.queue.engine, task_id, bench.clock(), 60_000) is not None
        bench.clock.advance(s=60)
    assert run(bench, task_id, fails(AssertionError())) is Outcome.FAILED
    row = bench.row(task_id)
    assert (row.state, row.attempts, row.message) == ("failed", 4, "lost with its worker")
    assert len(bench.services.alerts.raised) == 1


def test_who_lost_the_lease_hears_it_and_records_nothing(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")

    def act(run: TaskRun) -> None:
        bench.clock.advance(s=60)
        taken = rows.claim(bench.queue.engine, task_id, bench.clock(), 60_000)
        assert taken is not None
        assert taken.attempts == 2
        with pytest.raises(LeaseLost):
            run.progress(1)
        run.progress(1)

    assert run(bench, task_id, act) is Outcome.LEASE_LOST
    row = bench.row(task_id)
    assert (row.state, row.attempts, row.progress_done) == ("running", 2, 0)


@pytest.mark.parametrize("error", [None, ValueError(), TaskFailed("no"), TaskCancelled(), WorkerStopping()])
def test_no_end_is_recorded_over_another_workers(bench: Bench, error: Exception | None) -> None:
    task_id = bench.enqueue("test.act")

    def act(run: TaskRun) -> None:
        bench.clock.advance(s=60)
        assert rows.claim(bench.queue.engine, task_id, bench.clock(), 60_000) is not None
        if error is not None:
            raise error

    assert run(bench, task_id, act) is Outcome.LEASE_LOST
    assert (bench.row(task_id).state, bench.row(task_id).attempts) == ("running", 2)
    assert bench.services.alerts.raised == []


def test_the_heartbeat_keeps_leases_and_tells_of_lost_ones(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")

    def act(run: TaskRun) -> None:
        for _ in range(5):
            bench.clock.advance(s=50)
            bench.leases.beat()
            assert bench.row(task_id).lease_until_ms == bench.clock() + 60_000
        bench.clock.advance(s=60)
        assert rows.claim(bench.queue.engine, task_id, bench.clock(), 60_000) is not None
        bench.leases.beat()
        run.progress(1)

    assert run(bench, task_id, act) is Outcome.LEASE_LOST
    assert bench.leases.held() == []
    bench.leases.beat()


def test_past_its_deadline_an_attempt_is_told_and_not_kept(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")

    def act(run: TaskRun) -> None:
        bench.clock.advance(s=599.999)
        bench.leases.beat()
        run.progress(1)
        kept_until_ms = bench.row(task_id).lease_until_ms
        bench.clock.advance(s=0.001)
        bench.leases.beat()
        assert bench.row(task_id).lease_until_ms == kept_until_ms
        with pytest.raises(DeadlineExceeded):
            run.progress(2)
        run.progress(3)

    assert run(bench, task_id, act) is Outcome.RETRIED
    assert bench.row(task_id).message == "DeadlineExceeded"


@pytest.mark.parametrize("by_heartbeat", [True, False])
def test_a_running_task_is_cancelled_at_its_next_progress(bench: Bench, by_heartbeat: bool) -> None:
    kinds.GIVEN_UP.clear()
    task_id = bench.enqueue("test.act", unique_key="key")

    def act(run: TaskRun) -> None:
        run.progress(1, 2, "half")
        assert bench.queue.cancel(task_id) is Cancelled.REQUESTED
        if by_heartbeat:
            bench.leases.beat()
        else:
            run.progress(1, 2, "the row is looked at once a second")
            bench.clock.advance(s=1)
        with pytest.raises(TaskCancelled):
            run.progress(2, 2)
        run.progress(2, 2)

    assert run(bench, task_id, act) is Outcome.CANCELLED
    row = bench.row(task_id)
    assert (row.state, row.message, row.unique_key, row.ended_at_ms) == ("cancelled", "cancelled", None, bench.clock())
    assert kinds.GIVEN_UP == [({}, "cancelled")]


def test_a_failure_after_a_cancel_is_not_tried_again(bench: Bench) -> None:
    task_id = bench.enqueue("test.act", unique_key="key")

    def act(run: TaskRun) -> None:
        bench.queue.cancel(task_id)
        raise ValueError

    assert run(bench, task_id, act) is Outcome.CANCELLED
    row = bench.row(task_id)
    assert (row.state, row.unique_key, row.ended_at_ms) == ("cancelled", None, bench.clock())


def test_a_task_that_was_done_all_the_same_succeeded(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")

    def act(run: TaskRun) -> None:
        bench.queue.cancel(task_id)

    assert run(bench, task_id, act) is Outcome.SUCCEEDED
    assert bench.row(task_id).state == "succeeded"


def test_a_lost_task_that_is_to_be_cancelled_does_not_start_again(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")
    rows.claim(bench.queue.engine, task_id, bench.clock(), 60_000)
    assert bench.queue.cancel(task_id) is Cancelled.REQUESTED
    bench.clock.advance(s=60)
    assert run(bench, task_id, fails(AssertionError())) is Outcome.CANCELLED


def test_a_task_goes_on_from_its_checkpoint(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")

    def first(run: TaskRun) -> None:
        assert run.checkpoint == {}
        run.checkpoint["rows"] = {"from": 10}
        run.progress(10, 100)
        run.checkpoint["rows"]["from"] = 20
        run.progress(20, 100)
        run.checkpoint["rows"]["from"] = 30
        raise ValueError

    assert run(bench, task_id, first) is Outcome.RETRIED
    assert bench.row(task_id).progress_done == 20
    bench.clock.advance(s=30)

    def second(run: TaskRun) -> None:
        assert run.checkpoint == {"rows": {"from": 20}}, "what `progress` had taken is safe, the rest is not"

    assert run(bench, task_id, second) is Outcome.SUCCEEDED


@pytest.mark.parametrize(("value", "words"), [(object(), "not JSON"), ("x" * 70_000, "over 65536 bytes")])
def test_a_checkpoint_is_small_json(bench: Bench, value: object, words: str) -> None:
    def act(run: TaskRun) -> None:
        run.checkpoint["value"] = value
        with pytest.raises(CheckpointRefused, match=words):
            run.progress(1)

    assert run(bench, bench.enqueue("test.act"), act) is Outcome.SUCCEEDED


def test_progress_is_written_once_a_second(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")

    def act(run: TaskRun) -> None:
        run.progress(1)
        bench.clock.advance(s=0.999)
        run.progress(2)
        assert bench.row(task_id).progress_done == 1
        bench.clock.advance(s=0.001)
        run.progress(3)
        assert bench.row(task_id).progress_done == 3

    run(bench, task_id, act)


def test_a_stopping_worker_puts_its_task_back_and_the_attempt_does_not_count(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")

    def act(run: TaskRun) -> None:
        run.checkpoint["from"] = 5
        run.progress(5, message="half")
        for held in bench.leases.held():
            held.stop_soon()
        with pytest.raises(WorkerStopping):
            run.progress(6)
        run.progress(6)

    assert run(bench, task_id, act) is Outcome.STOPPED
    row = bench.row(task_id)
    assert (row.state, row.attempts, row.run_at_ms, row.message) == ("queued", 0, bench.clock(), "half")
    assert row.checkpoint == {"from": 5}


class Away(Exception):
    """What a driver raises."""


def away() -> OperationalError:
    return OperationalError("statement", {}, Away())


def test_an_end_is_recorded_once_the_app_database_is_back(
    settings: Settings, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = rows.finish
    failures = [away(), away()]

    def flaky(*arguments: object, **options: object) -> bool:
        if failures:
            raise failures.pop()
        return finish(*arguments, **options)  # type: ignore[arg-type]

    pauses: list[float] = []
    patient = make_bench(settings, bench.queue.engine, bench.clock, pause=pauses.append)
    task_id = patient.enqueue("test.act")
    monkeypatch.setattr(rows, "finish", flaky)
    assert run(patient, task_id, lambda run: None) is Outcome.SUCCEEDED
    assert pauses == [0.5, 0.5]
    assert bench.row(task_id).state == "succeeded"


def test_an_end_that_cannot_be_recorded_means_once_more(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def dead(*arguments: object, **options: object) -> bool:
        raise away()

    task_id = bench.enqueue("test.act")
    with monkeypatch.context() as broken:
        broken.setattr(rows, "finish", dead)
        assert run(bench, task_id, lambda run: None) is Outcome.UNRECORDED
    assert "could not be recorded" in caplog.text
    bench.clock.advance(s=60)
    assert run(bench, task_id, lambda run: None) is Outcome.SUCCEEDED
    assert bench.row(task_id).attempts == 2


def test_progress_survives_an_outage_unless_a_checkpoint_depends_on_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(*arguments: object) -> bool:
        raise away()

    def act(run: TaskRun) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(rows, "save_progress", dead)
            run.progress(1)
            run.checkpoint["from"] = 1
            with pytest.raises(OperationalError):
                run.progress(1)
            del run.checkpoint["from"]
            bench.clock.advance(s=60)
            with pytest.raises(LeaseLost):
                run.progress(2)
        run.progress(3)

    assert run(bench, bench.enqueue("test.act"), act) is Outcome.SUCCEEDED


def test_a_task_whose_row_is_gone_stops(settings: Settings, bench: Bench) -> None:
    short = make_bench(settings, bench.queue.engine, bench.clock, limits=TaskLimits(progress_interval_ms=0))
    task_id = short.enqueue("test.act")

    def act(run: TaskRun) -> None:
        with bench.queue.engine.begin() as connection:
            connection.execute(Task.__table__.delete())  # type: ignore[attr-defined]
        run.progress(1)

    assert run(short, task_id, act) is Outcome.LEASE_LOST
