"""One computes and the others wait: threads of one process, and processes through Redis."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from server.cache import Cache, CacheLimits, cache
from server.cache.redis_layer import LOCK_LIFE_S
from server.config import Settings
from tests.server.cache.processes import Process, StartProcess, metric
from tests.services.redis import raw_client


class Refused(Exception):
    """What a computation fails with."""


class CutOff(BaseException):
    """What ends a thread from outside, as SystemExit does."""


def in_threads(count: int, ask: Callable[[], Any]) -> list[Any]:
    """What each of the threads got, exceptions too."""
    outcomes: list[Any] = []

    def run() -> None:
        try:
            outcomes.append(ask())
        except (Refused, CutOff) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return outcomes


class Gate:
    """A computation that ends when all who will wait for it are there."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.may_end = threading.Event()
        self.runs = 0

    def run(self) -> int:
        self.runs += 1
        self.entered.set()
        assert self.may_end.wait(10)
        return self.runs

    def open_soon(self) -> None:
        """Let it end a moment after it was entered: the others have arrived by then."""
        assert self.entered.wait(10)
        threading.Timer(0.2, self.may_end.set).start()


def test_threads_wait_for_the_one_that_computes(settings: Settings, start_process: StartProcess) -> None:
    process, gate = start_process(settings), Gate()
    shared = metric("footfall_cache_hits_total", {"layer": "flight"})

    @cache(ttl_s=60)
    def slow(_: Cache, number: int) -> list[int]:
        return [number, gate.run()]

    opener = threading.Thread(target=gate.open_soon)
    opener.start()
    outcomes = in_threads(8, lambda: slow(process.cache, 1))
    opener.join(10)
    assert outcomes == [[1, 1]] * 8
    assert len({id(outcome) for outcome in outcomes}) == 8, "a copy for everyone"
    assert metric("footfall_cache_hits_total", {"layer": "flight"}) == shared + 7
    assert slow(process.cache, 2) == [2, 2]


def test_an_exception_reaches_all_and_is_not_remembered(settings: Settings, start_process: StartProcess) -> None:
    process, gate = start_process(settings), Gate()

    @cache(ttl_s=60)
    def fails_first(_: Cache) -> int:
        if gate.run() == 1:
            raise Refused("the first time")
        return gate.runs

    opener = threading.Thread(target=gate.open_soon)
    opener.start()
    outcomes = in_threads(8, lambda: fails_first(process.cache))
    opener.join(10)
    assert [str(outcome) for outcome in outcomes] == ["the first time"] * 8
    assert gate.runs == 1
    assert fails_first(process.cache) == 2
    assert fails_first(process.cache) == 2


def test_a_computation_that_is_cut_off_is_begun_again_by_another(
    settings: Settings, start_process: StartProcess
) -> None:
    process, gate = start_process(settings), Gate()

    @cache(ttl_s=60)
    def cut_off_first(_: Cache) -> int:
        if gate.run() == 1:
            raise CutOff
        return gate.runs

    opener = threading.Thread(target=gate.open_soon)
    opener.start()
    outcomes = in_threads(4, lambda: cut_off_first(process.cache))
    opener.join(10)
    assert len([outcome for outcome in outcomes if isinstance(outcome, CutOff)]) == 1, "it ended nobody else"
    assert [outcome for outcome in outcomes if not isinstance(outcome, CutOff)] == [2] * 3


def test_nobody_waits_for_ever(settings: Settings, start_process: StartProcess) -> None:
    process, gate = start_process(settings, limits=CacheLimits(flight_wait_s=0.1, lock_life_s=0.05)), Gate()

    @cache(ttl_s=60)
    def stuck_first(_: Cache) -> int:
        runs.append(1)
        return gate.run() if len(runs) == 1 else 99

    runs: list[int] = []
    stuck = threading.Thread(target=stuck_first, args=(process.cache,))
    stuck.start()
    assert gate.entered.wait(10)
    assert stuck_first(process.cache) == 99
    gate.may_end.set()
    stuck.join(10)


def test_a_computation_may_ask_for_itself(settings: Settings, start_process: StartProcess) -> None:
    process = start_process(settings, limits=CacheLimits(lock_life_s=0.05, look_interval_s=0.01))

    @cache(ttl_s=60)
    def ladder(owner: Process, steps: int) -> int:
        owner.computed.append(steps)
        return 0 if steps == 0 else 1 + ladder(owner, steps - 1)

    @cache(ttl_s=60)
    def itself(owner: Process) -> int:
        owner.computed.append("itself")
        return itself(owner) + 1 if len(owner.computed) < 3 else 10

    assert ladder(process, 5) == 5
    assert ladder(process, 3) == 3
    assert process.computed == [5, 4, 3, 2, 1, 0]
    process.computed.clear()
    assert itself(process) == 12


