"""Smaller questions about one site: who is there now, what was dropped and why, which values a filter may have."""

from __future__ import annotations

from server.accounts.access import READER
from server.cache.keys import encode_answer
from server.queries.parsing import parse_date_range, parse_filters
from server.stats_api.api_handler import ApiError, StatsHandler
from server.stats_api.remembered import remembered_briefly

MOST_TEXT_CHARS = 200
"""Of what was typed so far of a filter's value."""

MOST_SUGGESTIONS = 100


class RealtimeHandler(StatsHandler):
    """`GET /api/stats/realtime?site_id=`"""

    access = READER

    async def get(self) -> None:
        """Visitors of the last five minutes, and the last thirty by minute, page, source and country."""
        site = await self.admit(self.get_query_argument("site_id"))
        facts = await self.site_facts(site, {})
        ticket = self.new_ticket()
        cache, engine = self.app_context.services.cache, self.stats.engine
        self.write_body(
            await self.ask(
                lambda: remembered_briefly(
                    cache, "realtime", site.site_id, {}, lambda: engine.realtime(facts, ticket), ticket
                )
            )
        )


class DropsHandler(StatsHandler):
    """`GET /api/stats/drops?site_id=&date_range=`"""

    access = READER

    async def get(self) -> None:
        """Hits that were answered and did not become rows, by reason and day."""
        site = await self.admit(self.get_query_argument("site_id"))
        date_range = self.json_argument("date_range", "30d")
        facts = await self.site_facts(site, {"date_range": date_range})
        ticket = self.new_ticket()
        cache, engine = self.app_context.services.cache, self.stats.engine

        def answer() -> bytes:
            range_ = parse_date_range(date_range, facts)
            return remembered_briefly(
                cache,
                "drops",
                site.site_id,
                {"range": repr(range_)},
                lambda: engine.drops(facts, range_, ticket),
                ticket,
            )

        self.write_body(await self.ask(answer))


class SuggestionsHandler(StatsHandler):
    """`GET /api/stats/suggestions?site_id=&dimension=&text=&date_range=&filters=&limit=`"""

    access = READER

    async def get(self) -> None:
        """Values of a dimension in the range, those with the most visitors first."""
        site = await self.admit(self.get_query_argument("site_id"))
        dimension, text = self.get_query_argument("dimension"), self.get_query_argument("text", "")
        if len(text) > MOST_TEXT_CHARS:
            raise ApiError(400, f"#/text: at most {MOST_TEXT_CHARS} characters.")
        limit = self.get_query_argument("limit", "20")
        if not limit.isascii() or not limit.isdecimal() or not 1 <= int(limit[:6]) <= MOST_SUGGESTIONS:
            raise ApiError(400, f"#/limit: a whole number from 1 to {MOST_SUGGESTIONS}.")
        date_range, given = self.json_argument("date_range", "30d"), self.json_argument("filters", [])
        facts = await self.site_facts(site, {"date_range": date_range})
        ticket = self.new_ticket()
        engine = self.stats.engine

        def answer() -> bytes:
            range_, filters = parse_date_range(date_range, facts), parse_filters(given, facts)
            found = engine.suggestions(facts, range_, dimension, text, filters, int(limit), ticket)
            return encode_answer({"suggestions": found})

        self.write_body(await self.ask(answer))
