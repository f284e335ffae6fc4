"""The parent and a process without a socket: started again, killed when silent, replaced; what health says of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from server import supervisor as supervision
from server.config import Role, Settings, load_settings
from server.loopback_port import free_port
from server.supervisor import Supervisor

STUB = "tests.server.stub_worker"

Order: TypeAlias = Callable[[str], object]


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Order:
    """Tells the stub what to do."""
    file = tmp_path / "orders"
    file.write_text("report")
    monkeypatch.setenv("STUB_WORKER_ORDERS", str(file))
    monkeypatch.setattr(supervision, "HANG_LOOK_S", 0.05)
    return file.write_text


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path, port=free_port(), internal_port=free_port(), stop_grace_s=1)


def supervised(
    settings: Settings, test: Callable[[Supervisor], Coroutine[Any, Any, None]], *, hangs_for_s: float = 60
) -> None:
    """Run a test beside a parent of the stub alone."""

    async def live() -> None:
        supervisor = Supervisor(settings, serves=False, worker_module=STUB, hangs_for_s=hangs_for_s)
        await supervisor.start()
        ended = asyncio.ensure_future(supervisor.run_until_stopped())
        try:
            await test(supervisor)
        finally:
            supervisor.stop()
            await ended

    asyncio.run(live())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.02)


def pid(supervisor: Supervisor) -> int:
    """The process that reported last; 0 while none has."""
    lines = [line for line in supervisor.metrics_page().decode().splitlines() if line.startswith("footfall_stub{")]
    return int(float(lines[0].split()[-1])) if lines else 0


def value(supervisor: Supervisor, name: str) -> float:
    lines = supervisor.metrics_page().decode().splitlines()
    return float(next(line.split()[-1] for line in lines if line.startswith(f"{name} ")))


def test_a_silent_process_is_killed_and_another_started(settings: Settings, order: Order) -> None:
    async def test(supervisor: Supervisor) -> None:
        await until(lambda: pid(supervisor) > 0)
        first = pid(supervisor)
        await asyncio.sleep(1.5)
        assert pid(supervisor) == first
        order("hang")
        await until(lambda: value(supervisor, "footfall_process_respawns_total") >= 1)
        order("report")
        await until(lambda: pid(supervisor) not in (0, first))
        assert value(supervisor, "footfall_worker_up") == 1

    supervised(settings, test, hangs_for_s=1.0)


def test_a_process_that_says_it_is_not_live_is_killed_too(settings: Settings, order: Order) -> None:
    async def test(supervisor: Supervisor) -> None:
        await until(lambda: pid(supervisor) > 0)
        first = pid(supervisor)
        order("stall")
        await until(lambda: value(supervisor, "footfall_process_respawns_total") >= 1)
        order("report")
        await until(lambda: pid(supervisor) not in (0, first))

    supervised(settings, test, hangs_for_s=1.0)


def test_a_process_that_never_says_a_word_is_killed_too(settings: Settings, order: Order) -> None:
    order("hang")

    async def test(supervisor: Supervisor) -> None:
        await until(lambda: value(supervisor, "footfall_process_respawns_total") >= 1)
        assert supervisor.health().ready == ("worker: not started",)
        # Its successor is there: the test does not end while that is being started.
        await until(lambda: value(supervisor, "footfall_processes") == 1)

    supervised(settings, test, hangs_for_s=1.0)


def test_a_process_that_cannot_start_is_tried_again_with_pauses(settings: Settings, order: Order) -> None:
    order("end")

    async def test(supervisor: Supervisor) -> None:
        began_s = time.monotonic()
        await until(lambda: value(supervisor, "footfall_process_respawns_total") >= 4)
        assert time.monotonic() - began_s > 0.1 + 0.2, "each pause is longer"
        assert value(supervisor, "footfall_worker_up") == 0
        order("report")
        await until(lambda: value(supervisor, "footfall_worker_up") == 1)

    supervised(settings, test)


def test_a_rolling_restart_replaces_it(settings: Settings, order: Order) -> None:
    async def test(supervisor: Supervisor) -> None:
        await until(lambda: pid(supervisor) > 0)
        first = pid(supervisor)
        await supervisor.rolling_restart()
        await until(lambda: pid(supervisor) not in (0, first))
        await until(lambda: value(supervisor, "footfall_processes") == 1)
        assert value(supervisor, "footfall_process_respawns_total") == 0

    supervised(settings, test)


def test_a_predecessor_that_does_not_stop_is_killed(
    settings: Settings, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "KILL_AFTER_GRACE_S", 0.1)

    async def test(supervisor: Supervisor) -> None:
        await until(lambda: pid(supervisor) > 0)
        order("stay")
        await supervisor.rolling_restart()
        await until(lambda: value(supervisor, "footfall_processes") == 1)

    supervised(settings.model_copy(update={"stop_grace_s": 0.2}), test)


def test_one_that_does_not_stop_in_time_is_killed(
    settings: Settings, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "KILL_AFTER_GRACE_S", 0.1)
    order("stay")

    async def test(supervisor: Supervisor) -> None:
        await until(lambda: pid(supervisor) > 0)

    began_s = time.monotonic()
    supervised(settings.model_copy(update={"stop_grace_s": 0.2}), test)
    assert time.monotonic() - began_s < 5


def test_alone_it_decides_whether_the_machine_is_ready_but_never_whether_it_lives(
    settings: Settings, order: Order
) -> None:
    async def test(supervisor: Supervisor) -> None:
        await until(lambda: pid(supervisor) > 0)
        health = supervisor.health()
        assert (health.live, health.ready, health.notes) == (
            (),
            ("worker: no database",),
            ("worker: no database",),
        )

    supervised(settings, test)


@pytest.mark.parametrize(
    ("more", "serves", "expected"),
    [
        ({}, True, True),
        ({"role": Role.WEB}, True, True),
        ({"role": Role.COLLECT}, True, False),
        ({"worker_threads": 0}, True, False),
        ({"role": Role.COLLECT}, False, True),
    ],
)
def test_who_has_one(settings: Settings, more: dict[str, Any], serves: bool, expected: bool) -> None:
    supervisor = Supervisor(settings.model_copy(update=more), serves=serves)
    try:
        assert (b"footfall_worker_up" in supervisor.metrics_page()) is expected
        assert supervisor.health().notes == (("worker: not started",) if expected else ())
        assert supervisor.health().ready == (
            ("1 of 1 processes have not started",) if serves else ("worker: not started",)
        )
    finally:
        for listener in [*supervisor._sockets, *supervisor._internal_sockets]:
            listener.close()
