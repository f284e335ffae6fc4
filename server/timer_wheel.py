"""Deadlines of many objects with one timer: a wheel of one-second slots.

An object is in one slot at most. When its slot comes up the object is taken out and checked; the check places it again.
Placing and removing cost a set operation each, so the hot path, which moves deadlines with every request, leaves the
wheel alone: a check that comes early simply looks when the object is really due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from server import metrics

Item = TypeVar("Item")

TICK_S = 1.0

# The longest delay is one tick less than a turn: later ones are checked early, which is harmless.
SLOTS = 64


class TimerWheel(Generic[Item]):
    """Calls `check(item)` at most one tick after the item is due."""

    def __init__(self, loop: asyncio.AbstractEventLoop, check: Callable[[Item], None], tick_s: float = TICK_S) -> None:
        self._loop = loop
        self._check = check
        self._tick_s = tick_s
        self._slots: list[set[Item]] = [set() for _ in range(SLOTS)]
        self._slot_of: dict[Item, int] = {}
        self._now = 0
        self._due_at_s = loop.time() + tick_s
        self._timer = loop.call_at(self._due_at_s, self._tick)

    def place(self, item: Item, delay_s: float) -> None:
        """Check the item after `delay_s`, and not at the time given before."""
        self.remove(item)
        ticks = min(SLOTS - 1, max(1, int(delay_s / self._tick_s) + 1))
        slot = (self._now + ticks) % SLOTS
        self._slots[slot].add(item)
        self._slot_of[item] = slot

    def remove(self, item: Item) -> None:
        """Do not check the item any more."""
        slot = self._slot_of.pop(item, None)
        if slot is not None:
            self._slots[slot].discard(item)

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    def _tick(self) -> None:
        now_s = self._loop.time()
        metrics.LOOP_LAG_S.set(max(0.0, now_s - self._due_at_s))
        # A stalled loop catches up slot by slot.
        while self._due_at_s <= now_s:
            self._due_at_s += self._tick_s
            self._now = (self._now + 1) % SLOTS
            due, self._slots[self._now] = self._slots[self._now], set()
            for item in due:
                self._slot_of.pop(item, None)
            for item in due:
                self._check(item)
        self._timer = self._loop.call_at(self._due_at_s, self._tick)
