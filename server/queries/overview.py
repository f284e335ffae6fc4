"""Many sites at a glance, in one statement: the last 24 hours, against the 24 before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from server.queries.event_reader import EventReader, Ticket
from server.queries.parameters import Value
from server.queries.periods import HOUR_MS
from server.queries.statements import sql_text

HOURS = 24


@dataclass
class SiteGlance:
    """Visitors of the last 24 hours, of the 24 before, and by hour, the present one last."""

    visitors: int = 0
    visitors_before: int = 0
    by_hour: list[int] = field(default_factory=lambda: [0] * HOURS)


def glance(
    reader: EventReader, site_ids: Sequence[int], now_ms: int, ticket: Ticket | None = None
) -> dict[int, SiteGlance]:
    """Each of these sites. Hours are whole ones, so the last 24 of them end with the present one."""
    until_s = (now_ms // HOUR_MS + 1) * 3600
    found = {site_id: SiteGlance() for site_id in site_ids}
    if not found:
        return found
    parameters: dict[str, Value] = {
        "site_ids": list(site_ids),
        "from_s": until_s - 2 * HOURS * 3600,
        "until_s": until_s,
    }
    for site_id, age_h, visitors in reader.rows(sql_text("overview"), parameters, ticket):
        site = found[site_id]
        if age_h == -1:
            site.visitors = visitors
        elif age_h == -2:
            site.visitors_before = visitors
        elif age_h < HOURS:
            site.by_hour[HOURS - 1 - age_h] = visitors
    return found
