"""What is stored of one site: the answer of `GET /api/count`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from server.queries import run_query
from server.store import Store


def count_site(store: Store, site_id: int) -> dict[str, Any]:
    """Stored rows by kind of event, the times of the first and the last, the hour of the first hit. Blocks.

    Rows of imports are no hits.
    """
    connection = store.connection()
    try:
        rows = run_query(connection, "count_rows", site_ids=[site_id])
        hours = run_query(connection, "first_live_hit", site_id=site_id)
    finally:
        connection.close()
    return {
        "events": sum(row[2] for row in rows),
        "kinds": {row[1]: row[2] for row in rows},
        "first": min((row[3].replace(tzinfo=UTC) for row in rows), default=None),
        "last": max((row[4].replace(tzinfo=UTC) for row in rows), default=None),
        "first_hit": datetime.fromtimestamp(hours[0][0], UTC) if hours else None,
    }
