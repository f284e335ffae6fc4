"""The timer wheel: nothing is early by more than a turn of it, late by more than a tick, or checked twice."""

from __future__ import annotations

import asyncio
import time

from server.timer_wheel import SLOTS, TimerWheel

TICK_S = 0.02


def test_items_are_checked_in_their_tick() -> None:
    async def run() -> dict[float, float]:
        checked: dict[float, float] = {}
        started_s = time.monotonic()
        wheel: TimerWheel[float] = TimerWheel(
            asyncio.get_running_loop(), lambda item: checked.update({item: time.monotonic() - started_s}), TICK_S
        )
        for delay_s in (0.0, 0.05, 0.1, 0.2):
            wheel.place(delay_s, delay_s)
        await asyncio.sleep(0.5)
        wheel.stop()
        return checked

    checked = asyncio.run(run())
    assert list(checked) == [0.0, 0.05, 0.1, 0.2]
    assert all(at_s >= delay_s - TICK_S for delay_s, at_s in checked.items())


def test_an_item_is_in_one_slot_and_may_be_removed() -> None:
    async def run() -> list[str]:
        checked: list[str] = []
        wheel: TimerWheel[str] = TimerWheel(asyncio.get_running_loop(), checked.append, TICK_S)
        wheel.place("moved", 0.02)
        wheel.place("moved", 0.1)
        wheel.place("removed", 0.02)
        wheel.remove("removed")
        wheel.remove("never placed")
        wheel.place("far", TICK_S * SLOTS * 10)
        await asyncio.sleep(0.3)
        wheel.stop()
        return checked

    assert asyncio.run(run()) == ["moved"]


def test_a_check_may_place_its_item_again_and_remove_others() -> None:
    async def run() -> list[str]:
        checked: list[str] = []

        def check(item: str) -> None:
            checked.append(item)
            if len(checked) < 4:
                wheel.place(item, 0.0)
            wheel.remove("other")

        wheel: TimerWheel[str] = TimerWheel(asyncio.get_running_loop(), check, TICK_S)
        wheel.place("again", 0.0)
        wheel.place("other", 0.1)
        await asyncio.sleep(0.4)
        wheel.stop()
        return checked

    assert asyncio.run(run()) == ["again"] * 4


def test_a_stalled_loop_catches_up() -> None:
    async def run() -> list[str]:
        checked: list[str] = []
        wheel: TimerWheel[str] = TimerWheel(asyncio.get_running_loop(), checked.append, TICK_S)
        wheel.place("first", 0.02)
        wheel.place("second", 0.1)
        time.sleep(0.3)  # noqa: ASYNC251 the stall
        await asyncio.sleep(0.05)
        wheel.stop()
        return checked

    assert asyncio.run(run()) == ["first", "second"]
