"""Redis as something that may be away: short timeouts, and a pause after a failure instead of one wait per call.

Whoever uses Redis does so inside `RedisCircuit.attempt`, and goes on without it when that raises `RedisAway`. After a
failure Redis is left alone for `PAUSE_S`; then one thread tries again while the others still go on without it. One log
line says that Redis is away, one that it is back; the metrics say how long.

Ownership: a circuit belongs to one user of Redis in one process and is safe to use from any thread.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

import redis
from prometheus_client import Counter, Gauge
from redis.backoff import NoBackoff
from redis.retry import Retry

from server.metrics import REGISTRY

log = logging.getLogger(__name__)

# Redis answers from memory, in well under a millisecond on a local network. Computing again beats waiting longer.
TIMEOUT_S = 0.25

# How long a Redis that failed is left alone: what its absence costs is one timeout in this time, in one thread.
PAUSE_S = 5.0

FAILURES = Counter("footfall_redis_failures", "Uses of Redis that failed, by user", ["user"], registry=REGISTRY)
IS_AWAY = Gauge("footfall_redis_away", "1 while this process does without Redis, by user", ["user"], registry=REGISTRY)


class RedisAway(Exception):
    """Redis failed, or failed a moment ago and is left alone. Whether it did what it was asked is not known."""


def redis_client(url: str) -> redis.Redis:
    """A client that gives up soon and never tries twice: the circuit decides when Redis is asked again.

    Connects on first use. Protocol 2 is what every Redis speaks, without a negotiation on each connection.
    """
    return redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0), protocol=2
    )


class RedisCircuit:
    """See the module. `user` is the label of its metrics: `cache`, `limits`."""

    def __init__(self, user: str, *, clock: Callable[[], float] = time.monotonic, pause_s: float = PAUSE_S) -> None:
        self._user = user
        self._clock = clock
        self._pause_s = pause_s
        self._lock = threading.Lock()
        self._is_away = False
        self._next_attempt_s = 0.0
        self._failures = FAILURES.labels(user=user)
        self._away = IS_AWAY.labels(user=user)
        self._away.set(0)

    @property
    def is_away(self) -> bool:
        """Whether the last attempt failed."""
        return self._is_away

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """Use Redis inside the `with`. Raises `RedisAway` before it, or instead of what Redis raised inside."""
        with self._lock:
            if self._is_away:
                now_s = self._clock()
                if now_s < self._next_attempt_s:
                    raise RedisAway("Redis failed a moment ago")
                self._next_attempt_s = now_s + self._pause_s  # one thread tries, the others go on
        try:
            yield
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            raise RedisAway(type(error).__name__) from error
        self._worked()

    def _failed(self, error: Exception) -> None:
        with self._lock:
            was_away, self._is_away = self._is_away, True
            self._next_attempt_s = self._clock() + self._pause_s
        self._failures.inc()
        self._away.set(1)
        if not was_away:
            log.warning("Redis is away", extra={"user": self._user, "reason": type(error).__name__})

    def _worked(self) -> None:
        if not self._is_away:
            return
        with self._lock:
            was_away, self._is_away = self._is_away, False
        self._away.set(0)
        if was_away:
            log.info("Redis is back", extra={"user": self._user})
