"""Queueing in the caller's transaction, unique keys, cancelling, sweeping and purging, on both stores."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from server.app_database import open_app_database, reading, writing
from server.config import Settings
from server.models import Account, Task
from server.tasks import Cancelled, TaskLimits, TaskQueue, TaskState, UniqueKeyContested, task_status
from server.tasks.queue import KEEP_ENDED_DAYS
from server.tasks.rows import PURGE_STEP_ROWS
from tests.server.tasks import kinds
from tests.server.tasks.fixtures import NOON_MS, Bench, RecordingBroker, run_in_threads

DAY_MS = 86_400_000


def test_the_message_leaves_after_the_commit(bench: Bench) -> None:
    with writing(bench.queue.engine) as session:
        task_id = bench.queue.enqueue(session, "test.act", arguments={"number": 7})
        assert bench.broker.messages == []
    assert bench.broker.messages == [task_id]
    row = bench.row(task_id)
    assert (row.state, row.arguments, row.run_at_ms, row.attempts) == ("queued", {"number": 7}, NOON_MS, 0)


def test_a_rollback_leaves_neither_row_nor_message(bench: Bench) -> None:
    def fail() -> None:
        with writing(bench.queue.engine) as session:
            bench.queue.enqueue(session, "test.act")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert bench.broker.messages == []
    with reading(bench.queue.engine) as session:
        assert session.execute(select(func.count(Task.task_id))).scalar() == 0


def test_savepoints_count_once_all_is_committed(bench: Bench) -> None:
    def undone(session: Session) -> None:
        with session.begin_nested():
            bench.queue.enqueue(session, "test.act", arguments={"number": 2})
            with session.begin_nested():
                bench.queue.enqueue(session, "test.act", arguments={"number": 3})
            raise ZeroDivisionError

    with writing(bench.queue.engine) as session:
        first = bench.queue.enqueue(session, "test.act", arguments={"number": 1})
        with pytest.raises(ZeroDivisionError):
            undone(session)
        with session.begin_nested():
            last = bench.queue.enqueue(session, "test.act", arguments={"number": 4})
        assert bench.broker.messages == []
    assert bench.broker.messages == [first, last]


def test_a_session_may_go_on_after_a_commit(bench: Bench) -> None:
    engine = bench.queue.engine
    with Session(engine.execution_options(footfall_writes=True)) as session:
        first = bench.queue.enqueue(session, "test.act")
        session.commit()
        bench.queue.enqueue(session, "test.act")
        session.rollback()
        last = bench.queue.enqueue(session, "test.act")
        session.commit()
    assert bench.broker.taken() == [first, last]


def test_a_task_may_belong_to_a_new_account(bench: Bench) -> None:
    with writing(bench.queue.engine) as session:
        account = Account(name="new", created_at_ms=NOON_MS)
        session.add(account)
        session.flush()
        task_id = bench.queue.enqueue(session, "test.act", account_id=account.account_id)
    assert bench.row(task_id).account_id == account.account_id
    with writing(bench.queue.engine) as session:
        session.delete(session.get_one(Account, account.account_id))
    assert task_status(bench.queue.engine, task_id) is None, "it goes with its account"


def test_while_the_queue_is_away_the_sweep_finds_what_was_queued(bench: Bench) -> None:
    bench.broker.is_away = True
    task_id = bench.enqueue("test.act")
    assert bench.queue.sweep(bench.clock()) == 0
    bench.broker.is_away = False
    assert bench.queue.sweep(bench.clock()) == 1
    assert bench.broker.messages == [task_id]


def test_a_delayed_task_comes_through_the_sweep(bench: Bench) -> None:
    task_id = bench.enqueue("test.act", run_at_ms=NOON_MS + 60_000)
    bench.clock.advance(s=59.999)
    assert bench.queue.sweep(bench.clock()) == 0
    bench.clock.advance(s=0.001)
    assert bench.queue.sweep(bench.clock()) == 1
    assert bench.broker.messages == [task_id]


def test_a_waiting_message_is_sent_again_late_or_when_the_queue_is_empty(bench: Bench) -> None:
    task_id = bench.enqueue("test.act")
    assert bench.broker.taken() == [task_id]
    assert bench.queue.sweep(bench.clock()) == 1
    for _ in range(19):
        bench.clock.advance(s=3)
        assert bench.queue.sweep(bench.clock()) == 0, "its message waits"
    bench.clock.advance(s=3)
    assert bench.queue.sweep(bench.clock()) == 1, "a minute has passed"
    assert bench.broker.taken() == [task_id, task_id]
    assert bench.queue.sweep(bench.clock()) == 1, "the queue is empty: the message was lost"


def test_a_sweep_is_bounded_and_takes_the_longest_due_first(settings: Settings, bench: Bench) -> None:
    queue = TaskQueue(
        settings, bench.queue.engine, limits=TaskLimits(sweep_rows=2), now_ms=bench.clock, broker=bench.broker
    )
    late, later, latest = (bench.enqueue("test.act", run_at_ms=NOON_MS - ago) for ago in (3, 2, 1))
    bench.broker.taken()
    assert queue.sweep(bench.clock()) == 2
    assert bench.broker.taken() == [late, later]
    assert bench.queue.cancel(late) is bench.queue.cancel(later) is Cancelled.AT_ONCE
    assert queue.sweep(bench.clock()) == 1
    assert bench.broker.taken() == [latest]


def test_a_task_of_a_newer_program_is_left_alone(bench: Bench) -> None:
    with writing(bench.queue.engine) as session:
        session.add(Task(kind="test.of_tomorrow", run_at_ms=NOON_MS, created_at_ms=NOON_MS))
    assert bench.queue.sweep(bench.clock()) == 0
    assert bench.runner.run(1) is None
    assert bench.row(1).attempts == 0


def test_a_key_is_unique_while_its_task_is_unfinished(bench: Bench) -> None:
    first = bench.enqueue("test.act", unique_key="key")
    assert bench.enqueue("test.act", unique_key="key") == first
    assert bench.broker.messages == [first]
    bench.services.extra = lambda run: None
    bench.runner.run(first)
    second = bench.enqueue("test.act", unique_key="key")
    assert second != first
    assert bench.queue.cancel(second) is Cancelled.AT_ONCE
    assert bench.enqueue("test.act", unique_key="key") not in (first, second)


def test_threads_that_race_for_a_key_get_one_task(settings: Settings, bench: Bench) -> None:
    def enqueue(_: int) -> int:
        engine = open_app_database(settings)
        queue = TaskQueue(settings, engine, now_ms=bench.clock, broker=RecordingBroker(settings))
        with writing(engine) as session:
            task_id = queue.enqueue(session, "test.act", unique_key="key")
        engine.dispose()
        return task_id

    for _ in range(3):
        results = run_in_threads(8, enqueue)
        assert len(set(results)) == 1, results
        (task_id,) = set(results)
        assert isinstance(task_id, int)
        assert bench.row(task_id).state == "queued"
        bench.queue.cancel(task_id)


def test_an_undone_first_task_leaves_the_key_to_the_second(bench: Bench) -> None:
    with writing(bench.queue.engine) as session:
        bench.queue.enqueue(session, "test.act", unique_key="key")
        session.rollback()
    assert bench.row(bench.enqueue("test.act", unique_key="key")).state == "queued"


def test_cancelling(bench: Bench) -> None:
    kinds.GIVEN_UP.clear()
    queued = bench.enqueue("test.act", arguments={"number": 5})
    assert bench.queue.cancel(queued) is Cancelled.AT_ONCE
    assert (bench.row(queued).state, bench.row(queued).ended_at_ms) == ("cancelled", NOON_MS)
    assert kinds.GIVEN_UP == [({"number": 5}, "cancelled")]
    assert bench.runner.run(queued) is None, "its message does nothing"
    assert bench.queue.cancel(queued) is Cancelled.TOO_LATE
    assert bench.queue.cancel(999) is Cancelled.TOO_LATE


def test_ended_tasks_are_purged_in_steps(bench: Bench) -> None:
    old_ms = NOON_MS - KEEP_ENDED_DAYS * DAY_MS
    with writing(bench.queue.engine) as session:
        for number in range(PURGE_STEP_ROWS + 10):
            session.add(
                Task(kind="test.act", state="failed", run_at_ms=number, created_at_ms=0, ended_at_ms=old_ms - 1)
            )
        session.add(Task(kind="test.act", state="succeeded", run_at_ms=0, created_at_ms=0, ended_at_ms=old_ms))
        session.add(Task(kind="test.act", state="queued", run_at_ms=0, created_at_ms=0))
    assert bench.queue.purge(NOON_MS) == PURGE_STEP_ROWS + 10
    assert bench.queue.purge(NOON_MS) == 0
    with reading(bench.queue.engine) as session:
        assert sorted(session.execute(select(Task.state)).scalars()) == ["queued", "succeeded"]


def test_the_status_that_a_page_shows(settings: Settings, bench: Bench) -> None:
    task_id = bench.enqueue("test.act", account_id=1)
    status = task_status(bench.queue.engine, task_id)
    assert status is not None
    assert (status.state, status.account_id, status.share, status.is_finished) == (TaskState.QUEUED, 1, None, False)

    def act(run: object) -> None:
        run.progress(3, 4, "three of four")  # type: ignore[attr-defined]
        bench.queue.cancel(task_id)
        status = task_status(bench.queue.engine, task_id)
        assert status is not None
        assert (status.state, status.share, status.message) == (TaskState.RUNNING, 0.75, "three of four")
        assert (status.started_at_ms, status.is_stopping, status.attempts) == (NOON_MS, True, 1)

    bench.services.extra = act
    bench.runner.run(task_id)
    status = task_status(bench.queue.engine, task_id)
    assert status is not None
    assert status.is_finished
    assert (status.ended_at_ms, status.is_stopping, status.done, status.total) == (NOON_MS, False, 3, 4)


def test_a_key_that_is_fought_over_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time an earlier task with the key is there, and each time it has ended when it is looked for."""

    class Nothing:
        def scalar(self) -> None: ...

    with writing(bench.queue.engine) as session, monkeypatch.context() as fought_over:
        fought_over.setattr(session, "execute", lambda statement: Nothing())
        with pytest.raises(UniqueKeyContested):
            bench.queue.enqueue(session, "test.act", unique_key="key")
    assert bench.broker.messages == []
