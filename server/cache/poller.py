"""The thread that keeps a process's knowledge of invalidations new: one per process that uses a `Cache`.

It reads the table every second, and at once when Redis says that there is something to read; once an hour it prunes.
Started and stopped by its owner, who outlives it.
"""

from __future__ import annotations

import logging
import threading
import time

import redis
from sqlalchemy.exc import SQLAlchemyError

from server.cache.cache_metrics import POLL_FAILURES
from server.cache.invalidations import PAGE_ROWS
from server.cache.redis_circuit import redis_client
from server.cache.redis_layer import CHANNEL
from server.cache.two_layers import Cache
from server.clock import now_ms

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 1.0

# A row more or less matters little: what counts is that the table stays small.
PRUNE_INTERVAL_S = 3600.0

# Pages that one pruning deletes at most; what is left waits for the next one.
PRUNE_PAGES = 100

# How long the listener waits for a message before it looks whether to stop.
_LISTEN_S = 0.25


class InvalidationPoller(threading.Thread):
    """See the module."""

    def __init__(self, cache: Cache) -> None:
        super().__init__(name="invalidation-poller", daemon=True)
        self._cache = cache
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._prune_due_s = 0.0
        self.failures = 0

    def poll(self) -> None:
        """One look at the table. Never raises for a store that is away."""
        try:
            self._cache.poll()
            self.failures = 0
            if time.monotonic() >= self._prune_due_s:
                self._prune_due_s = time.monotonic() + PRUNE_INTERVAL_S
                self._prune()
        except SQLAlchemyError as error:
            self.failures += 1
            POLL_FAILURES.inc()
            if self.failures == 1:
                log.warning("invalidations cannot be read or pruned", extra={"reason": type(error).__name__})

    def run(self) -> None:
        """Poll until `stop`; a message from Redis cuts the wait short."""
        listener: threading.Thread | None = None
        if self._cache.redis_url:
            listener = threading.Thread(target=self._listen, name="invalidation-listener", daemon=True)
            listener.start()
        while not self._stopping.is_set():
            self.poll()
            self._wake.wait(POLL_INTERVAL_S)
            self._wake.clear()
        if listener is not None:
            listener.join()

    def stop(self) -> None:
        """End the thread soon; `join` waits for it."""
        self._stopping.set()
        self._wake.set()

    def _prune(self) -> None:
        for _ in range(PRUNE_PAGES):
            if self._cache.prune(now_ms()) < PAGE_ROWS:
                return

    def _listen(self) -> None:
        is_away = False
        while not self._stopping.is_set():
            try:
                with redis_client(self._cache.redis_url) as client:
                    subscription = client.pubsub(ignore_subscribe_messages=True)
                    subscription.subscribe(CHANNEL)
                    is_away = False
                    self._wake.set()  # for what was said before
                    while not self._stopping.is_set():
                        if subscription.get_message(timeout=_LISTEN_S) is not None:
                            self._wake.set()
            except (redis.RedisError, OSError) as error:
                if not is_away:
                    log.warning(
                        "Redis gives no hints; invalidations are polled", extra={"reason": type(error).__name__}
                    )
                is_away = True
                self._stopping.wait(POLL_INTERVAL_S)
