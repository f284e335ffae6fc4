"""The queue's messages, on Huey: in Redis when there is one, otherwise in a file of the data folder.

Of Huey's Redis forms this is the plain one, a list: LPUSH and a blocking BRPOP, in order, woken at once. The others add
priorities, which a sorted set pays for and we do not use, or results that expire, and we keep no results: rows do.
Delays, retries and revocations of Huey are not used either, for the same reason.

Invariants:
- a message is a hint: losing one, or having it twice, changes nothing but when a task starts;
- nothing here raises when the store is away: pushing says False, and the outage is logged once.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
from huey import MemoryHuey, RedisHuey, SqliteHuey, crontab  # type: ignore[import-untyped]  # Huey ships no types
from huey.exceptions import HueyException  # type: ignore[import-untyped]
from redis.backoff import NoBackoff
from redis.retry import Retry

from server.config import Settings
from server.tasks.limits import TaskLimits
from server.tasks.messages import JsonMessages, MessageRefused, Refusal
from server.tasks.metrics import QUEUE_AWAY
from server.tasks.outage import Outage

log = logging.getLogger(__name__)

QUEUE_NAME = "footfall"
QUEUE_FILE = "queue.sqlite"

# A request waits for a push: Redis answers within milliseconds, or is as good as away.
REDIS_CONNECT_TIMEOUT_S = 1.0

# Above `TaskLimits.redis_wait_s`, for which a blocking pop is silent.
REDIS_ANSWER_TIMEOUT_S = 5.0

# After a failure pushes are not even tried for so long, so that requests do not queue up behind a dead Redis.
PUSH_PAUSE_S = 3.0

# How often the number of waiting messages is asked for, to stop at `TaskLimits.max_messages`.
FULLNESS_INTERVAL_S = 1.0

STORE_ERRORS = (redis.RedisError, sqlite3.Error, OSError)


class _OurMessages:
    """What Huey does around a message that we have no use for, and that would ask the store once more each."""

    def is_revoked(self, task: Any, timestamp: Any = None, peek: bool = True) -> bool:
        """Never: the row says whether there is something to do."""
        return False

    def delete(self, key: str) -> bool:
        """There are no revocations to delete."""
        return False

    def read_schedule(self, timestamp: Any = None) -> list[Any]:
        """Nothing: delays are rows too."""
        return []

    def deserialize_task(self, data: bytes) -> Any:
        """Huey's task of a message. Raises `MessageRefused`."""
        message = self.serializer.deserialize(data)  # type: ignore[attr-defined]
        try:
            return self._registry.create_task(message)  # type: ignore[attr-defined]
        except HueyException as error:
            raise MessageRefused(Refusal.UNKNOWN_NAME) from error


class _FileQueue(_OurMessages, SqliteHuey):  # type: ignore[misc]  # Huey ships no types
    pass


class _RedisQueue(_OurMessages, RedisHuey):  # type: ignore[misc]  # Huey ships no types
    pass


class _MinuteQueue(_OurMessages, MemoryHuey):  # type: ignore[misc]  # Huey ships no types
    pass


class Broker:
    """Sends messages, and is what a worker's threads read. For any thread; opens the store at first use."""

    def __init__(self, settings: Settings, limits: TaskLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._huey: Any = None
        self._work: Any = None
        self._run: Callable[[int], object] | None = None
        self._pushes_from_s = 0.0
        self._fullness_due_s = 0.0
        self._is_full = False
        self.outage = Outage("the task queue", QUEUE_AWAY)

    def huey(self) -> Any:
        """The Huey of this process. Raises one of `STORE_ERRORS`."""
        with self._lock:
            if self._huey is None:
                self._huey = self._open()
                self._work = self._huey.task(name="work")(self._look_at)
            return self._huey

    def push(self, task_id: int) -> bool:
        """Send "task N has something to do". False when it was not sent: the store is away, or full."""
        if self._clock() < self._pushes_from_s:
            return False
        try:
            huey = self.huey()
            if self._full(huey):
                return False
            huey.enqueue(self._work.s(task_id))
        except STORE_ERRORS as error:
            self._pushes_from_s = self._clock() + PUSH_PAUSE_S
            self.outage.began(error)
            return False
        self.outage.ended()
        return True

    def waiting(self) -> int | None:
        """How many messages wait; None while the store is away."""
        try:
            count = int(self.huey().pending_count())
        except STORE_ERRORS as error:
            self.outage.began(error)
            return None
        self.outage.ended()
        self._pushes_from_s = 0.0
        return count

    def attach(self, run: Callable[[int], object]) -> None:
        """What is done with the task of a message that this process takes."""
        self._run = run

    def close(self) -> None:
        """Close the store's connections; the next use opens them again."""
        with self._lock:
            if self._huey is None:
                return
            if self._settings.redis_url:
                self._huey.storage.pool.disconnect()
            else:
                self._huey.storage.close()

    def _look_at(self, task_id: int) -> None:
        if self._run is not None:
            self._run(task_id)

    def _full(self, huey: Any) -> bool:
        now_s = self._clock()
        if now_s >= self._fullness_due_s:
            self._fullness_due_s = now_s + FULLNESS_INTERVAL_S
            self._is_full = huey.pending_count() >= self._limits.max_messages
        return self._is_full

    def _open(self) -> Any:
        shared = {"results": False, "serializer": JsonMessages()}
        if self._settings.redis_url:
            pool = redis.ConnectionPool.from_url(
                self._settings.redis_url,
                socket_connect_timeout=REDIS_CONNECT_TIMEOUT_S,
                socket_timeout=REDIS_ANSWER_TIMEOUT_S,
                # Once more at once: the connection may have died with an earlier Redis.
                retry=Retry(NoBackoff(), 1),
            )
            return _RedisQueue(QUEUE_NAME, connection_pool=pool, read_timeout=self._limits.redis_wait_s, **shared)
        folder = self._settings.data_dir
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The cache is for large queues: ours is a list of numbers. First in, first out, as in Redis.
        return _FileQueue(QUEUE_NAME, filename=str(folder / QUEUE_FILE), cache_mb=1, strict_fifo=True, **shared)


def minute_queue(functions: dict[str, Callable[[], None]]) -> Any:
    """A Huey in memory whose periodic tasks call each function once a minute, in this process, Redis or not.

    A call that could not start within its minute is dropped: the next one is due by then.
    """
    huey = _MinuteQueue(f"{QUEUE_NAME}minute", results=False, serializer=JsonMessages())
    for name, function in functions.items():
        huey.periodic_task(crontab(), name=name, expires=59)(_logged(name, function))
    return huey


def _logged(name: str, function: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        try:
            function()
        except Exception:  # whatever it is, the next minute calls again
            log.exception("a function of every minute failed", extra={"function": name})

    return call
