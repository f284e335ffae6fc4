"""The layer inside a process: encoded answers, the least recently used ones dropped when the bytes run out.

Not thread-safe: `Cache` calls it under its lock.
"""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import LRUCache

from server.cache.cache_metrics import BYTES_HELD

# What an entry costs beside its bytes: key, entry, numbers and the places in the LRU's three tables, measured with
# tracemalloc on CPython 3.11 and rounded up (tests/server/cache/test_process_layer.py holds it).
ENTRY_OVERHEAD_BYTES = 512


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer as JSON, the newest invalidation known before it was computed, and its end on the cache's clock."""

    body: bytes
    as_of: int
    ends_at_s: float


def entry_bytes(entry: Entry) -> int:
    """What an entry weighs against the limit."""
    return len(entry.body) + ENTRY_OVERHEAD_BYTES


class ProcessLayer:
    """At most `max_bytes` of entries; with 0 it keeps nothing."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: LRUCache[str, Entry] = LRUCache(max_bytes, getsizeof=entry_bytes)

    @property
    def bytes_held(self) -> int:
        """What the entries weigh."""
        return int(self._entries.currsize)

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: str) -> Entry | None:
        """The entry, which becomes the most recently used one. Whether it is still good is for the caller to judge."""
        entry: Entry | None = self._entries.get(key)
        return entry

    def keep(self, key: str, entry: Entry) -> None:
        """Remember an entry in place of an older one. One that is larger than everything together is not kept."""
        self._entries.pop(key, None)
        if entry_bytes(entry) <= self._max_bytes:
            self._entries[key] = entry
        BYTES_HELD.set(self._entries.currsize)

    def drop(self, key: str) -> None:
        """Forget an entry, if it is there."""
        self._entries.pop(key, None)
        BYTES_HELD.set(self._entries.currsize)
