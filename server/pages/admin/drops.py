"""`/admin/drops`: hits of the whole installation that did not become rows, by reason over the last days, and whose."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.clock import DAY_MS, now_ms, time_text
from server.handler import AppContext
from server.models import Site
from server.pages.admin.staff_page import StaffPage
from server.queries.drops import ACCEPTED, REASON_LABELS
from server.queries.errors import QueryFailed, QueryRefused
from server.queries.event_reader import EventReader
from server.queries.statements import sql_text

log = logging.getLogger(__name__)

DAYS = 14

STORE_ERRORS = (QueryFailed, QueryRefused)
"""What is raised where the event store is away, or too busy."""


@dataclass(frozen=True)
class Reason:
    """One outcome that is no row: hits by day, the oldest first."""

    code: str
    label: str
    by_day: tuple[int, ...]

    @property
    def hits(self) -> int:
        """All of them."""
        return sum(self.by_day)


@dataclass(frozen=True)
class HitsByDay:
    """`days`: dates in UTC; `accepted`: hits that became rows, by day."""

    days: tuple[str, ...]
    accepted: tuple[int, ...]
    reasons: tuple[Reason, ...]


def first_ms_of(days: int, now: int) -> int:
    """When the first of the last days (UTC) began, today included."""
    return now - now % DAY_MS - (days - 1) * DAY_MS


def hits_by_day(reader: EventReader, days: int, now: int) -> HitsByDay:
    """Of the last days, today included. Blocks; raises one of `STORE_ERRORS`."""
    first_ms = first_ms_of(days, now)
    rows = reader.rows(sql_text("dropped_by_day"), {"from_s": first_ms // 1000})
    counts: dict[str, list[int]] = {}
    for day_ms, outcome, hits in rows:
        number = int((day_ms - first_ms) // DAY_MS)
        # A clock that is ahead, by minutes at most.
        if 0 <= number < days:
            counts.setdefault(str(outcome), [0] * days)[number] += hits
    accepted = tuple(counts.pop(ACCEPTED, [0] * days))
    reasons = [Reason(code, REASON_LABELS.get(code, code), tuple(by_day)) for code, by_day in counts.items()]
    return HitsByDay(
        days=tuple(time_text(first_ms + number * DAY_MS)[:10] for number in range(days)),
        accepted=accepted,
        reasons=tuple(sorted(reasons, key=lambda reason: (-reason.hits, reason.code))),
    )


def dropped_sites(reader: EventReader, days: int, now: int) -> list[Any]:
    """(site_id, hits, reasons) of the sites with the most dropped hits. Blocks; raises one of `STORE_ERRORS`."""
    return reader.rows(sql_text("dropped_sites"), {"from_s": first_ms_of(days, now) // 1000})


class DropsHandler(StaffPage):
    """`/admin/drops`"""

    template = "admin/drops.html"
    room = "/admin/drops"

    async def get(self) -> None:
        """The page; it says so when the event store is away."""
        stats, now = self.app_context.stats, now_ms()
        try:
            found = await stats.run(hits_by_day, stats.reader, DAYS, now)
            sites = await stats.run(dropped_sites, stats.reader, DAYS, now)
        except STORE_ERRORS as error:
            log.warning("drops were not counted", extra={"reason": type(error).__name__})
            self.show(found=None, sites=[], names={}, labels=REASON_LABELS)
            return
        numbers = [site_id for site_id, _, _ in sites]

        def names(session: Session) -> dict[int, str]:
            return dict(session.execute(select(Site.site_id, Site.domain).where(Site.site_id.in_(numbers))).all())

        self.show(found=found, sites=sites, names=await self.read(names), labels=REASON_LABELS)


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    return [(r"/admin/drops", DropsHandler, {"app_context": app_context})]
