"""Sending segments again by hand: what an operator does after mending the reason that set them aside.

A replay asks the store first, like every repetition, so it never doubles. Segments older than the batch id's life in
the tables cannot be asked for; they are sent only when the operator says so. Hits of sites that have been destroyed
since are not stored again; they are counted as those of a blocked site.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from server.batch import UnreadableSegment, prepare
from server.flusher import REPLAY_MAX_AGE_S, Flusher, NoSegments
from server.quarantine import Quarantine, Quarantined
from server.retry import classify
from server.sink import Sink

DRAIN_PATIENCE_S = 30.0
"""A store that restarts, or an earlier send that still runs, is over by then; somebody is waiting at a terminal."""

TOO_OLD = "older than 7 days: nobody can tell whether it was stored"
"""The problem of a segment that is sent only when the operator says so."""

MakeSink = Callable[[int], Sink]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one segment. `problem` empty: it is stored."""

    path: Path
    records: int
    found: bool
    problem: str


def replay_files(
    paths: Iterable[Path], make_sink: MakeSink, *, even_if_old: bool = False, destroyed_sites: Collection[int] = ()
) -> Iterator[Replayed]:
    """Send these segments. They stay where they are."""
    sinks: dict[int, Sink] = {}
    try:
        for path in paths:
            yield _replay(path, make_sink, sinks, even_if_old, destroyed_sites)
    finally:
        for sink in sinks.values():
            sink.close()


def _replay(
    path: Path, make_sink: MakeSink, sinks: dict[int, Sink], even_if_old: bool, destroyed_sites: Collection[int]
) -> Replayed:
    try:
        batch = prepare(path, destroyed_sites)
    except (OSError, UnreadableSegment) as error:
        return Replayed(path, 0, False, str(error))
    if not even_if_old and time.time() - batch.created_at_ms / 1000 > REPLAY_MAX_AGE_S:
        return Replayed(path, batch.records, False, TOO_OLD)
    sink = sinks.get(batch.shard) or sinks.setdefault(batch.shard, make_sink(batch.shard))
    try:
        stored = sink.store(batch, sent_before=True)
    except Exception as error:  # reported per segment: the others are still sent
        failure = classify(error)
        return Replayed(path, batch.records, False, f"{failure.label}: {failure.message}")
    return Replayed(path, batch.records, stored.found, "")


def replay_quarantine(
    quarantine: Quarantine, make_sink: MakeSink, *, even_if_old: bool = False, destroyed_sites: Collection[int] = ()
) -> Iterator[Replayed]:
    """Send every quarantined segment; those that are stored leave the quarantine."""
    segments = {entry.path: entry for entry in quarantine.entries() if entry.is_segment}
    for replayed in replay_files(segments, make_sink, even_if_old=even_if_old, destroyed_sites=destroyed_sites):
        if not replayed.problem:
            quarantine.release(segments[replayed.path])
        yield replayed


def replay_kept(
    quarantine: Quarantine,
    entry: Quarantined,
    make_sink: MakeSink,
    *,
    even_if_old: bool,
    destroyed_sites: Collection[int],
) -> Replayed:
    """Send one quarantined segment; once it is stored it leaves the quarantine."""
    (replayed,) = replay_files([entry.path], make_sink, even_if_old=even_if_old, destroyed_sites=destroyed_sites)
    if not replayed.problem:
        quarantine.release(entry)
    return replayed


def drain_spool(
    spool_root: Path, quarantine: Quarantine, make_sink: MakeSink, patience_s: float = DRAIN_PATIENCE_S
) -> Flusher:
    """Send what dead processes left in the spool. Returns the flusher for its counters."""
    flusher = Flusher(NoSegments(), make_sink, quarantine, spool_root=spool_root)
    flusher.drain(patience_s)
    return flusher
