"""Processes that a test has in its hand, their clock, and functions for them to remember."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, select

from server.app_database import reading
from server.cache import Cache, CacheLimits, cache
from server.metrics import REGISTRY
from server.models import CacheInvalidation

NOON_MS = 1_795_435_200_000  # 2026-11-23 12:00 UTC

# For tests in which one thread plays several processes: nobody can finish while another one waits.
IMPATIENT = CacheLimits(lock_life_s=0.02, look_interval_s=0.005)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def tick(self, duration_s: float) -> None:
        """Let time pass."""
        self.now_s += duration_s


@dataclass
class Process:
    """What stands for one process: its cache, and what its functions really computed."""

    cache: Cache
    engine: Engine
    computed: list[object] = field(default_factory=list)


StartProcess = Callable[..., Process]


@cache(ttl_s=60, topics=("site:{site_id}",))
def pages_of(process: Process, site_id: int, period: str = "7d", filters: Any = None) -> Any:
    """Each computation gives another answer, with something in it that can be changed."""
    process.computed.append((site_id, period, filters))
    return [site_id, period, {"filters": filters, "number": len(process.computed)}]


def is_remembered(process: Process, site_id: int) -> bool:
    """Whether asking for a site's pages computes nothing."""
    before = len(process.computed)
    pages_of(process, site_id)
    return len(process.computed) == before


def topics_in(engine: Engine) -> list[str]:
    """The topics in the table, oldest first."""
    number = CacheInvalidation.invalidation_id
    with reading(engine) as session:
        return list(session.execute(select(CacheInvalidation.topic).order_by(number)).scalars())


def metric(name: str, labels: dict[str, str] | None = None) -> float:
    """The present value of a metric; 0 before its first."""
    return REGISTRY.get_sample_value(name, labels or {}) or 0.0
