"""`Cache`: one answer's way through the layers.

1. The process's own layer. 2. Another thread that computes the same answer: wait for it. 3. Redis. 4. Another process
that computes it: wait for it, for as long as a lock lives. 5. Compute, and keep the answer in both layers.

Every answer carries the newest invalidation known before its computation began and is judged by it wherever it comes
from: the layers, a thread that was waited for, another process. An answer's age counts from the beginning of its
computation. An exception of the computation reaches every thread that waits for it, and is not remembered.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from server.app_database import writing
from server.cache.cache_metrics import HITS, INVALIDATIONS, MISSES
from server.cache.invalidations import KnownInvalidations, PendingInvalidations, prune_invalidations
from server.cache.keys import checked_topic
from server.cache.process_layer import Entry, ProcessLayer
from server.cache.redis_circuit import RedisAway
from server.cache.redis_layer import LOCK_LIFE_S, RedisLayer
from server.config import Settings

# Who has not read the invalidations for so long uses no remembered answer: ten polls in a row failed, or there is no
# poller. So this is the longest that an answer which is out of date can be given out anywhere.
BLIND_AFTER_S = 10.0

# Threads of one process wait this long for the one that computes, then compute themselves.
FLIGHT_WAIT_S = 30.0

# How often a process looks whether another one has finished.
LOOK_INTERVAL_S = 0.05

# Topics whose newest invalidation a process remembers, about 300 bytes each. When there are more, what was computed
# before the oldest of them is computed again.
MAX_TOPICS = 20_000


@dataclass(frozen=True)
class CacheLimits:
    """The limits of one cache; tests choose smaller ones."""

    blind_after_s: float = BLIND_AFTER_S
    flight_wait_s: float = FLIGHT_WAIT_S
    lock_life_s: float = LOCK_LIFE_S
    look_interval_s: float = LOOK_INTERVAL_S
    max_topics: int = MAX_TOPICS


@dataclass(slots=True, eq=False)
class _Flight:
    """An answer that a thread looks for or computes. Neither body nor error once it has ended: it was cut off.

    `as_of`: of the computation; while the answer is looked for, of the moment at which that began.
    """

    as_of: int
    thread_id: int
    ended: threading.Event = field(default_factory=threading.Event)
    body: bytes | None = None
    error: Exception | None = None


class Cache:
    """The cache of one process. Safe to use from any thread; every call may block.

    It remembers nothing until somebody calls `poll` again and again: `InvalidationPoller` does.
    """

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        *,
        clock: Callable[[], float] = time.monotonic,
        limits: CacheLimits | None = None,
    ) -> None:
        self.redis_url = settings.redis_url
        self._engine = engine
        self._clock = clock
        self._limits = limits or CacheLimits()
        self._known = KnownInvalidations(engine, max_topics=self._limits.max_topics, clock=clock)
        self._lock = threading.Lock()
        self._process = ProcessLayer(settings.cache_max_bytes)
        self._flights: dict[str, _Flight] = {}
        self._redis: RedisLayer | None = None
        if settings.redis_url:
            self._redis = RedisLayer(settings.redis_url, clock=clock, lock_life_s=self._limits.lock_life_s)

    @property
    def bytes_held(self) -> int:
        """What the process's own layer weighs."""
        with self._lock:
            return self._process.bytes_held

    @property
    def is_blind(self) -> bool:
        """Whether nothing remembered is used, because the invalidations have not been read for too long."""
        return self._known.is_older_than(self._limits.blind_after_s)

    def invalidate(self, topic: str, session: Session | None = None) -> None:
        """Every answer with this topic is out of date: in this process once this has been committed, elsewhere soon.

        With a session it is part of the caller's transaction, which must be one for writing. Without, it has its own,
        and must not be called inside another one: SQLite has one writer. Raises `TopicInvalid`, and what the app
        database raises: then nothing was invalidated.
        """
        checked_topic(topic)
        if session is None:
            with writing(self._engine) as own:
                self.invalidate(topic, own)
            return
        pending = session.info.get(self)
        if pending is None:
            pending = session.info[self] = PendingInvalidations(session, self._committed)
        pending.add(topic)

    def poll(self) -> None:
        """Read the invalidations that are new. Raises what the app database raises."""
        self._known.read()

    def prune(self, at_ms: int) -> int:
        """Delete invalidations that no answer can be older than; a bounded number, which is returned."""
        return prune_invalidations(self._engine, at_ms)

    def close(self) -> None:
        """Close the connections to Redis."""
        if self._redis is not None:
            self._redis.close()

    def answer(self, key: str, topics: Sequence[str], ttl_s: float, compute: Callable[[], bytes]) -> bytes:
        """The answer's bytes, remembered or computed. `CachedFunction` is the way to call this."""
        while True:
            with self._lock:
                body = self._find_here(key, topics)
                if body is not None:
                    return body
                flight = self._flights.get(key)
                least_as_of = self._known.least_as_of(topics)
                # What began before an invalidation is no answer for those who ask after it. A computation that asks for
                # itself cannot wait for itself.
                if flight is None or flight.as_of < least_as_of or flight.thread_id == threading.get_ident():
                    flight = self._flights[key] = self._new_flight()
                    break
            if not flight.ended.wait(self._limits.flight_wait_s):
                flight = self._new_flight()
                break
            if flight.error is not None:
                raise flight.error
            # What it found in Redis may be older than the flight itself.
            if flight.body is not None and flight.as_of >= least_as_of:
                HITS.labels(layer="flight").inc()
                return flight.body
        try:
            flight.body = self._fetch_or_compute(flight, key, topics, ttl_s, compute)
            return flight.body
        except Exception as error:
            flight.error = error
            raise
        finally:
            with self._lock:
                if self._flights.get(key) is flight:
                    del self._flights[key]
            flight.ended.set()

    def _new_flight(self) -> _Flight:
        return _Flight(as_of=self._known.as_of, thread_id=threading.get_ident())

    def _find_here(self, key: str, topics: Sequence[str]) -> bytes | None:
        entry = self._process.find(key)
        if entry is None or self.is_blind:
            return None
        if self._clock() >= entry.ends_at_s or not self._known.is_current(entry.as_of, topics):
            self._process.drop(key)
            return None
        HITS.labels(layer="process").inc()
        return entry.body

    def _fetch_or_compute(
        self, flight: _Flight, key: str, topics: Sequence[str], ttl_s: float, compute: Callable[[], bytes]
    ) -> bytes:
        token = secrets.token_hex(16)
        is_locked = False
        if self._redis is not None and not self.is_blind:
            entry, is_locked = self._fetch(self._redis, token, key, topics, ttl_s)
            if entry is not None:
                HITS.labels(layer="redis").inc()
                flight.as_of = entry.as_of
                return entry.body
        try:
            with self._lock:
                # Those who ask from now on may share what is computed from now on.
                flight.as_of = self._known.as_of
            ends_at_s = self._clock() + ttl_s
            MISSES.inc()
            body = compute()
            self._keep(key, topics, Entry(body, flight.as_of, ends_at_s))
            return body
        finally:
            if is_locked and self._redis is not None:
                self._release(self._redis, key, token)

    def _fetch(
        self, layer: RedisLayer, token: str, key: str, topics: Sequence[str], ttl_s: float
    ) -> tuple[Entry | None, bool]:
        """An answer from Redis, or whether the lock is ours. Neither: Redis is away, or the wait was too long."""
        deadline_s = time.monotonic() + self._limits.lock_life_s
        has_looked = False
        try:
            asked_at_s = self._clock()
            is_ours, found = False, layer.find(key)
            while True:
                if found is not None and self._known.is_current(found.as_of, topics):
                    entry = Entry(found.body, found.as_of, asked_at_s + min(found.left_s, ttl_s))
                    with self._lock:
                        self._process.keep(key, entry)
                    if is_ours:
                        self._release(layer, key, token)
                    return entry, False
                if is_ours or time.monotonic() >= deadline_s:
                    return None, is_ours
                if has_looked:
                    time.sleep(self._limits.look_interval_s)
                has_looked = True
                asked_at_s = self._clock()
                is_ours, found = layer.lock_or_find(key, token)
        except RedisAway:
            return None, False

    @staticmethod
    def _release(layer: RedisLayer, key: str, token: str) -> None:
        # A lock that cannot be given back ends by itself.
        with contextlib.suppress(RedisAway):
            layer.release(key, token)

    def _keep(self, key: str, topics: Sequence[str], entry: Entry) -> None:
        left_s = entry.ends_at_s - self._clock()
        if left_s <= 0 or self.is_blind:
            return
        with self._lock:
            if not self._known.is_current(entry.as_of, topics):
                return
            self._process.keep(key, entry)
        if self._redis is not None:
            with contextlib.suppress(RedisAway):
                self._redis.keep(key, entry.body, entry.as_of, left_s)

    def _committed(self, rows: list[tuple[int, str]]) -> None:
        self._known.note_own(rows)
        INVALIDATIONS.inc(len(rows))
        if self._redis is not None:
            # Without the hint the others poll.
            with contextlib.suppress(RedisAway):
                self._redis.announce()
