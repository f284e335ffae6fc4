"""What tests of tasks, mail and alerts share: migrated app databases on both stores, a clock, services that record."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from sqlalchemy import Engine

from server.app_database import open_app_database, reading, writing
from server.config import Settings
from server.models import Task
from server.tasks import TaskLimits, TaskQueue
from server.tasks.broker import Broker
from server.tasks.leases import LeaseKeeper
from server.tasks.outage import Outage
from server.tasks.runner import Runner

if TYPE_CHECKING:
    from server.services import Services

NOON_MS = 1_795_435_200_000  # 2026-11-23 12:00 UTC
SECRET_KEY = "k" * 32


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    """Settings with an empty app database, once on each store."""
    return database_settings


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """The app database of `settings`."""
    with opened(settings) as engine:
        yield engine


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Engine]:
    """The engine of an app database, inside the `with`."""
    engine = open_app_database(settings)
    yield engine
    engine.dispose()


class Clock:
    """A clock that a test moves."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, *, s: float) -> None:
        """Move it on."""
        self.now_ms += int(s * 1000)


@pytest.fixture
def clock() -> Clock:
    """Noon."""
    return Clock()


class RecordingBroker(Broker):
    """A broker that keeps its messages in a list, and can be away."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, TaskLimits())
        self.messages: list[int] = []
        self.is_away = False

    def push(self, task_id: int) -> bool:
        """Keep the message."""
        if not self.is_away:
            self.messages.append(task_id)
        return not self.is_away

    def waiting(self) -> int | None:
        """How many there are."""
        return None if self.is_away else len(self.messages)

    def taken(self) -> list[int]:
        """Take all messages out."""
        taken, self.messages = self.messages, []
        return taken


@dataclass
class RecordedAlerts:
    """Takes alerts and keeps them."""

    raised: list[tuple[str, str, str, str]] = field(default_factory=list)

    def raise_alert(self, kind: str, key: str, summary: str, detail: str = "", *, is_urgent: bool = False) -> None:
        """Keep it."""
        self.raised.append((str(kind), key, summary, detail))


@dataclass
class RecordingServices:
    """The part of `Services` that a test uses; `extra` is for functions that want more."""

    engine: Engine
    alerts: RecordedAlerts = field(default_factory=RecordedAlerts)
    extra: Any = None

    @property
    def typed(self) -> Services:
        """As what a worker takes."""
        return cast("Services", self)


@dataclass
class Bench:
    """A queue with a runner beside it, both on a test's clock and limits."""

    queue: TaskQueue
    broker: RecordingBroker
    runner: Runner
    leases: LeaseKeeper
    services: RecordingServices
    clock: Clock

    def enqueue(self, kind: str, **options: Any) -> int:
        """Queue in a transaction of its own."""
        with writing(self.queue.engine) as session:
            return self.queue.enqueue(session, kind, **options)

    def row(self, task_id: int) -> Task:
        """The row as it stands."""
        with reading(self.queue.engine) as session:
            return session.get_one(Task, task_id)


def make_bench(
    settings: Settings,
    engine: Engine,
    clock: Clock,
    *,
    limits: TaskLimits | None = None,
    pause: Callable[[float], object] = lambda _: None,
) -> Bench:
    """A bench. Delays are drawn at their longest, so that their times are known."""
    broker = RecordingBroker(settings)
    queue = TaskQueue(settings, engine, limits=limits, now_ms=clock, broker=broker)
    services = RecordingServices(engine)
    leases = LeaseKeeper(engine, queue.limits, clock, Outage("test"))
    runner = Runner(
        engine, services.typed, leases, limits=queue.limits, now_ms=clock, draw=lambda _, most: most, pause=pause
    )
    return Bench(queue, broker, runner, leases, services, clock)


@pytest.fixture
def bench(settings: Settings, engine: Engine, clock: Clock) -> Bench:
    """A bench on each store."""
    return make_bench(settings, engine, clock)


def run_in_threads(count: int, function: Callable[[int], object]) -> list[object]:
    """Call `function(number)` in so many threads at once; what each returned, or raised."""
    results: list[object] = [None] * count
    barrier = threading.Barrier(count)

    def call(number: int) -> None:
        barrier.wait(10)
        try:
            results[number] = function(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results
