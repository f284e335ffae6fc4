"""What an entry really costs, against the constant that the limit counts with."""

from __future__ import annotations

import hashlib
import tracemalloc

from server.cache.process_layer import ENTRY_OVERHEAD_BYTES, Entry, ProcessLayer

ENTRIES = 5000


def test_the_overhead_of_an_entry_is_not_understated() -> None:
    layer = ProcessLayer(ENTRIES * (ENTRY_OVERHEAD_BYTES + 200))
    tracemalloc.start()
    try:
        before_bytes, _ = tracemalloc.get_traced_memory()
        for number in range(ENTRIES):
            layer.keep(hashlib.sha256(str(number).encode()).hexdigest(), Entry(bytes(100), 1000 + number, 1.0 + number))
        after_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(layer) == ENTRIES
    real_bytes = (after_bytes - before_bytes) / ENTRIES
    assert real_bytes <= layer.bytes_held / ENTRIES <= 2 * real_bytes
