"""Invalidations: rows of `cache_invalidations`, their order, and what one process knows of them.

An answer is stored with `as_of`, the newest invalidation known before it was computed, and is current as long as no
topic of it has a greater one. That is sound because numbers become visible in their own order: whoever sees 7 sees 6,
or 6 never comes. SQLite has one writer at a time. On PostgreSQL a sequence alone would not do (7 may be committed
before 6), so writers take an advisory lock before they draw a number and hold it until they have committed. They do
so as the last thing before the commit (`PendingInvalidations`): nothing is waited for while the lock is held, so it
can be part of no deadlock, and an early invalidation in a long transaction holds up nobody.

Rows are pruned from the oldest on, never the newest one. `floor` is the number up to which a process may have missed
rows: because they were pruned before it read them, or because it remembers a bounded number of topics. An answer with a
smaller `as_of` is not current for it. Numbers must not come again: after restoring a backup of the app database, empty
Redis.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Engine, delete, event, func, insert, select
from sqlalchemy.orm import Session

from server.app_database import reading, writing
from server.clock import DAY_MS, HOUR_MS, now_ms
from server.models import CacheInvalidation

# No answer lives longer.
MAX_TTL_S = 24 * 3600.0

# Rows outlive every answer that they make out of date, by more than clocks of a fleet differ.
KEPT_MS = DAY_MS + HOUR_MS

# Rows read, or deleted, in one transaction.
PAGE_ROWS = 1000

# PostgreSQL advisory lock that puts the numbers in order: "CACH" in ASCII.
ORDER_LOCK_KEY = 0x43414348


class KnownInvalidations:
    """What one process knows. Safe to use from any thread.

    Owner: `Cache`. `max_topics` bounds the memory; `clock` is in seconds.
    """

    def __init__(self, engine: Engine, *, max_topics: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._max_topics = max_topics
        self._clock = clock
        self._reading = threading.Lock()
        self._lock = threading.Lock()
        self._newest_of: OrderedDict[str, int] = OrderedDict()
        self._read_until = 0
        self._newest_own = 0
        self._floor = 0
        self._read_at_s: float | None = None

    @property
    def as_of(self) -> int:
        """The number to store with an answer whose computation begins now."""
        with self._lock:
            # What is below our own is visible too, even if it has not been read yet.
            return max(self._read_until, self._newest_own)

    def least_as_of(self, topics: Iterable[str]) -> int:
        """What the `as_of` of an answer with these topics must be at least."""
        with self._lock:
            return max([self._floor, *(self._newest_of.get(topic, 0) for topic in topics)])

    def is_current(self, as_of: int, topics: Iterable[str]) -> bool:
        """Whether nothing known makes an answer out of date."""
        return as_of >= self.least_as_of(topics)

    def is_older_than(self, age_s: float) -> bool:
        """Whether the table was last read longer ago than this, or never."""
        read_at_s = self._read_at_s
        return read_at_s is None or self._clock() - read_at_s > age_s

    def note_own(self, rows: Iterable[tuple[int, str]]) -> None:
        """Invalidations that this process has just committed."""
        with self._lock:
            for number, topic in rows:
                self._note(number, topic)
                self._newest_own = max(self._newest_own, number)

    def read(self) -> int:
        """Read what is new in the table; the number of rows. Raises what the app database raises."""
        rows_read = 0
        with self._reading:
            while True:
                started_at_s = self._clock()
                rows, oldest = self._next_page()
                with self._lock:
                    if oldest is not None and oldest > self._read_until + 1:
                        self._floor = max(self._floor, oldest - 1)
                    for number, topic in rows:
                        self._note(number, topic)
                        self._read_until = number
                rows_read += len(rows)
                if len(rows) < PAGE_ROWS:
                    self._read_at_s = started_at_s
                    return rows_read

    def _next_page(self) -> tuple[list[tuple[int, str]], int | None]:
        """The next rows, and the oldest number there is when some between may have been pruned unread."""
        row = (CacheInvalidation.invalidation_id, CacheInvalidation.topic)
        after = CacheInvalidation.invalidation_id > self._read_until
        with reading(self._engine) as session:
            found = session.execute(select(*row).where(after).order_by(row[0]).limit(PAGE_ROWS))
            rows = [(number, topic) for number, topic in found]
            oldest: int | None = None
            if rows and rows[0][0] > self._read_until + 1:
                oldest = session.execute(select(func.min(CacheInvalidation.invalidation_id))).scalar()
        return rows, oldest

    def _note(self, number: int, topic: str) -> None:
        self._newest_of[topic] = max(number, self._newest_of.get(topic, 0))
        self._newest_of.move_to_end(topic)
        if len(self._newest_of) > self._max_topics:
            _, forgotten = self._newest_of.popitem(last=False)
            self._floor = max(self._floor, forgotten)


class PendingInvalidations:
    """The topics that the transaction of one session makes out of date.

    They are written just before the commit; after it `committed` gets the rows, and a rollback forgets them.
    `committed` must not raise.
    """

    def __init__(self, session: Session, committed: Callable[[list[tuple[int, str]]], None]) -> None:
        self._committed = committed
        self._topics: dict[str, None] = {}
        self._rows: list[tuple[int, str]] = []
        event.listen(session, "before_commit", self._write)
        event.listen(session, "after_commit", self._announce)
        event.listen(session, "after_soft_rollback", self._forget)

    def add(self, topic: str) -> None:
        """One more topic; a second time changes nothing."""
        self._topics[topic] = None

    def _write(self, session: Session) -> None:
        # The end of a savepoint is no commit yet.
        if self._topics and not session.in_nested_transaction():
            session.flush()
            self._rows = write_invalidations(session, list(self._topics))

    def _announce(self, session: Session) -> None:
        if not session.in_nested_transaction():
            rows, self._rows = self._rows, []
            self._topics.clear()
            if rows:
                self._committed(rows)

    def _forget(self, _session: Session, ended: Any) -> None:
        if ended.parent is None:
            self._topics.clear()
            self._rows = []


def write_invalidations(session: Session, topics: list[str]) -> list[tuple[int, str]]:
    """Add a row for each topic; returns number and topic. Nothing but the commit may follow in the transaction."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(ORDER_LOCK_KEY)))
    row = (CacheInvalidation.invalidation_id, CacheInvalidation.topic)
    at_ms = now_ms()
    written = session.execute(
        insert(CacheInvalidation).returning(*row), [{"topic": topic, "at_ms": at_ms} for topic in topics]
    )
    return [(number, topic) for number, topic in written]


def prune_invalidations(engine: Engine, at_ms: int, *, max_rows: int = PAGE_ROWS) -> int:
    """Delete rows older than `KEPT_MS`, oldest first; returns how many. When that is `max_rows`, there may be more."""
    number = CacheInvalidation.invalidation_id
    with reading(engine) as session:
        # What remains is unbroken, even when the machines that wrote the rows had different clocks.
        newest = session.execute(select(func.max(number))).scalar()
        kept = session.execute(select(func.min(number)).where(CacheInvalidation.at_ms >= at_ms - KEPT_MS)).scalar()
        first_kept = newest if kept is None else kept
        if first_kept is None:
            return 0
        over = select(number).where(number < first_kept).order_by(number).limit(max_rows)
        last = session.execute(select(func.max(over.subquery().c.invalidation_id))).scalar()
    if last is None:
        return 0
    with writing(engine) as session:
        removed = session.execute(delete(CacheInvalidation).where(number <= last).returning(number))
        return len(removed.all())
