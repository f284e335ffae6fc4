"""The result cache: answers to queries, as the bytes that are sent.

An answer is known by the whole query (site, instants, goals and segments as they were resolved), the document as it was
asked, and the version of the data it was computed from (`StatsEngine.data_version`): closing a day, a late hit or an
import gives another version, and what was remembered of the old one is never found again. The topics `site:<id>:closed`
and `site:<id>:setup` make answers out of date at once besides, for whoever changes something without a new version.

Kept for `SETTLED_TTL_S` when nothing that arrives can change it, else for `OPEN_TTL_S`. Whoever asks the same while an
answer is being computed waits for it, in all processes that share the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from server.cache import Cache
from server.cache.keys import answer_key, encode_answer
from server.closed_days import closed_topic
from server.queries.engine import StatsEngine
from server.queries.errors import QueryCancelled
from server.queries.event_reader import Ticket
from server.queries.model import Query

OPEN_TTL_S = 10.0
SETTLED_TTL_S = 6 * 3600.0

# Raise it when answers look different, or mean something else.
VERSION = 1

# Times that are part of a query end with whole multiples of this, so that it is the same query for that long.
NOW_STEP_MS = 10_000

# Those who waited for somebody who then went away ask themselves, and may meet another such one.
MOST_ATTEMPTS = 3


def setup_topic(site_id: int) -> str:
    """The topic of whoever changes goals, funnels, segments or annotations."""
    return f"site:{site_id}:setup"


def remembered_document(
    cache: Cache, engine: StatsEngine, query: Query, document: dict[str, Any], now_ms: int, ticket: Ticket
) -> bytes:
    """The answer's JSON. Blocks; raises what the engine raises."""
    version = engine.data_version(query)
    arguments = {"query": repr(query), "document": document, "version": version.token}
    return _remembered(
        cache,
        "stats_api.document",
        arguments,
        query.site_id,
        SETTLED_TTL_S if version.is_settled else OPEN_TTL_S,
        lambda: engine.document(query, document, now_ms, ticket),
        ticket,
    )


def remembered_briefly(
    cache: Cache, name: str, site_id: int, arguments: dict[str, Any], compute: Callable[[], Any], ticket: Ticket
) -> bytes:
    """The JSON of something about now, kept for `OPEN_TTL_S`. Blocks; raises what `compute` raises."""
    arguments = {"site_id": site_id, **arguments}
    return _remembered(cache, f"stats_api.{name}", arguments, site_id, OPEN_TTL_S, compute, ticket)


def _remembered(
    cache: Cache,
    name: str,
    arguments: dict[str, Any],
    site_id: int,
    ttl_s: float,
    compute: Callable[[], Any],
    ticket: Ticket,
) -> bytes:
    key = answer_key(name, VERSION, arguments)
    topics = (closed_topic(site_id), setup_topic(site_id))
    for attempt in range(1, MOST_ATTEMPTS + 1):
        try:
            return cache.answer(key, topics, ttl_s, lambda: encode_answer(compute()))
        except QueryCancelled:
            # It may have been another's question that we waited for.
            if ticket.is_revoked or attempt == MOST_ATTEMPTS:
                raise
    raise AssertionError("unreachable")
