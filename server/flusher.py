"""Sends sealed segments to the store: one thread per process, more if `flush_parallelism` says so.

For each segment: scan → quarantine damaged ranges → encode → INSERT rows → INSERT counts → discard. The segment is
removed only after the store has acknowledged both, so every step may be repeated, and is: a segment whose earlier send
may have arrived (a failed attempt, one found in a dead process's folder) is asked for before it is sent.

| outcome (`server.retry`) | the segment |
|---|---|
| stored | discarded |
| RETRY, SCHEMA | waits in the spool; its shard backs off, hits keep coming in |
| PERMANENT, unreadable | moved to quarantine, the next one is sent |
| DOUBTFUL | waits; quarantined once it has failed often while others were stored, or for very long |

A thread prepares the next segment while the store works on the one it was sent, so encoding and storing overlap.
Threads: all of them run `_work`; whoever finds nothing to send asks the collector for the next sealed segment (one at a
time) and, now and then, looks for orphaned folders. `stop` lets them finish what can be sent now, within its grace.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from server.batch import Batch, UnreadableSegment, peek, prepare
from server.flush_queue import FlushQueue, Job
from server.quarantine import Quarantine
from server.retry import DOUBTFUL_ATTEMPTS, Failure, Verdict, classify
from server.sink import Sink
from server.spool import OwnedFolder, take_orphans

logger = logging.getLogger(__name__)

POLL_MS = 200
"""Longest wait for a sealed segment: how late a stop, a retry or an orphan may be noticed."""
ORPHANS_EVERY_S = 5.0
"""Between two looks for folders of dead processes: a few stat calls."""
DOUBTFUL_FOR_S = 600.0
"""A doubtful segment is quarantined after this even if nothing else was stored meanwhile."""
REPLAY_MAX_AGE_S = 7 * 24 * 3_600 - 3_600
"""batch_id lives 7 days in the tables: after that nobody can tell whether a segment was stored. An hour to spare."""
LOG_EVERY_S = 10.0
"""Repeated failures of one kind are logged once in this time, with their number."""

TOO_OLD = Failure(
    Verdict.PERMANENT, "too_old", "it may have been sent before, and is too old to ask the store: see `spool replay`"
)


class SealedSegments(Protocol):
    """What the flusher needs of `rust_ext.Collector`."""

    def next_sealed(self, timeout_ms: int) -> str | None:
        """The next sealed segment's path; waits without the GIL."""

    def discard(self, path: str) -> None:
        """The segment is stored: remove it and give its bytes back to the spool's budget."""


class NoSegments:
    """The source of a process that takes no hits and only drains what it finds."""

    def next_sealed(self, timeout_ms: int) -> str | None:
        """Never any."""
        time.sleep(timeout_ms / 1000)
        return None

    def discard(self, path: str) -> None:
        """Remove the file."""
        Path(path).unlink(missing_ok=True)


@dataclass(slots=True)
class FlushCounters:
    """What one process has sent, for metrics. Only ever grows; read without a lock."""

    segments: int = 0
    rows: int = 0
    records: int = 0
    segment_bytes: int = 0
    block_bytes: int = 0
    prepare_seconds: float = 0.0
    store_seconds: float = 0.0
    found_stored: int = 0
    orphans: int = 0
    quarantined_segments: int = 0
    quarantined_records: int = 0
    failures: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Ready:
    """A segment that was prepared, or could not be. `seconds`: what preparing took."""

    job: Job
    batch: Batch | None
    error: Exception | None
    seconds: float


@dataclass(slots=True)
class _Hand:
    """What one thread holds: its connections, and the batch it prepared ahead. `beat` gives a sign of life."""

    beat: Callable[[], None]
    sinks: dict[int, Sink] = field(default_factory=dict)
    ahead: _Ready | None = None


def _prepare(job: Job) -> _Ready:
    started_s = time.monotonic()
    try:
        return _Ready(job, prepare(job.path), None, time.monotonic() - started_s)
    except Exception as error:  # raised again where the segment's turn comes
        return _Ready(job, None, error, time.monotonic() - started_s)


