"""What metering asks of the event store: where something was stored lately, and how many billable events there are."""

from __future__ import annotations

from collections.abc import Sequence

from server.clickhouse_tcp import BlockConnection
from server.queries import run_query
from server.queries.drops import ACCEPTED


class EventUsage:
    """The event store as metering sees it. Belongs to one thread."""

    def __init__(self, connection: BlockConnection) -> None:
        self._connection = connection

    def hours_since(self, since_ms: int) -> set[tuple[int, int]]:
        """(site_id, second at which the hour begins) of hits that were stored in segments opened since then."""
        rows = run_query(self._connection, "closing_late", since_s=max(0, since_ms) // 1000, accepted=ACCEPTED)
        return {(int(site_id), int(hour_s)) for site_id, hour_s in rows}

    def count(
        self, site_ids: Sequence[int], day_ms: int, until_ms: int, cuts: Sequence[int]
    ) -> list[tuple[int, int, int]]:
        """(site_id, cut, events) of a day: the events from each cut to the next. The first is where it begins."""
        rows = run_query(
            self._connection,
            "usage_count",
            site_ids=list(site_ids),
            from_s=day_ms // 1000,
            until_s=until_ms // 1000,
            cuts=list(cuts),
        )
        return [(int(site_id), int(cut), int(events)) for site_id, cut, events in rows]
