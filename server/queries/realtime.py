"""Who is on the site now: the last five minutes, and the last thirty by minute, page, source and country.

Read from `events` alone; a hit shows once its batch is stored, a second or two after it came.
"""

from __future__ import annotations

from typing import Any

from server.queries.dimensions import NO_SOURCE
from server.queries.event_reader import EventReader, Ticket
from server.queries.parsing import SiteFacts
from server.queries.periods import HOUR_MS
from server.queries.statements import sql_text

MINUTE_MS = 60_000
MINUTES = 30
PRESENT_MS = 5 * MINUTE_MS
"""As Plausible's: a visitor is here for five minutes after the last sign of life."""
LIST_ROWS = 10
SOURCE_LOOKBACK_MS = HOUR_MS
"""How far back the beginning of a visit that is under way is looked for."""


def realtime(reader: EventReader, facts: SiteFacts, ticket: Ticket | None = None) -> dict[str, Any]:
    """The document of `GET /api/stats/realtime`. `minutes` are the last thirty, the present one last."""
    last_minute_ms = facts.now_ms // MINUTE_MS * MINUTE_MS
    from_ms = last_minute_ms - (MINUTES - 1) * MINUTE_MS
    read_from_ms = from_ms - SOURCE_LOOKBACK_MS
    parameters = {
        "site_id": facts.site_id,
        "now_from_ms": facts.now_ms - PRESENT_MS,
        "from_ms": from_ms,
        "read_from_ms": read_from_ms,
        "until_ms": facts.now_ms + MINUTE_MS,  # clocks of other machines may be ahead
        "hour_s": read_from_ms // HOUR_MS * 3600,
        "rows": max(LIST_ROWS, MINUTES + 1),
    }
    found: dict[str, list[tuple[str, int, int]]] = {}
    for what, value, visitors, pageviews in reader.rows(sql_text("realtime"), parameters, ticket):
        found.setdefault(what, []).append((value, visitors, pageviews))
    by_minute = {int(value): (visitors, pageviews) for value, visitors, pageviews in found.get("minute", [])}
    minutes = []
    for number in range(MINUTES):
        start_ms = from_ms + number * MINUTE_MS
        visitors, pageviews = by_minute.get(start_ms, (0, 0))
        local = facts.calendar.local(start_ms)
        minutes.append({"minute": local.isoformat(timespec="minutes"), "visitors": visitors, "pageviews": pageviews})
    return {
        "visitors": sum(row[1] for row in found.get("now", [])),
        "visitors_30m": sum(row[1] for row in found.get("all", [])),
        "minutes": minutes,
        "pages": _list(found.get("page", [])),
        "sources": _list(found.get("source", []), NO_SOURCE),
        "countries": _list([row for row in found.get("country", []) if row[0]]),
    }


def _list(rows: list[tuple[str, int, int]], fallback: str = "") -> list[dict[str, Any]]:
    return [{"name": value or fallback, "visitors": visitors} for value, visitors, _ in rows[:LIST_ROWS]]
