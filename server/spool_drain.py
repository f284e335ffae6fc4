"""Emptying a spool without serving: for a volume whose pod is gone for good, or a data folder that is to be removed.

Everything that ended processes left is stored. Afterwards the folder may go if, and only if, nothing is left: neither
segments, also not those of a process that runs, nor anything in quarantine. Its watermarks are forgotten, so that
nobody waits for a process that never comes back.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from server.app_database import forget_watermarks, open_app_database
from server.config import Settings
from server.data_folder import home_id
from server.quarantine import Quarantine
from server.retry import Backoff, classify
from server.segment_replay import drain_spool
from server.spool import folders, inspect, is_in_use
from server.store import Store


@dataclass(frozen=True, slots=True)
class Drained:
    """What was stored, and what is left, a line each. Nothing left: the folder may be removed."""

    segments: int
    records: int
    left: tuple[str, ...]


def drain(settings: Settings, store: Store, patience_s: float) -> Drained:
    """Store what is there, trying again for `patience_s` while ClickHouse is away."""
    give_up_s = time.monotonic() + patience_s
    problem = _prepare_store(store, give_up_s)
    segments = records = 0
    # Looked at first: what we drain is locked by ourselves.
    running = {folder.name for folder in folders(settings.spool_root) if is_in_use(folder)}
    quarantine = Quarantine(settings.quarantine_dir)
    if not problem:
        rest_s = max(0.0, give_up_s - time.monotonic())
        flusher = drain_spool(settings.spool_root, quarantine, store.make_sink, rest_s)
        segments, records = flusher.counters.segments, flusher.counters.records
        if flusher.pending() and flusher.last_failure is not None:
            problem = f"{flusher.last_failure.label}: {flusher.last_failure.message}"
    left = [*_left(settings, quarantine, running), *_forget(settings)]
    return Drained(segments, records, tuple([problem, *left] if problem and left else left))


def _prepare_store(store: Store, give_up_s: float) -> str:
    """Wait until it has its tables. Returns why it has not."""
    backoff = Backoff(longest_s=10.0)
    while True:
        try:
            store.migrate()
        except Exception as error:  # whatever it is, the next attempt may succeed
            failure, delay_s = classify(error), backoff.next_s()
            if time.monotonic() + delay_s > give_up_s:
                return f"{failure.label}: {failure.message}"
            time.sleep(delay_s)
        else:
            return ""


def _left(settings: Settings, quarantine: Quarantine, running: set[str]) -> Iterator[str]:
    for folder in inspect(settings.spool_root):
        if folder.segments:
            whose = "a running process" if folder.path.name in running else "an ended process"
            yield f"{len(folder.segments)} segments with {folder.records} records of {whose} in {folder.path.name}"
        elif folder.path.name in running and folder.in_use:
            yield f"the folder {folder.path.name} of a running process"
    kept = quarantine.entries()
    if kept:
        yield f"{len(kept)} files with {sum(entry.records for entry in kept)} records in quarantine"


def _forget(settings: Settings) -> Iterator[str]:
    """Forget watermarks of folders that are gone."""
    engine = open_app_database(settings)
    try:
        forget_watermarks(engine, home_id(settings), [folder.name for folder in folders(settings.spool_root)])
    except SQLAlchemyError as error:
        yield f"watermarks in the app database, which did not take the news: {type(error).__name__}"
    finally:
        engine.dispose()
