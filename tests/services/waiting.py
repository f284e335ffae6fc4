"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

LOOK_EVERY_S = 0.05


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> float:
    """Seconds until it was so. Fails after `timeout_s`."""
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < timeout_s, "it did not happen in time"
        time.sleep(LOOK_EVERY_S)
    return time.monotonic() - began_s
