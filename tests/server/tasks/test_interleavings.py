"""Two workers in any order, crashes at each step, lost and doubled messages, a clock that jumps.

Invariant: every committed task ends, and its end is recorded once: succeeded, or failed after exactly its attempts.

Each worker is a thread that stands still until the test lets it go a step further: any order of steps can be had.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, text

from server.app_database import reading
from server.config import Settings
from server.models import Task
from server.tasks import TaskRun, rows
from tests.server.tasks import kinds  # noqa: F401 - registers test.act
from tests.server.tasks.fixtures import Bench, Clock, make_bench, opened
from tests.services.app_databases import copied_database

ATTEMPTS = 4  # of test.act
MOST_TASKS = 2

# What a paused attempt does next.
GO_ON = ("progress", "return", "fail", "crash", "crash", "crash before recording", "crash after recording")

WAITS = ("wait 1", "wait 31", "wait 61", "wait 101")


class Crash(BaseException):
    """The worker is killed here: nothing of it runs any more."""


class SteppedWorker:
    """A worker that stands still inside its task's function until `go`."""

    def __init__(self, world: World, bench: Bench) -> None:
        self._world = world
        self._bench = bench
        self._bench.services.extra = self._act
        self._wish = ""
        self._may_go = threading.Semaphore(0)
        self._stands = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self.crash_around_record = ""

    @property
    def is_busy(self) -> bool:
        """Whether it stands inside a task."""
        return self._thread is not None

    def take(self, task_id: int) -> None:
        """Begin with a message; it may turn out that there is nothing to do."""
        self._thread = threading.Thread(target=self._live, args=(task_id,))
        self._thread.start()
        self._wait()

    def go(self, wish: str) -> None:
        """Go one step further."""
        self._wish = wish
        self._may_go.release()
        self._wait()

    def beat(self) -> None:
        """Renew the leases."""
        self._bench.leases.beat()

    def _wait(self) -> None:
        assert self._stands.acquire(timeout=30)
        if self._thread is not None and self._wish == "ended":
            self._thread.join(30)
            self._thread, self._wish, self.crash_around_record = None, "", ""

    def _live(self, task_id: int) -> None:
        CURRENT.worker = self
        with contextlib.suppress(Crash):
            self._bench.runner.run(task_id)
        self._wish = "ended"
        self._stands.release()

    def _act(self, run: TaskRun) -> None:
        self._world.starts[run.task_id] += 1
        while True:
            self._stands.release()
            assert self._may_go.acquire(timeout=30)
            match self._wish.split():
                case ["progress"]:
                    run.progress(1)
                case ["return"]:
                    break
                case ["fail"]:
                    raise ValueError
                case ["crash"]:
                    raise Crash
                case ["crash", *where]:
                    self.crash_around_record = " ".join(where)
                    break
        self._world.returns[run.task_id] += 1


