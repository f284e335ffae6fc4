"""Invalidations: transactions, other processes, order, what is kept and what is forgotten."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, func, insert, select
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from server.app_database import open_app_database, reading, writing
from server.cache import Cache, CacheLimits, cache
from server.cache.invalidations import KEPT_MS, PAGE_ROWS, KnownInvalidations, prune_invalidations
from server.cache.redis_layer import Found, RedisLayer
from server.config import Settings, load_settings
from server.models import Account, CacheInvalidation
from tests.server.cache.processes import (
    IMPATIENT,
    NOON_MS,
    Clock,
    Process,
    StartProcess,
    is_remembered,
    metric,
    pages_of,
    topics_in,
)


@pytest.fixture
def engine(database_settings: Settings) -> Iterator[Engine]:
    engine = open_app_database(database_settings)
    yield engine
    engine.dispose()


def test_own_invalidations_are_in_force_with_the_commit(settings: Settings, start_process: StartProcess) -> None:
    process = start_process(settings)
    counted = metric("footfall_cache_invalidations_total")
    pages_of(process, 5)
    with writing(process.engine) as session:
        process.cache.invalidate("site:5", session)
        process.cache.invalidate("site:5", session)
        assert is_remembered(process, 5), "nothing has happened yet"
    assert not is_remembered(process, 5)
    assert is_remembered(process, 5)
    assert topics_in(process.engine) == ["site:5"]
    assert metric("footfall_cache_invalidations_total") == counted + 1


def test_a_transaction_that_is_rolled_back_invalidates_nothing(settings: Settings, start_process: StartProcess) -> None:
    process = start_process(settings)
    pages_of(process, 5)

    def fail() -> None:
        with writing(process.engine) as session:
            process.cache.invalidate("site:5", session)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert is_remembered(process, 5)
    assert topics_in(process.engine) == []


def test_a_session_that_goes_on_after_a_rollback_forgets_its_topics(
    database_settings: Settings, start_process: StartProcess
) -> None:
    process = start_process(database_settings)
    with Session(process.engine) as session:
        session.execute(select(1))
        process.cache.invalidate("site:5", session)
        session.rollback()
        process.cache.invalidate("site:6", session)
        session.commit()
        process.cache.invalidate("site:7", session)
        session.commit()
    assert topics_in(process.engine) == ["site:6", "site:7"]


def test_a_savepoint_is_no_commit(database_settings: Settings, start_process: StartProcess) -> None:
    process = start_process(database_settings)
    pages_of(process, 5)
    with writing(process.engine) as session:
        with session.begin_nested():
            session.add(Account(name="kept", created_at_ms=NOON_MS))
            process.cache.invalidate("site:5", session)
        assert is_remembered(process, 5)
        nested = session.begin_nested()
        process.cache.invalidate("site:6", session)
        nested.rollback()
    assert not is_remembered(process, 5)
    assert topics_in(process.engine) == ["site:5", "site:6"], "one too many costs a computation, one too few an answer"


def test_pending_changes_are_written_before_the_order_is_taken(
    database_settings: Settings, start_process: StartProcess
) -> None:
    process = start_process(database_settings)
    statements: list[str] = []
    event.listen(process.engine, "before_cursor_execute", lambda _c, _cur, text, *_: statements.append(text))
    with writing(process.engine) as session:
        session.autoflush = False
        process.cache.invalidate("site:5", session)
        session.add(Account(name="later", created_at_ms=NOON_MS))
    positions = {
        what: [number for number, text in enumerate(statements) if what in text]
        for what in ("INTO accounts", "pg_advisory_xact_lock", "INTO cache_invalidations")
    }
    assert len(positions["pg_advisory_xact_lock"]) == int(process.engine.dialect.name == "postgresql")
    assert max(positions["INTO accounts"]) < min(positions["pg_advisory_xact_lock"] or [len(statements)])
    assert positions["INTO cache_invalidations"] == [len(statements) - 1], "nothing is waited for after it"


def test_an_invalidation_that_cannot_be_written_undoes_the_change(
    database_settings: Settings, start_process: StartProcess
) -> None:
    process = start_process(database_settings)
    pages_of(process, 5)
    statements: list[str] = []

    def refuse(_connection: object, _cursor: object, text: str, *_: object) -> None:
        if "INTO cache_invalidations" in text:
            statements.append(text)
            raise OperationalError(text, None, ValueError("refused by the test"))

    def change() -> None:
        with writing(process.engine) as session:
            session.add(Account(name="never", created_at_ms=NOON_MS))
            process.cache.invalidate("site:5", session)

    event.listen(process.engine, "before_cursor_execute", refuse)
    with pytest.raises(OperationalError):
        change()
    event.remove(process.engine, "before_cursor_execute", refuse)
    assert len(statements) == 1
    with reading(process.engine) as session:
        assert session.execute(select(Account).where(Account.name == "never")).first() is None
    assert is_remembered(process, 5)


def test_other_processes_follow_when_they_read_the_table(settings: Settings, start_process: StartProcess) -> None:
    here, there = start_process(settings), start_process(settings)
    pages_of(here, 5)
    pages_of(there, 5)
    pages_of(there, 6)
    here.cache.invalidate("site:5")
    assert is_remembered(there, 5), "it has not heard of it"
    there.cache.poll()
    assert not is_remembered(there, 5)
    assert is_remembered(there, 6)


def test_an_old_answer_in_redis_is_not_used(redis_settings: Settings, start_process: StartProcess) -> None:
    here, there = start_process(redis_settings), start_process(redis_settings)
    pages_of(here, 5)
    here.cache.invalidate("site:5")
    assert not is_remembered(here, 5), "although Redis still has it"
    there.cache.poll()
    assert is_remembered(there, 5), "the new one"
    late = start_process(redis_settings)
    assert is_remembered(late, 5), "who starts later learns what was invalidated from the table"
    here.cache.invalidate("site:5")
    later = start_process(redis_settings)
    assert not is_remembered(later, 5)


@pytest.mark.parametrize("who", ["here", "there"])
def test_an_answer_that_was_overtaken_while_it_was_computed_is_not_used(
    settings: Settings, start_process: StartProcess, who: str
) -> None:
    here, there = start_process(settings, limits=IMPATIENT), start_process(settings, limits=IMPATIENT)
    source = {"value": "old"}
    steps: list[object] = []

    @cache(ttl_s=60, topics=("site:5",))
    def slow(process: Process) -> str:
        value = source["value"]
        process.computed.append(value)
        if not steps:
            steps.append("overtaken")
            source["value"] = "new"
            (here if who == "here" else there).cache.invalidate("site:5")
        return value

    assert slow(here) == "old", "it was asked before"
    if who == "there":
        assert slow(there) == "new"
        here.cache.poll()
    assert slow(here) == "new"
    there.cache.poll()
    assert slow(there) == "new"
    assert "old" not in (here.computed + there.computed)[1:]


def test_who_asks_after_an_invalidation_does_not_share_what_began_before_it(
    settings: Settings, start_process: StartProcess
) -> None:
    process = start_process(settings, limits=IMPATIENT)
    source = {"value": "old"}
    has_read, may_end = threading.Event(), threading.Event()
    answers: dict[str, str] = {}
    runs: list[str] = []

    @cache(ttl_s=60, topics=("site:5",))
    def slow(_: Cache) -> str:
        value = source["value"]
        runs.append(value)
        if value == "old":
            has_read.set()
            assert may_end.wait(10)
        return value

    early = threading.Thread(target=lambda: answers.update(early=slow(process.cache)))
    early.start()
    assert has_read.wait(10)
    source["value"] = "new"
    process.cache.invalidate("site:5")
    answers["late"] = slow(process.cache)
    may_end.set()
    early.join(10)
    assert answers == {"early": "old", "late": "new"}
    assert slow(process.cache) == "new"
    assert runs == ["old", "new"], "the early one did not take the place of the late one"


def test_who_waited_is_not_given_what_redis_had_before_an_invalidation(
    redis_settings: Settings, start_process: StartProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number of its own lets a process know what it computes to be new, but not what it finds in Redis."""
    here, there = start_process(redis_settings), start_process(redis_settings)
    old = pages_of(there, 5)
    there.cache.invalidate("site:5")
    here.cache.invalidate("other")
    has_found, may_go_on = threading.Event(), threading.Event()
    find = RedisLayer.find

    class SlowlyFound(Found):
        @property
        def left_s(self) -> float:
            has_found.set()
            assert may_go_on.wait(10)
            return 50.0

    def find_slowly(layer: RedisLayer, key: str) -> Found | None:
        found = find(layer, key)
        if found is None or has_found.is_set():
            return found
        slowly = object.__new__(SlowlyFound)
        object.__setattr__(slowly, "body", found.body)
        object.__setattr__(slowly, "as_of", found.as_of)
        return slowly

    monkeypatch.setattr(RedisLayer, "find", find_slowly)
    answers: dict[str, object] = {}
    early = threading.Thread(target=lambda: answers.update(early=pages_of(here, 5)))
    early.start()
    assert has_found.wait(10)
    here.cache.poll()
    late = threading.Thread(target=lambda: answers.update(late=pages_of(here, 5)))
    late.start()
    late.join(0.1)
    may_go_on.set()
    early.join(10)
    late.join(10)
    assert answers["early"] == old, "it was asked before"
    assert len(here.computed) == 1, "the late one was computed"


