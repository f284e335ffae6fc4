"""Which segment is sent next: per shard a queue and a backoff, so a shard that is down waits and the others do not.

A segment is in exactly one place: waiting here, or taken by one flusher thread, which must give it back (`again`) or
report it `done`. Nothing here touches files or sockets; `now_s` is the caller's monotonic clock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from server.retry import Backoff
from server.spool import OwnedFolder

MakeBackoff = Callable[[], Backoff]


@dataclass(slots=True, eq=False)
class Job:
    """One segment to send. `folder` is set when it was found in an orphan's folder, else the collector owns it."""

    path: Path
    sent_before: bool
    folder: OwnedFolder | None = None
    attempts: int = 0
    first_failed_s: float = 0.0
    not_before_s: float = 0.0
    shard: int = 0
    created_at_ms: int = 0
    backoff: Backoff | None = None


@dataclass(slots=True)
class _Shard:
    backoff: Backoff
    waiting: deque[Job] = field(default_factory=deque)
    not_before_s: float = 0.0
    last_stored_s: float = -1.0


def _turn(shard: _Shard) -> float:
    return shard.not_before_s


class FlushQueue:
    """Segments on their way. Safe from several threads."""

    def __init__(self, make_backoff: MakeBackoff = Backoff) -> None:
        self._make_backoff = make_backoff
        self._lock = threading.Lock()
        self._shards: dict[int, _Shard] = {}
        self._taken: set[Job] = set()

    def put(self, job: Job) -> None:
        """A segment that has not been tried in this process."""
        with self._lock:
            self._shard(job.shard).waiting.append(job)

    def take(self, now_s: float) -> Job | None:
        """The next segment of a shard that is not waiting, oldest first."""
        with self._lock:
            # The shard that waited longest for its turn goes first.
            for shard in sorted(self._shards.values(), key=_turn):
                if shard.not_before_s > now_s:
                    break
                for position, job in enumerate(shard.waiting):
                    if job.not_before_s <= now_s:
                        del shard.waiting[position]
                        self._taken.add(job)
                        return job
            return None

    def put_back(self, job: Job) -> None:
        """A segment that was taken and not tried: it is the next one of its shard again."""
        with self._lock:
            self._taken.discard(job)
            self._shard(job.shard).waiting.appendleft(job)

    def again(self, job: Job, now_s: float, *, sent_before: bool, only_this: bool = False) -> float:
        """A failed segment goes to the end of its shard's queue and waits, `only_this` or with the whole shard.

        Returns for how many seconds.
        """
        with self._lock:
            self._taken.discard(job)
            shard = self._shard(job.shard)
            if only_this:
                job.backoff = job.backoff or self._make_backoff()
                delay_s = job.backoff.next_s()
                job.not_before_s = now_s + delay_s
            else:
                delay_s = shard.backoff.next_s()
                shard.not_before_s = now_s + delay_s
            job.sent_before = job.sent_before or sent_before
            if job.attempts == 0:
                job.first_failed_s = now_s
            job.attempts += 1
            shard.waiting.append(job)
            return delay_s

    def done(self, job: Job, now_s: float, *, stored: bool) -> None:
        """A segment that is gone from here: stored, quarantined, or vanished."""
        with self._lock:
            self._taken.discard(job)
            if stored:
                shard = self._shard(job.shard)
                shard.backoff.reset()
                shard.not_before_s = now_s
                shard.last_stored_s = now_s

    def stored_since(self, job: Job) -> bool:
        """Whether the job's shard has stored another segment since this one first failed."""
        with self._lock:
            return self._shard(job.shard).last_stored_s > job.first_failed_s

    def next_ready_s(self, now_s: float) -> float | None:
        """Seconds until `take` may succeed without a new `put`; None when nothing waits."""
        with self._lock:
            times = [
                max(shard.not_before_s, min(job.not_before_s for job in shard.waiting))
                for shard in self._shards.values()
                if shard.waiting
            ]
        return max(0.0, min(times) - now_s) if times else None

    def pending(self) -> int:
        """Segments that wait or are taken."""
        with self._lock:
            return len(self._taken) + sum(len(shard.waiting) for shard in self._shards.values())

    def oldest_ms(self) -> int | None:
        """Creation time of the oldest segment that waits or is taken."""
        with self._lock:
            waiting = (job.created_at_ms for shard in self._shards.values() for job in shard.waiting)
            return min([*waiting, *(job.created_at_ms for job in self._taken)], default=None)

    def waiting_in(self, folder: OwnedFolder) -> bool:
        """Whether a segment of this folder still waits."""
        with self._lock:
            return any(job.folder is folder for shard in self._shards.values() for job in shard.waiting)

    def _shard(self, number: int) -> _Shard:
        if number not in self._shards:
            self._shards[number] = _Shard(self._make_backoff())
        return self._shards[number]
