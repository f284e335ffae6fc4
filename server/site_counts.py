"""What is stored of one site: the answer of `GET /api/count`."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from server.queries import run_query
from server.store import Store


def count_site(store: Store, site_id: int) -> dict[str, Any]:
    """Stored rows by kind of event, and the times of the first and the last. Blocks."""
    connection = store.connection()
    try:
        rows = run_query(connection, "count_rows", site_ids=[site_id])
    finally:
        connection.close()
    return {
        "events": sum(row[2] for row in rows),
        "kinds": {row[1]: row[2] for row in rows},
        "first": min((row[3].replace(tzinfo=UTC) for row in rows), default=None),
        "last": max((row[4].replace(tzinfo=UTC) for row in rows), default=None),
    }