def test_who_has_not_read_the_table_for_long_uses_nothing(
    settings: Settings, clock: Clock, start_process: StartProcess
) -> None:
    process = start_process(settings, limits=CacheLimits(blind_after_s=10.0))
    pages_of(process, 5)
    clock.tick(10.0)
    assert is_remembered(process, 5)
    clock.tick(0.1)
    assert process.cache.is_blind
    assert not is_remembered(process, 5)
    assert not is_remembered(process, 5), "and keeps nothing new"
    process.cache.poll()
    assert is_remembered(process, 5), "what it had is judged again"


def test_without_a_poller_everything_is_computed(settings: Settings, start_process: StartProcess) -> None:
    process = start_process(settings, polled=False)
    for _ in range(3):
        assert not is_remembered(process, 5)
    process.cache.poll()
    assert not is_remembered(process, 5)
    assert is_remembered(process, 5)


def test_a_process_without_a_poller_invalidates_for_all(settings: Settings, start_process: StartProcess) -> None:
    process, command = start_process(settings), start_process(settings, polled=False)
    pages_of(process, 5)
    command.cache.invalidate("site:5")
    process.cache.poll()
    assert not is_remembered(process, 5)


def test_the_app_database_may_go_away(tmp_path: Path, clock: Clock) -> None:
    engine = open_app_database(load_settings(data_dir=tmp_path / "nowhere"))
    process = Process(Cache(load_settings(data_dir=tmp_path), engine, clock=clock), engine)
    with pytest.raises(SQLAlchemyError):
        process.cache.poll()
    assert not is_remembered(process, 5)
    with pytest.raises(SQLAlchemyError):
        process.cache.invalidate("site:5")
    with pytest.raises(SQLAlchemyError):
        process.cache.prune(NOON_MS)


