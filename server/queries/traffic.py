"""Traffic of many sites at a moment, for alerts; and what was answered in a time, for staff."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from server.queries.event_reader import EventReader
from server.queries.periods import HOUR_MS
from server.queries.realtime import MINUTE_MS, PRESENT_MS
from server.queries.statements import sql_text


@dataclass(frozen=True)
class Presence:
    """Visitors of the last five minutes, as realtime counts them, and of the last hour."""

    now: int = 0
    last_hour: int = 0


def presence(reader: EventReader, site_ids: Collection[int], now_ms: int) -> dict[int, Presence]:
    """Each of these sites. Raises what `EventReader.rows` raises."""
    found = {site_id: Presence() for site_id in site_ids}
    if not found:
        return found
    from_ms = now_ms - HOUR_MS
    rows = reader.rows(
        sql_text("traffic_now"),
        {
            "site_ids": sorted(found),
            "now_from_ms": now_ms - PRESENT_MS,
            "from_ms": from_ms,
            "until_ms": now_ms + MINUTE_MS,  # clocks of other machines may be ahead
            "hour_s": from_ms // HOUR_MS * 3600,
        },
    )
    return found | {site_id: Presence(now, last_hour) for site_id, now, last_hour in rows}


def hits_of_hours(
    reader: EventReader, site_ids: Collection[int], hours_ms: Collection[int]
) -> dict[tuple[int, int], int]:
    """Page views and custom events by site and hour (the instant at which it begins, whole hours of UTC)."""
    if not site_ids or not hours_ms:
        return {}
    parameters = {"site_ids": sorted(site_ids), "hours": sorted(each // 1000 for each in hours_ms)}
    rows = reader.rows(sql_text("traffic_hours"), parameters)
    return {(site_id, hour_s * 1000): hits for site_id, hour_s, hits in rows}


def ingest_totals(reader: EventReader, from_ms: int, until_ms: int) -> dict[str, int]:
    """Answered hits by outcome, of whole hours, the most first."""
    rows = reader.rows(sql_text("ingest_totals"), {"from_s": from_ms // 1000, "until_s": until_ms // 1000})
    return {label: hits for label, hits in rows if hits}
