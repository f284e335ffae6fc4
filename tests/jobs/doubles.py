"""Stand-ins: a clock that tests move, alerts that are written down, and services with little behind them."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from sqlalchemy import Engine

from server.alerts import AlertKind
from server.config import Settings
from server.services import Services

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
NOON_MS = 1_795_435_200_000  # 2026-11-23 12:00 UTC


class Clock:
    """The time is what it was set to."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, seconds: float) -> None:
        self.now_ms += int(seconds * 1000)


class RunningClock(Clock):
    """The time goes on by itself from what it was set to."""

    def __init__(self, now_ms: int = NOON_MS) -> None:
        super().__init__(now_ms)
        self._set_at_s = time.monotonic()

    def __call__(self) -> int:
        return self.now_ms + int((time.monotonic() - self._set_at_s) * 1000)


@dataclasses.dataclass(frozen=True)
class RaisedAlert:
    kind: AlertKind
    key: str
    summary: str
    detail: str
    is_urgent: bool


class AlertBook:
    """Alerts as `server.alerts` takes them, written down in order."""

    def __init__(self, around: Callable[[], None] = lambda: None) -> None:
        """`around` is called before and after each."""
        self.raised: list[RaisedAlert] = []
        self._around = around
        self._lock = threading.Lock()

    def raise_alert(
        self, kind: AlertKind, key: str, summary: str, detail: str = "", *, is_urgent: bool = False
    ) -> None:
        self._around()
        with self._lock:
            self.raised.append(RaisedAlert(kind, key, summary, detail, is_urgent))
        self._around()

    def keys(self, kind: AlertKind) -> list[str]:
        return [alert.key for alert in self.raised if alert.kind is kind]


def services_of(engine: Engine, settings: Settings, alerts: AlertBook, **more: Any) -> Services:
    """What the runner asks of services, and `more`."""
    tasks = SimpleNamespace(purge=lambda now_ms: 0)
    known = {"settings": settings, "engine": engine, "alerts": alerts, "tasks": tasks, **more}
    return cast(Services, SimpleNamespace(**known))