def test_many_invalidations_are_read_in_pages(database_settings: Settings, engine: Engine, clock: Clock) -> None:
    rows = 2 * PAGE_ROWS
    with writing(engine) as session:
        session.execute(insert(CacheInvalidation), [{"topic": f"t:{n}", "at_ms": NOON_MS} for n in range(rows)])
    known = KnownInvalidations(engine, max_topics=2 * rows, clock=clock)
    assert known.read() == rows
    assert known.as_of == rows
    assert not known.is_current(rows - 1, [f"t:{rows - 1}"])
    assert known.is_current(rows, [f"t:{rows - 1}"])
    assert known.is_current(1, ["t:0", "another"])
    assert known.read() == 0


def test_more_topics_than_are_remembered_make_older_answers_invalid(
    database_settings: Settings, start_process: StartProcess
) -> None:
    process = start_process(database_settings, limits=CacheLimits(max_topics=3))
    pages_of(process, 5)
    for number in range(3):
        process.cache.invalidate(f"other:{number}")
        assert is_remembered(process, 5)
    process.cache.invalidate("other:2")
    assert is_remembered(process, 5), "a topic that is known already takes no room"
    process.cache.invalidate("other:3")
    assert not is_remembered(process, 5), "other:0 is forgotten: it might have been site:5"
    assert is_remembered(process, 5)


def test_pruning_deletes_what_is_too_old_in_bounded_steps(database_settings: Settings, engine: Engine) -> None:
    ages_ms = [KEPT_MS + 5, KEPT_MS + 4, KEPT_MS + 3, KEPT_MS - 1, KEPT_MS + 2, 0]
    with writing(engine) as session:
        session.execute(
            insert(CacheInvalidation),
            [{"topic": str(n), "at_ms": NOON_MS - age_ms} for n, age_ms in enumerate(ages_ms)],
        )
    assert prune_invalidations(engine, NOON_MS, max_rows=2) == 2
    assert prune_invalidations(engine, NOON_MS, max_rows=2) == 1
    assert prune_invalidations(engine, NOON_MS, max_rows=2) == 0
    assert topics_in(engine) == ["3", "4", "5"], "an old row behind a newer one stays: there are no gaps"
    assert prune_invalidations(engine, NOON_MS + 2 * KEPT_MS) == 2
    assert topics_in(engine) == ["5"], "the newest row stays, however old it is"
    assert prune_invalidations(engine, NOON_MS + 2 * KEPT_MS) == 0


def test_pruning_an_empty_table_does_nothing(database_settings: Settings, engine: Engine) -> None:
    assert prune_invalidations(engine, NOON_MS) == 0