class Flusher:
    """The flusher threads of one process."""

    def __init__(
        self,
        source: SealedSegments,
        make_sink: Callable[[int], Sink],
        quarantine: Quarantine,
        *,
        spool_root: Path | None = None,
        parallelism: int = 1,
        queue: FlushQueue | None = None,
    ) -> None:
        """`make_sink(shard)` makes one thread's sink of a shard; `spool_root` None: orphans are somebody else's."""
        self.counters = FlushCounters()
        self.last_failure: Failure | None = None
        self._source = source
        self._make_sink = make_sink
        self._quarantine = quarantine
        self._spool_root = spool_root
        self._queue = queue or FlushQueue()
        self._intake = threading.Lock()
        self._count = threading.Lock()
        self._stopping = threading.Event()
        self._deadline_s = float("inf")
        self._wanted = parallelism
        self._threads: list[threading.Thread] = []
        self._beats: dict[int, float] = {}
        self._next_orphans_s = 0.0
        self._logged: dict[str, tuple[float, int]] = {}

    def start(self) -> None:
        """Start the threads."""
        self.set_parallelism(self._wanted)

    def set_parallelism(self, wanted: int) -> None:
        """Have this many threads from now on; surplus ones end after their segment."""
        self._wanted = wanted
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for number in range(len(self._threads), wanted):
            self._beats[number] = time.monotonic()
            thread = threading.Thread(target=self._work, args=(number,), name=f"flusher-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self, grace_s: float) -> bool:
        """Send what can be sent now, for `grace_s` at most; the rest stays in the spool. Returns whether all went."""
        self._deadline_s = time.monotonic() + grace_s
        self._stopping.set()
        for thread in self._threads:
            thread.join(max(0.0, self._deadline_s - time.monotonic()))
        return self._queue.pending() == 0 and not any(thread.is_alive() for thread in self._threads)

    def moved_at_s(self) -> float:
        """Monotonic time of the last sign of life of the thread that is silent longest; now, before `start`.

        A thread gives one with each segment and each look for one, and every second while it waits for the store
        (`server.patient_socket`). One that ended by an error stays silent.
        """
        return min(list(self._beats.values()), default=time.monotonic())

    def pending(self) -> int:
        """Segments that this process knows of and that are not stored yet."""
        return self._queue.pending()

    def oldest_pending_ms(self) -> int | None:
        """Creation time of the oldest of them: what was answered before it is stored."""
        return self._queue.oldest_ms()

    def drain(self, patience_s: float = 0.0) -> None:
        """In the caller's thread: send what the source and orphaned folders hold, trying again for `patience_s`."""
        self._stopping.set()
        give_up_s = time.monotonic() + patience_s
        while True:
            self._work(0)
            now_s = time.monotonic()
            ready_s = self._queue.next_ready_s(now_s)
            if ready_s is None or now_s + ready_s > give_up_s:
                return
            time.sleep(ready_s)

    def _work(self, number: int) -> None:
        hand = _Hand(partial(self._beat, number))
        try:
            while number < self._wanted and time.monotonic() < self._deadline_s:
                hand.beat()
                ready = hand.ahead or self._take_ready()
                hand.ahead = None
                if ready is not None:
                    self._send(ready, hand)
                elif not self._take_in(POLL_MS) and self._stopping.is_set():
                    break
            self._beats.pop(number, None)
        except Exception:
            logger.exception("a flusher thread ended; health says so once it has been silent for long enough")
            raise
        finally:
            self._put_back(hand)
            for sink in hand.sinks.values():
                sink.close()

    def _beat(self, number: int) -> None:
        self._beats[number] = time.monotonic()

    def _take_ready(self) -> _Ready | None:
        """The next segment that may be sent, prepared."""
        job = self._queue.take(time.monotonic())
        return None if job is None else _prepare(job)

    def _look_ahead(self, hand: _Hand) -> None:
        """While the store works on a batch, prepare the next: the one thread keeps both sides busy."""
        hand.ahead = self._take_ready()
        if hand.ahead is None and self._take_in(0):
            hand.ahead = self._take_ready()

    def _put_back(self, hand: _Hand) -> None:
        if hand.ahead is not None:
            self._queue.put_back(hand.ahead.job)
            hand.ahead = None

    def _take_in(self, longest_ms: int) -> bool:
        """Queue one more sealed segment, or wait for one. Returns whether there was something."""
        now_s = time.monotonic()
        ready_s = self._queue.next_ready_s(now_s)
        timeout_ms = 0 if self._stopping.is_set() else longest_ms
        if ready_s is not None:
            timeout_ms = min(timeout_ms, int(ready_s * 1000))
        if not self._intake.acquire(timeout=timeout_ms / 1000):
            return False
        try:
            found = self._adopt(now_s)
            path = self._source.next_sealed(timeout_ms)
        finally:
            self._intake.release()
        if path is None:
            return found
        self._put(Job(Path(path), sent_before=False))
        return True

    def _put(self, job: Job) -> None:
        with suppress(OSError):  # gone or unreadable: sending it will say so
            job.shard, job.created_at_ms = peek(job.path)
        self._queue.put(job)

    def _adopt(self, now_s: float) -> bool:
        """Queue the segments of dead processes' folders."""
        if self._spool_root is None or now_s < self._next_orphans_s:
            return False
        self._next_orphans_s = now_s + ORPHANS_EVERY_S
        found = False
        for folder in take_orphans(self._spool_root):
            segments = folder.segments()
            logger.info("draining %d segments of an ended process from %s", len(segments), folder.path.name)
            for path in segments:
                self._put(Job(path, sent_before=True, folder=folder))
                self.counters.orphans += 1
                found = True
        return found

    def _send(self, ready: _Ready, hand: _Hand) -> None:
        """One attempt at one segment, whatever comes of it."""
        job, batch = ready.job, ready.batch
        sink: Sink | None = None
        try:
            if batch is None:
                assert ready.error is not None, "preparing ends with a batch or an error"
                raise ready.error
            job.shard = batch.shard
            self._keep_damage(job, batch)
            if job.sent_before and time.time() - batch.created_at_ms / 1000 > REPLAY_MAX_AGE_S:
                self._set_aside(job, TOO_OLD, batch.records)
                return
            sink = hand.sinks.get(batch.shard) or hand.sinks.setdefault(batch.shard, self._make_sink(batch.shard))
            sink.on_wait = hand.beat
            started_s = time.monotonic()
            stored = sink.store(batch, sent_before=job.sent_before, while_waiting=partial(self._look_ahead, hand))
        except FileNotFoundError:
            logger.warning("segment %s vanished before it was sent", job.path.name)
            self._finish(job, stored=False)
        except UnreadableSegment as error:
            self._set_aside(job, Failure(Verdict.PERMANENT, "unreadable", str(error)), error.records)
        except Exception as error:  # whatever it is, the segment is kept and the thread goes on
            self._put_back(hand)
            self._failed(job, classify(error), may_have_sent=sink is not None and sink.may_have_sent)
        else:
            self._count_stored(batch, stored.found, ready.seconds, time.monotonic() - started_s)
            self._finish(job, stored=True)

    def _finish(self, job: Job, *, stored: bool) -> None:
        """The segment is safe elsewhere: remove it from the spool. If that fails, it is asked for and found later."""
        try:
            if job.folder is None:
                self._source.discard(str(job.path))
            else:
                job.folder.discard(job.path)
        except Exception as error:  # of the collector's or the disk's: the thread goes on, the segment stays known
            now_s = time.monotonic()
            self._log_failure(classify(error), self._queue.again(job, now_s, sent_before=True), now_s)
            return
        self._queue.done(job, time.monotonic(), stored=stored)
        if job.folder is not None and not self._queue.waiting_in(job.folder):
            self._leave(job.folder)

    def _leave(self, folder: OwnedFolder) -> None:
        with self._count:
            if folder.remove_if_empty():
                logger.info("drained %s", folder.path.name)

    def _failed(self, job: Job, failure: Failure, *, may_have_sent: bool) -> None:
        with self._count:
            self.counters.failures[failure.label] += 1
        self.last_failure = failure
        now_s = time.monotonic()
        if failure.verdict is Verdict.PERMANENT or (failure.verdict is Verdict.DOUBTFUL and self._hopeless(job, now_s)):
            self._set_aside(job, failure, None)
            return
        delay_s = self._queue.again(job, now_s, sent_before=may_have_sent, only_this=failure.only_this)
        self._log_failure(failure, delay_s, now_s)

    def _hopeless(self, job: Job, now_s: float) -> bool:
        """Whether it is the segment's fault: it keeps failing where others are stored, or has for very long."""
        if job.attempts == 0:
            return False
        often = job.attempts + 1 >= DOUBTFUL_ATTEMPTS
        return (often and self._queue.stored_since(job)) or now_s - job.first_failed_s > DOUBTFUL_FOR_S

    def _set_aside(self, job: Job, failure: Failure, records: int | None) -> None:
        """Quarantine the whole segment and go on."""
        try:
            if records is None:
                records = prepare(job.path).records
            self._quarantine.keep_segment(job.path, reason=failure.label, error=failure.message, records=records)
        except OSError as error:  # a full disk: the segment stays in the spool, which is as safe
            now_s = time.monotonic()
            self._log_failure(classify(error), self._queue.again(job, now_s, sent_before=job.sent_before), now_s)
            return
        logger.error("segment %s is in quarantine: %s: %s", job.path.name, failure.label, failure.message)
        with self._count:
            self.counters.quarantined_segments += 1
            self.counters.quarantined_records += records
        self._finish(job, stored=False)

    def _keep_damage(self, job: Job, batch: Batch) -> None:
        """Keep damaged ranges before the segment that holds them can go."""
        if not batch.damage:
            return
        self._quarantine.keep_damage(job.path, batch.damage, reason="damaged", records=batch.lost_records)
        if job.attempts == 0:
            logger.error("segment %s lost %d records to damage, the rest is sent", job.path.name, batch.lost_records)
            with self._count:
                self.counters.quarantined_records += batch.lost_records

    def _count_stored(self, batch: Batch, found: bool, prepare_s: float, store_s: float) -> None:
        counters = self.counters
        self.last_failure = None
        with self._count:
            counters.segments += 1
            counters.rows += batch.events.rows
            counters.records += batch.records
            counters.segment_bytes += batch.segment_bytes
            counters.block_bytes += batch.block_bytes
            counters.prepare_seconds += prepare_s
            counters.store_seconds += store_s
            counters.found_stored += found

    def _log_failure(self, failure: Failure, delay_s: float, now_s: float) -> None:
        """One line per kind and `LOG_EVERY_S`."""
        with self._count:
            last_s, silent = self._logged.get(failure.label, (-LOG_EVERY_S, 0))
            if now_s - last_s < LOG_EVERY_S:
                self._logged[failure.label] = (last_s, silent + 1)
                return
            self._logged[failure.label] = (now_s, 0)
        level = logging.ERROR if failure.verdict is Verdict.SCHEMA else logging.WARNING
        logger.log(
            level,
            "cannot store yet (%s, %d times before), trying again in %.1f s: %s",
            failure.label,
            silent,
            delay_s,
            failure.message,
        )
