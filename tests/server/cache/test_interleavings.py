"""Two processes against a naive model: whatever the order, an invalidated answer is never used by who can know of it.

The model: each process knows how new an answer about a site must be at least. Its own changes raise that at once, the
other's when it polls. `get` must never return less, and must not compute when nothing changed.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import pytest
import redis
from hypothesis import strategies as st
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from server.app_database import open_app_database, reading, writing
from server.cache import Cache, InvalidationPoller, cache
from server.config import Settings
from server.models import Version
from tests.server.cache.processes import IMPATIENT, Clock, Process, StartProcess
from tests.services.app_databases import copied_database
from tests.services.redis import RedisServer

PROCESSES, SITES = 2, 2
TTL_S = 60.0

process_numbers = st.integers(0, PROCESSES - 1)
site_numbers = st.integers(0, SITES - 1)
simple_steps = st.one_of(
    st.tuples(st.just("get"), process_numbers, site_numbers),
    st.tuples(st.just("get_again"), process_numbers, site_numbers),
    st.tuples(st.just("change"), process_numbers, site_numbers),
    st.tuples(st.just("change_in_session"), process_numbers, site_numbers),
    st.tuples(st.just("invalidate_by_arguments"), process_numbers, site_numbers),
    st.tuples(st.just("roll_back"), process_numbers, site_numbers),
    st.tuples(st.just("poll"), process_numbers),
    st.tuples(st.just("tick"), st.sampled_from([1.0, 9.0, 11.0])),
    st.tuples(st.just("expire")),
)
# A get during whose computation, after it has read its source, other things happen.
steps = st.recursive(
    simple_steps,
    lambda inner: st.tuples(st.just("get_slowly"), process_numbers, site_numbers, st.lists(inner, max_size=4)),
    max_leaves=6,
)

# One name space for each example: they share a database and a Redis.
examples = itertools.count()


@dataclass
class World:
    """The source of truth, two processes, and what the model says of them."""

    engine: Engine
    clock: Clock
    caches: list[Cache]
    redis_url: str
    example: int = field(default_factory=lambda: next(examples))
    newest: list[int] = field(default_factory=lambda: [0] * SITES)
    announced: list[int] = field(default_factory=lambda: [0] * SITES)
    least: list[list[int]] = field(default_factory=lambda: [[0] * SITES for _ in range(PROCESSES)])
    during: list[list[Any]] = field(default_factory=list)
    computed: int = 0

    def play(self, script: list[Any]) -> None:
        """Do the steps in their order."""
        for name, *arguments in script:
            getattr(self, name)(*arguments)

    def get(self, process: int, site: int) -> None:
        least = self.least[process][site]
        answer = version_of(Owner(self.caches[process], self), self.example, site)
        assert least <= answer <= self.newest[site]

    def get_slowly(self, process: int, site: int, script: list[Any]) -> None:
        self.during.append(script)
        try:
            self.get(process, site)
        finally:
            if self.during and self.during[-1] is script:
                self.during.pop()

    def get_again(self, process: int, site: int) -> None:
        self.get(process, site)
        computed = self.computed
        self.get(process, site)
        assert self.computed == computed + int(self.caches[process].is_blind)

    def change(self, process: int, site: int) -> None:
        self.newest[site] += 1
        self.caches[process].invalidate(f"site:{self.example}.{site}")
        self._has_changed(process, site)

    def change_in_session(self, process: int, site: int) -> None:
        with writing(self.engine) as session:
            self.caches[process].invalidate(f"site:{self.example}.{site}", session)
            self.newest[site] += 1
        self._has_changed(process, site)

    def invalidate_by_arguments(self, process: int, site: int) -> None:
        self.newest[site] += 1
        version_of.invalidate(Owner(self.caches[process], self), self.example, site)
        self._has_changed(process, site)

    def roll_back(self, process: int, site: int) -> None:
        with contextlib.suppress(ZeroDivisionError), writing(self.engine) as session:
            self.caches[process].invalidate(f"site:{self.example}.{site}", session)
            raise ZeroDivisionError

    def poll(self, process: int) -> None:
        self.caches[process].poll()
        self.least[process] = list(self.announced)

    def tick(self, duration_s: float) -> None:
        self.clock.tick(duration_s)

    def expire(self) -> None:
        self.clock.tick(TTL_S)
        if self.redis_url:
            with redis.Redis.from_url(self.redis_url) as client:
                client.flushall()

    def _has_changed(self, process: int, site: int) -> None:
        self.announced[site] = self.newest[site]
        self.least[process][site] = self.newest[site]


@dataclass
class Owner:
    """Who asks: a process in a world."""

    cache: Cache
    world: World


@cache(ttl_s=TTL_S, topics=("site:{example}.{site}",))
def version_of(owner: Owner, example: int, site: int) -> int:
    """Reads the source, and then takes as long as the script says."""
    version = owner.world.newest[site]
    owner.world.computed += 1
    if owner.world.during:
        owner.world.play(owner.world.during.pop())
    return version


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, Engine]]:
    with copied_database(request.param, request, tmp_path_factory.mktemp("interleavings")) as settings:
        engine = open_app_database(settings)
        yield settings, engine
        engine.dispose()


@pytest.mark.parametrize("with_redis", [False, True], ids=["without_redis", "with_redis"])
@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@hypothesis.given(script=st.lists(steps, max_size=25))
def test_an_invalidated_answer_is_never_used(
    module_database: tuple[Settings, Engine], shared_redis: RedisServer, with_redis: bool, script: list[Any]
) -> None:
    settings, engine = module_database
    if with_redis:
        settings = settings.model_copy(update={"redis_url": shared_redis.url})
    clock = Clock()
    caches = [Cache(settings, engine, clock=clock, limits=IMPATIENT) for _ in range(PROCESSES)]
    world = World(engine, clock, caches, settings.redis_url)
    try:
        for number in range(PROCESSES):
            world.poll(number)
        world.play(script)
    finally:
        for one in caches:
            one.close()


@cache(ttl_s=600, topics=("version:{name}",))
def stored_version(owner: Process, name: str) -> int:
    """The version in the app database, read by a slow reader."""
    with reading(owner.engine) as session:
        version = session.execute(select(Version.version).where(Version.name == name)).scalar_one()
    time.sleep(0.001)
    return version


def test_threads_of_two_processes_never_see_less_than_they_wrote(
    settings: Settings, start_process: StartProcess
) -> None:
    processes = [start_process(settings), start_process(settings)]
    with writing(processes[0].engine) as session:
        session.merge(Version(name="stress", version=0))
    pollers = [InvalidationPoller(process.cache) for process in processes]
    for poller in pollers:
        poller.start()
    least = [0, 0]
    wrong: list[str] = []
    ends_at_s = time.monotonic() + 1.0

    def bump(session: Session) -> int:
        raised = update(Version).where(Version.name == "stress").values(version=Version.version + 1)
        return session.execute(raised.returning(Version.version)).scalar_one()

    def write(number: int) -> None:
        process = processes[number]
        while time.monotonic() < ends_at_s:
            with writing(process.engine) as session:
                process.cache.invalidate("version:stress", session)
                written = bump(session)
            least[number] = max(least[number], written)
            time.sleep(0.01)

    def ask(number: int) -> None:
        while time.monotonic() < ends_at_s:
            at_least = least[number]
            found = stored_version(processes[number], "stress")
            if found < at_least:
                wrong.append(f"process {number} wrote {at_least} and then saw {found}")

    threads = [threading.Thread(target=work, args=(n,)) for n in (0, 1) for work in (write, ask, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for poller in pollers:
        poller.stop()
    for poller in pollers:
        poller.join(10)
    for process in processes:
        process.cache.poll()
    assert wrong == []
    assert min(least) > 0
    assert [stored_version(process, "stress") for process in processes] == [max(least)] * 2
