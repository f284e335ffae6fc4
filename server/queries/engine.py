"""Everything that may be asked about a site's figures: one engine per process, safe to use from any thread.

A request comes in as a document, `parsing` makes a `Query` of it with what `site_facts` knows of the site, and
`document` answers. Every call blocks. Errors are those of `errors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import Engine

from server.models import Site
from server.queries.answers import Answer, Answerer
from server.queries.closed_figures import (
    ClosedFigures,
    DataVersion,
    data_version,
    first_imported_day,
    load_closed_figures,
)
from server.queries.day_totals import DayTotals
from server.queries.documents import Document, answer_document
from server.queries.drops import drops
from server.queries.event_reader import EventReader, Ticket
from server.queries.filter_values import filter_values
from server.queries.first_lists import FirstLists
from server.queries.funnels import funnel
from server.queries.model import Every, Query
from server.queries.name_numbers import NameNumbers
from server.queries.parsing import SiteFacts
from server.queries.periods import HOUR_MS, SiteCalendar, TimeRange
from server.queries.realtime import realtime
from server.queries.site_facts import load_site_facts
from server.queries.statements import sql_text


class StatsEngine:
    """Answers questions about sites. Who may ask is the caller's concern."""

    def __init__(self, app_database: Engine, reader: EventReader) -> None:
        self._app_database = app_database
        self._reader = reader
        self._numbers = NameNumbers(reader)
        self._day_totals = DayTotals(reader)
        self._first_lists = FirstLists(reader)

    def site_facts(
        self, site: Site, now_ms: int, *, user_id: int | None = None, document: Mapping[str, Any] | None = None
    ) -> SiteFacts:
        """What the queries of a request depend on. `document`: the request, when its range may be `all`."""
        needs_first_day = document is not None and document.get("date_range") == "all"

        def first_day(calendar: SiteCalendar) -> date | None:
            rows = self._reader.rows(sql_text("first_hour"), {"site_id": site.site_id})
            found = [calendar.day_at(rows[0][0] * 1000)] if rows else []
            imported = first_imported_day(self._app_database, site.site_id)
            return min([*found, imported] if imported else found, default=None)

        return load_site_facts(
            self._app_database, site, now_ms, user_id=user_id, first_day=first_day if needs_first_day else None
        )

    def answer(self, query: Query, ticket: Ticket | None = None) -> Answer:
        """Rows and what is known of them."""
        return self._answerer(ticket, self._figures(query, ticket)).answer(query)

    def data_version(self, query: Query) -> DataVersion:
        """What an answer is computed from: a key for whoever remembers it, and whether it can still change."""
        return data_version(self._closed(query), _ranges(query))

    def document(self, query: Query, asked: Mapping[str, Any], now_ms: int, ticket: Ticket | None = None) -> Document:
        """The answer of `POST /api/v2/query`. `asked`: the request that `query` was parsed from."""
        return answer_document(self._answerer(ticket, self._figures(query, ticket)), query, asked, now_ms)

    def realtime(self, facts: SiteFacts, ticket: Ticket | None = None) -> Document:
        """Who is on the site now."""
        return realtime(self._reader, facts, ticket)

    def drops(self, facts: SiteFacts, range_: TimeRange, ticket: Ticket | None = None) -> Document:
        """Hits that did not become rows, by reason and day."""
        return drops(self._reader, facts, range_, ticket)

    def funnel(
        self,
        facts: SiteFacts,
        range_: TimeRange,
        filters: Every,
        goal_ids: Sequence[int],
        ticket: Ticket | None = None,
    ) -> Document:
        """The visitors of each step of a funnel."""
        return funnel(self._reader, facts, range_, filters, goal_ids, ticket)

    def suggestions(
        self,
        facts: SiteFacts,
        range_: TimeRange,
        dimension: str,
        text: str = "",
        filters: Every | None = None,
        limit: int = 20,
        ticket: Ticket | None = None,
    ) -> list[Document]:
        """Values of a dimension, of which a part of the text is known."""
        closed = load_closed_figures(self._app_database, facts.site_id, [range_])
        return filter_values(
            self._reader, self._answerer(ticket, closed), facts, range_, dimension, text, filters, limit, ticket
        )

    def revoke(self, ticket: Ticket) -> None:
        """End a query whose asker has gone. Never raises."""
        self._reader.revoke(ticket)

    def _closed(self, query: Query) -> ClosedFigures:
        return load_closed_figures(self._app_database, query.site_id, _ranges(query))

    def _figures(self, query: Query, ticket: Ticket | None) -> ClosedFigures:
        closed, ranges = self._closed(query), _ranges(query)
        first = min(range_.first_day for range_ in ranges)
        begins_on = min(closed.versions, default=first)
        if first >= begins_on:
            return closed
        calendar = query.range.calendar
        from_ms, until_ms = calendar.start_ms(first), calendar.start_ms(begins_on)
        earlier = self._reader.rows(
            sql_text("earlier_events"),
            {
                "site_id": query.site_id,
                "from_ms": from_ms,
                "until_ms": until_ms,
                "from_hour_s": from_ms // HOUR_MS * 3600,
                "until_hour_s": -(-until_ms // HOUR_MS) * 3600,
            },
            ticket,
        )
        return closed if earlier else replace(closed, begins_on=begins_on)

    def _answerer(self, ticket: Ticket | None, closed: ClosedFigures) -> Answerer:
        return Answerer(self._reader, ticket, closed, self._numbers, self._day_totals, self._first_lists)


def _ranges(query: Query) -> list[TimeRange]:
    return [query.range] if query.include.comparison is None else [query.range, query.include.comparison]
