"""`POST /api/v2/query`: a question about a site's figures, in the shape of Plausible's Stats API v2."""

from __future__ import annotations

from server.accounts.access import READER
from server.queries.parsing import parse_query
from server.stats_api.api_handler import StatsHandler
from server.stats_api.remembered import remembered_document


class QueryHandler(StatsHandler):
    """Answers one question."""

    access = READER

    async def post(self) -> None:
        """`{"results": […], "meta": {…}, "query": {…}}`"""
        document = self.json_object()
        site = await self.admit(document.get("site_id"))
        facts = await self.site_facts(site, document)
        ticket = self.new_ticket()

        def answer() -> bytes:
            query = parse_query(document, facts)
            cache = self.app_context.services.cache
            return remembered_document(cache, self.stats.engine, query, document, facts.now_ms, ticket)

        self.write_body(await self.ask(answer))