def test_who_was_away_for_longer_than_rows_are_kept_forgets_everything(
    settings: Settings, start_process: StartProcess
) -> None:
    away, active = start_process(settings), start_process(settings)
    pages_of(away, 5)
    pages_of(away, 6)
    for topic in ("site:5", "other:1", "other:2"):
        active.cache.invalidate(topic)
    later_ms = time.time_ns() // 1_000_000 + KEPT_MS + 60_000
    assert active.cache.prune(later_ms) == 2, "site:5 among them"
    active.cache.invalidate("other:3")
    away.cache.poll()
    assert not is_remembered(away, 5)
    assert not is_remembered(away, 6)
    assert is_remembered(away, 5)


def test_who_starts_after_pruning_does_not_trust_older_answers_in_redis(
    redis_settings: Settings, start_process: StartProcess
) -> None:
    active = start_process(redis_settings)
    pages_of(active, 5)
    for topic in ("site:5", "other:1", "other:2"):
        active.cache.invalidate(topic)
    active.cache.prune(time.time_ns() // 1_000_000 + KEPT_MS + 60_000)
    assert not is_remembered(start_process(redis_settings), 5)


def test_pruning_costs_no_answer_of_a_process_that_is_up_to_date(
    settings: Settings, start_process: StartProcess
) -> None:
    process = start_process(settings)
    for topic in ("other:1", "other:2"):
        process.cache.invalidate(topic)
    process.cache.poll()
    pages_of(process, 5)
    process.cache.prune(time.time_ns() // 1_000_000 + KEPT_MS + 60_000)
    process.cache.poll()
    assert is_remembered(process, 5)
    process.cache.invalidate("other:3")
    process.cache.poll()
    assert is_remembered(process, 5)


def test_numbers_become_visible_in_their_order(database_settings: Settings, start_process: StartProcess) -> None:
    reader = start_process(database_settings)
    processes = [start_process(database_settings) for _ in range(4)]
    done = threading.Event()
    broken: list[tuple[int, int]] = []
    failed: list[BaseException] = []

    def write(process: Process) -> None:
        try:
            for number in range(30):
                with writing(process.engine) as session:
                    session.execute(select(func.count()).select_from(Account))
                    process.cache.invalidate(f"t:{number}", session)
                    session.add(Account(name="x", created_at_ms=NOON_MS))
        except SQLAlchemyError as error:
            failed.append(error)

    def watch() -> None:
        seen: set[int] = set()
        while not done.is_set():
            with reading(reader.engine) as session:
                now = set(session.execute(select(CacheInvalidation.invalidation_id)).scalars())
            broken.extend((number, max(seen)) for number in now - seen if seen and number < max(seen))
            seen |= now

    watcher = threading.Thread(target=watch)
    watcher.start()
    writers = [threading.Thread(target=write, args=(process,)) for process in processes]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join(60)
    done.set()
    watcher.join(10)
    assert failed == []
    assert broken == []
    assert len(topics_in(reader.engine)) == 120


def test_a_commit_that_stalls_holds_up_later_numbers(
    postgresql_settings: Settings, start_process: StartProcess
) -> None:
    slow, quick, reader = (start_process(postgresql_settings) for _ in range(3))
    source = {"value": "old"}
    has_number, may_commit = threading.Event(), threading.Event()

    @cache(ttl_s=60, topics=("site:5",))
    def answer(_: Cache) -> str:
        return source["value"]

    def stall(session: Session) -> None:
        has_number.set()
        assert may_commit.wait(10)

    def change_slowly() -> None:
        with writing(slow.engine) as session:
            slow.cache.invalidate("site:5", session)
            event.listen(session, "before_commit", stall)
        source["value"] = "new"

    changing = threading.Thread(target=change_slowly)
    changing.start()
    assert has_number.wait(10)
    overtaking = threading.Thread(target=quick.cache.invalidate, args=("other",))
    overtaking.start()
    overtaking.join(0.3)
    assert overtaking.is_alive(), "a greater number would be visible first"
    reader.cache.poll()
    assert answer(reader.cache) == "old"
    may_commit.set()
    changing.join(10)
    overtaking.join(10)
    reader.cache.poll()
    assert answer(reader.cache) == "new"
    assert topics_in(reader.engine) == ["site:5", "other"]


def test_an_early_invalidation_in_a_long_transaction_holds_up_nobody(
    postgresql_settings: Settings, start_process: StartProcess
) -> None:
    long, quick = start_process(postgresql_settings), start_process(postgresql_settings)
    pages_of(quick, 5)
    with writing(long.engine) as session:
        long.cache.invalidate("site:5", session)
        session.flush()
        quick.cache.invalidate("other")
        quick.cache.poll()
        assert is_remembered(quick, 5)
    quick.cache.poll()
    assert not is_remembered(quick, 5)
    assert topics_in(quick.engine) == ["other", "site:5"]
