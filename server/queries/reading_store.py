"""The store as jobs read figures from it: an `EventReader` with the patience of a job."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from server.config import Settings
from server.queries.event_reader import EventReader, ReadLimits
from server.store import open_store

JOB_LIMITS = ReadLimits(execution_s=120.0, rows_read=5_000_000_000, result_rows=1_000_000, queries=1, queue_wait_s=60.0)
"""One query at a time, so that dashboards come first."""


@contextmanager
def open_event_reader(settings: Settings, limits: ReadLimits = JOB_LIMITS) -> Iterator[EventReader]:
    """A reader of the configured store, for as long as the `with` lasts."""
    with open_store(settings) as store:
        reader = EventReader(store.addresses[0], limits)
        try:
            yield reader
        finally:
            reader.close()
