"""Hits that did not become rows, by reason and day, as the ledger has them: nothing is filtered out silently."""

from __future__ import annotations

from typing import Any

from server.queries.event_reader import EventReader, Ticket
from server.queries.parameters import Value
from server.queries.parsing import SiteFacts
from server.queries.periods import Interval, TimeRange, buckets
from server.queries.statements import sql_text

ACCEPTED = "accepted"

REASON_LABELS = {
    "bot": "Bots and scripts",
    "prefetch": "Fetched ahead, never seen",
    "referrer_spam": "Referrer spam",
    "hostname": "Hostname not allowed",
    "rate": "Too many at once",
    "capacity": "Plan's capacity used up",
    "blocked": "Site blocked",
    "unknown_site": "Unknown site",
    "timestamp": "Time too old or in the future",
    "sampled": "Left out by sampling",
    "unsupported": "Kind of event that is not stored",
    "blocked_network": "Blocked address",
    "blocked_country": "Blocked country",
    "blocked_path": "Blocked page",
    "json": "Not valid JSON",
    "field_type": "Field of a wrong type",
    "field_missing": "Required field missing",
    "field_too_long": "Field too long",
    "url": "Not a page's URL",
    "body_too_large": "Request too large",
    "field_range": "Number out of range",
}
"""Every outcome but `accepted` as people read it; rust_ext's `Outcome` is the list, a test compares."""


def drops(reader: EventReader, facts: SiteFacts, range_: TimeRange, ticket: Ticket | None = None) -> dict[str, Any]:
    """The document of `GET /api/stats/drops`: totals, each reason with its hits by day, the days."""
    cut = buckets(range_, Interval.DAY)
    parameters: dict[str, Value] = {
        "site_id": facts.site_id,
        "day_starts": list(cut.starts_ms),
        "from_ms": range_.from_ms,
        "until_ms": range_.until_ms,
    }
    accepted = [0] * len(cut.labels)
    reasons: dict[str, list[int]] = {}
    for day_ms, outcome, hits in reader.rows(sql_text("drops"), parameters, ticket):
        counts = accepted if outcome == ACCEPTED else reasons.setdefault(outcome, [0] * len(cut.labels))
        counts[cut.index(day_ms)] += hits
    dropped = [sum(counts) for counts in zip(*reasons.values(), strict=True)] or [0] * len(cut.labels)
    ranked = sorted(reasons.items(), key=lambda item: (-sum(item[1]), item[0]))
    return {
        "accepted": sum(accepted),
        "dropped": sum(dropped),
        "answered": sum(accepted) + sum(dropped),
        "days": [
            {"day": label, "accepted": stored, "dropped": lost}
            for label, stored, lost in zip(cut.labels, accepted, dropped, strict=True)
        ],
        "reasons": [
            {"reason": reason, "label": REASON_LABELS.get(reason, reason), "hits": sum(counts), "by_day": counts}
            for reason, counts in ranked
        ],
    }
