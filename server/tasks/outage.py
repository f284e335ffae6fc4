"""A store that is away is said once, and once again when it is back, however many threads meet it."""

from __future__ import annotations

import logging
import threading

from prometheus_client import Gauge

log = logging.getLogger(__name__)


class Outage:
    """Whether a store is away, as far as this process knows. For any thread."""

    def __init__(self, store: str, gauge: Gauge | None = None) -> None:
        self._store = store
        self._gauge = gauge
        self._lock = threading.Lock()
        self._is_on = False

    @property
    def is_on(self) -> bool:
        """Whether the last thing heard was a failure."""
        return self._is_on

    def began(self, error: BaseException) -> None:
        """The store failed. Only the kind of error is logged: its text may hold an address or a password."""
        with self._lock:
            if self._is_on:
                return
            self._is_on = True
        if self._gauge is not None:
            self._gauge.set(1)
        log.warning("a store is away", extra={"store": self._store, "reason": type(error).__name__})

    def ended(self) -> None:
        """The store answered."""
        with self._lock:
            was_on, self._is_on = self._is_on, False
        if not was_on:
            return
        if self._gauge is not None:
            self._gauge.set(0)
        log.warning("a store is back", extra={"store": self._store})