def test_different_answers_do_not_wait_for_each_other(settings: Settings, start_process: StartProcess) -> None:
    process, gate = start_process(settings), Gate()

    @cache(ttl_s=60)
    def slow_one(_: Cache, number: int) -> int:
        return gate.run() if number == 1 else number

    stuck = threading.Thread(target=slow_one, args=(process.cache, 1))
    stuck.start()
    assert gate.entered.wait(10)
    assert slow_one(process.cache, 2) == 2
    gate.may_end.set()
    stuck.join(10)


def test_processes_wait_for_the_one_that_computes(redis_settings: Settings, start_process: StartProcess) -> None:
    gate = Gate()
    processes = iter([start_process(redis_settings) for _ in range(4)])
    taking = threading.Lock()

    @cache(ttl_s=60)
    def slow(_: Cache) -> int:
        return gate.run()

    def ask() -> int:
        with taking:
            process = next(processes)
        return slow(process.cache)

    opener = threading.Thread(target=gate.open_soon)
    opener.start()
    assert in_threads(4, ask) == [1] * 4
    opener.join(10)
    assert gate.runs == 1
    with raw_client(redis_settings.redis_url) as client:
        assert client.keys("footfall:cache:1:lock:*") == []


def test_without_redis_each_process_computes(database_settings: Settings, start_process: StartProcess) -> None:
    processes = [start_process(database_settings) for _ in range(3)]
    runs: list[int] = []

    @cache(ttl_s=60)
    def answer(_: Cache) -> int:
        runs.append(1)
        return 7

    assert [answer(process.cache) for process in processes] == [7] * 3
    assert len(runs) == 3


def test_a_process_that_died_while_it_computed_is_not_waited_for_longer_than_its_lock(
    redis_settings: Settings, start_process: StartProcess
) -> None:
    limits = CacheLimits(lock_life_s=0.4, look_interval_s=0.02)
    dead, alive = start_process(redis_settings, limits=limits), start_process(redis_settings, limits=limits)
    gate = Gate()

    @cache(ttl_s=60)
    def answer(process: Process) -> int:
        process.computed.append(1)
        return gate.run() if process is dead else 7

    dying = threading.Thread(target=answer, args=(dead,))
    dying.start()
    assert gate.entered.wait(10)
    began_s = time.monotonic()
    assert answer(alive) == 7
    assert 0.2 < time.monotonic() - began_s < 3.0
    with raw_client(redis_settings.redis_url) as client:
        assert client.keys("footfall:cache:1:lock:*") == []
    gate.may_end.set()
    dying.join(10)


def test_what_is_computed_after_a_wait_is_as_new_as_its_computation(
    redis_settings: Settings, start_process: StartProcess
) -> None:
    here, there = start_process(redis_settings), start_process(redis_settings)
    gate = Gate()

    @cache(ttl_s=60, topics=("site:5",))
    def answer(process: Process) -> int:
        process.computed.append(1)
        return gate.run() if process is there else 7

    computing = threading.Thread(target=answer, args=(there,))
    computing.start()
    assert gate.entered.wait(10)
    outcomes: list[int] = []
    waiting = threading.Thread(target=lambda: outcomes.append(answer(here)))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    here.cache.invalidate("site:5")
    gate.may_end.set()
    waiting.join(10)
    computing.join(10)
    assert outcomes == [7]
    assert answer(here) == 7
    assert len(here.computed) == 1, "it was begun after the invalidation, and is kept"


def test_a_failure_gives_the_lock_back(redis_settings: Settings, start_process: StartProcess) -> None:
    here, there = start_process(redis_settings), start_process(redis_settings)

    @cache(ttl_s=60)
    def answer(process: Process) -> int:
        if process is here:
            raise Refused
        return 7

    with pytest.raises(Refused):
        answer(here)
    began_s = time.monotonic()
    assert answer(there) == 7
    assert time.monotonic() - began_s < LOCK_LIFE_S - 1


def test_a_lock_that_has_passed_to_another_is_left_alone(redis_settings: Settings, start_process: StartProcess) -> None:
    process = start_process(redis_settings)
    with raw_client(redis_settings.redis_url) as client:

        @cache(ttl_s=60)
        def slow(_: Cache) -> int:
            for lock in client.keys("footfall:cache:1:lock:*"):
                client.set(lock, "another's", px=60_000)
            return 1

        slow(process.cache)
        assert [client.get(lock) for lock in client.keys("footfall:cache:1:lock:*")] == ["another's"]
