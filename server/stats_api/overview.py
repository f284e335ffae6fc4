"""`GET /api/sites`: all sites of whoever is signed in, with their last 24 hours, in one query."""

from __future__ import annotations

from typing import Any

import orjson

from server.accounts.access import SIGNED_IN
from server.accounts.guests import sites_of_person
from server.accounts.sessions import AccountPlace
from server.cache import Cache
from server.clock import now_ms
from server.models import Site
from server.queries.errors import QueryFailed, QueryRefused
from server.queries.event_reader import EventReader, Ticket
from server.queries.overview import glance
from server.reader_handler import Reader
from server.stats_api.api_handler import StatsHandler
from server.stats_api.remembered import NOW_STEP_MS, remembered_briefly

MOST_SITES = 1000
"""Of one answer; who has more looks for one by its name."""

NO_SITE = 0
"""Overviews are of many sites: no site's changes make them out of date, and they live for seconds."""


class OverviewHandler(StatsHandler):
    """See the module."""

    access = SIGNED_IN

    async def get(self) -> None:
        """`{"sites": [{"domain", "account_id", "account", "timezone", "visitors", "change", "sparkline"}]}`

        Figures are null while the event store is away: one still gets to one's sites. Guests learn no account.
        """
        assert self.login is not None
        self.reader = Reader(user_id=self.login.user_id)
        await self.limit_rate()
        places = {place.account_id: place for place in self.login.places}
        sites: list[Site] = await self.in_thread(sites_of_person, self.app_context.engine, self.login)
        shown = sites[:MOST_SITES]
        figures = await self._figures(sorted(site.site_id for site in shown))
        self.write_json(
            {
                "sites": [
                    {
                        "domain": site.domain,
                        **_account(places.get(site.account_id)),
                        "timezone": site.timezone,
                        **figures.get(str(site.site_id), {"visitors": None, "change": None, "sparkline": None}),
                    }
                    for site in shown
                ],
                "left_out": len(sites) - len(shown),
            }
        )

    async def _figures(self, site_ids: list[int]) -> dict[str, Any]:
        ticket = self.new_ticket()
        cache, reader = self.app_context.services.cache, self.stats.reader
        try:
            body = await self.stats.run(remembered_glance, cache, reader, site_ids, ticket)
        except (QueryFailed, QueryRefused):
            return {}
        figures: dict[str, Any] = orjson.loads(body)
        return figures


def remembered_glance(cache: Cache, reader: EventReader, site_ids: list[int], ticket: Ticket) -> bytes:
    """Figures by site, as JSON. Blocks."""

    def compute() -> dict[str, Any]:
        at_ms = now_ms() // NOW_STEP_MS * NOW_STEP_MS
        return {
            str(site_id): {
                "visitors": site.visitors,
                "change": _change(site.visitors_before, site.visitors),
                "sparkline": site.by_hour,
            }
            for site_id, site in glance(reader, site_ids, at_ms, ticket).items()
        }

    return remembered_briefly(cache, "overview", NO_SITE, {"site_ids": site_ids}, compute, ticket)


def _account(place: AccountPlace | None) -> dict[str, Any]:
    """Whose a site is, as far as the reader belongs there."""
    return {"account_id": None if place is None else place.account_id, "account": None if place is None else place.name}


def _change(before: int, now: int) -> int | None:
    """In percent; none when there was nothing before."""
    return round((now - before) * 100 / before) if before else None