class World:
    """A queue with two workers."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.bench = make_bench(settings, engine, Clock())
        self.workers = [SteppedWorker(self, make_bench(settings, engine, self.bench.clock)) for _ in range(2)]
        self.starts: Counter[int] = Counter()
        self.returns: Counter[int] = Counter()
        self.ends: list[tuple[int, str]] = []
        self.task_ids: list[int] = []
        self.is_theirs_alone = True

    def possible_steps(self) -> list[str]:
        """What may happen next."""
        steps = [*WAITS, "sweep", "sweep", "sweep"]
        if len(self.task_ids) < MOST_TASKS:
            steps.append("enqueue")
        if self.bench.broker.messages:
            steps += ["lose", "double"]
        for number, worker in enumerate(self.workers):
            if worker.is_busy:
                steps += [f"{wish} {number}" for wish in (*GO_ON, "beat")]
            elif self.bench.broker.messages:
                steps += [f"take {number}"] * 4
        return steps

    def step(self, step: str) -> None:
        """One thing that may happen."""
        messages = self.bench.broker.messages
        verb, _, rest = step.rpartition(" ")
        match verb or rest:
            case "enqueue":
                self.task_ids.append(self.bench.enqueue("test.act"))
            case "wait":
                self.bench.clock.advance(s=int(rest))
            case "sweep":
                self.bench.queue.sweep(self.bench.clock())
            case "lose":
                messages.pop(0)
            case "double":
                messages.append(messages[0])
            case "take":
                self.workers[int(rest)].take(messages.pop(0))
            case "beat":
                self.workers[int(rest)].beat()
            case wish:
                self.workers[int(rest)].go(wish)

    def settle(self) -> None:
        """From now on nothing goes wrong any more."""
        for worker in self.workers:
            if worker.is_busy:
                worker.go("return")
        for _ in range(ATTEMPTS + 2):
            self.bench.clock.advance(s=101)
            self.bench.queue.sweep(self.bench.clock())
            while self.bench.broker.messages:
                self.workers[0].take(self.bench.broker.messages.pop(0))
                if self.workers[0].is_busy:
                    self.workers[0].go("return")


class _Current(threading.local):
    worker: SteppedWorker


CURRENT = _Current()


@contextlib.contextmanager
def crashes_around_records(world: World) -> Iterator[None]:
    """Kill a worker before or after it records an end, as the test wished."""
    finish, put_back = rows.finish, rows.put_back

    def recording(record: Callable[..., Any]) -> Callable[..., Any]:
        def around(engine: Engine, claimed: rows.Claimed, *arguments: Any, **options: Any) -> Any:
            where = CURRENT.worker.crash_around_record
            if where == "before recording":
                raise Crash
            with reading(engine) as session:
                holder = session.execute(select(Task.lease_token).where(Task.task_id == claimed.task_id)).scalar()
            result = record(engine, claimed, *arguments, **options)
            world.is_theirs_alone &= bool(result) == (holder == claimed.token)
            if record is finish and result:
                world.ends.append((claimed.task_id, str(arguments[0])))
            if where == "after recording":
                raise Crash
            return result

        return around

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "finish", recording(finish))
        patch.setattr(rows, "put_back", recording(put_back))
        yield


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Engine]]:
    """One database for all walks."""
    folder = tmp_path_factory.mktemp("interleavings")
    with copied_database(request.param, request, folder) as settings, opened(settings) as engine:
        yield settings, engine


def check(world: World) -> None:
    """The invariant, once all is settled."""
    assert world.is_theirs_alone, "only who holds the lease records anything"
    with reading(world.bench.queue.engine) as session:
        found = {task.task_id: task for task in session.execute(select(Task)).scalars()}
    assert sorted(found) == sorted(world.task_ids), "every committed task is there"
    for task_id, task in found.items():
        ends = [state for number, state in world.ends if number == task_id]
        assert ends == [task.state], "its end was recorded once"
        assert task.ended_at_ms is not None
        assert (task.lease_token, task.lease_until_ms) == (None, None)
        assert world.starts[task_id] == task.attempts, "an attempt is a call of the function, and each is counted"
        if task.state == "succeeded":
            assert world.returns[task_id] >= 1
            assert task.attempts <= ATTEMPTS
        else:
            assert (task.state, task.attempts) == ("failed", ATTEMPTS)


# A walk drawn step by step by hypothesis keeps near the simple ones; what goes wrong takes many particular steps.
@hypothesis_settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_task_ends_and_its_end_is_recorded_once(home: tuple[Settings, Engine], seed: int) -> None:
    settings, engine = home
    with engine.execution_options(footfall_writes=True).begin() as connection:
        connection.execute(text("DELETE FROM tasks"))
    world, walk = World(settings, engine), random.Random(seed)
    with crashes_around_records(world):
        world.step("enqueue")
        for _ in range(walk.randint(20, 100)):
            world.step(walk.choice(world.possible_steps()))
        world.settle()
    check(world)
