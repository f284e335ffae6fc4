"""Remembered answers: a cache inside each process in front of one in Redis, for functions whose answers are JSON.

    @cache(ttl_s=900, topics=("site:{site_id}",))
    def pages_of(services: Services, site_id: int, period: str) -> list[str]: ...

    pages_of(services, 5, "7d")                        # computed once, then remembered for 15 minutes
    services.cache.invalidate("site:5", session)       # every answer about site 5 is out of date, once this commits

The first parameter is the `Cache`, or something that has it as `.cache`: nothing here is global.

Invariants:
- an answer whose computation began before an invalidation is never given to who asks after it: at once in the process
  that invalidated; in every other one as soon as it has read the table (`InvalidationPoller`: at once after a hint of
  Redis, else within a second); and after `BLIND_AFTER_S` at the latest, since who has not read the table for so long
  uses no remembered answer;
- the app database says what is out of date (`invalidations`); Redis keeps answers and passes hints, nothing else;
- an answer is plain JSON, kept as bytes: everyone gets a copy of their own;
- without Redis, without the app database, or without a poller answers are computed more often, never wrong;
- memory is bounded by bytes, waiting by time.

| module | what |
|---|---|
| `cached_function` | the decorator |
| `keys` | what an answer is known by: the hash of its arguments, its topics |
| `two_layers` | `Cache`: looks, computes once, keeps |
| `process_layer`, `redis_layer` | the two layers |
| `redis_circuit` | leaves a Redis that does not answer alone for a while; the rate limiter uses it too |
| `invalidations` | the table: writing in commit order, what this process knows, pruning |
| `poller` | the thread that keeps this knowledge new |
"""

from __future__ import annotations

from server.cache.cached_function import CachedFunction, HasCache, cache
from server.cache.keys import (
    AnswerNotJson,
    ArgumentNotJson,
    DeclarationInvalid,
    TopicInvalid,
)
from server.cache.poller import InvalidationPoller
from server.cache.two_layers import Cache, CacheLimits

__all__ = [
    "AnswerNotJson",
    "ArgumentNotJson",
    "Cache",
    "CacheLimits",
    "CachedFunction",
    "DeclarationInvalid",
    "HasCache",
    "InvalidationPoller",
    "TopicInvalid",
    "cache",
]
