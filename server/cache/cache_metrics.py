"""What a process's cache counts. Totals only: no key, no topic and no site is a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from server.metrics import REGISTRY

# layer: process, redis, or flight for an answer that another thread was computing already.
HITS = Counter("footfall_cache_hits", "Answers that were remembered, by layer", ["layer"], registry=REGISTRY)
MISSES = Counter("footfall_cache_misses", "Answers that were computed", registry=REGISTRY)
INVALIDATIONS = Counter("footfall_cache_invalidations", "Topics that this process invalidated", registry=REGISTRY)
BYTES_HELD = Gauge("footfall_cache_bytes", "Bytes of remembered answers in this process", registry=REGISTRY)
POLL_FAILURES = Counter(
    "footfall_cache_poll_failures", "Attempts to read the invalidations that failed", registry=REGISTRY
)
