"""`GET /api/stats/export`: an answer as CSV or JSON, or the raw events as Parquet, sent while it is made.

The first piece is made before the answer begins, so that what is wrong with a question, or too big, is an ordinary
error. What fails later ends the connection without the answer's end: no client takes half a file for a whole one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import Finish, HTTPError

from server.accounts.access import READER
from server.billing.plans import Feature
from server.queries.answers import ResultRow
from server.queries.engine import StatsEngine
from server.queries.event_reader import Ticket
from server.queries.model import Query
from server.queries.parsing import SiteFacts, parse_date_range, parse_query
from server.queries.periods import TimeRange
from server.stats_api.api_handler import ApiError, StatsHandler
from server.stats_api.csv_rows import csv_pieces, json_pieces
from server.stats_api.raw_events import parquet_of_events

log = logging.getLogger(__name__)

# Of one statement: fewer would ask the same again more often, more would be held at once.
PAGE_ROWS = 50_000

MOST_ROWS = 1_000_000
"""As far as a query may be paged through; a file with more rows than a spreadsheet takes."""

FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}

RAW_FORMAT = "parquet"
"""Of single events; the others are figures, which every plan may take away."""

_PLACES = ("metrics", "date_range", "dimensions", "filters", "order_by")


class ExportHandler(StatsHandler):
    """See the module."""

    access = READER

    async def get(self) -> None:
        """The file."""
        site = await self.admit(self.get_query_argument("site_id"))
        format_ = self.get_query_argument("format", "csv")
        if format_ not in FORMATS:
            raise ApiError(400, f"#/format: one of {', '.join(FORMATS)}.")
        if format_ == RAW_FORMAT:
            await self.need_feature(Feature.EXPORTS)
        document = self._document()
        facts = await self.site_facts(site, document)
        ticket = self.new_ticket()
        first = parse_first(document, facts, format_)
        range_, pieces = await self.ask(lambda: self._pieces(first(), facts, ticket, format_))
        days = f"{range_.first_day} {range_.last_day}"
        name = f"{site.domain.replace('/', '-')} {days}.{format_}"
        await self._send(pieces, FORMATS[format_], name)

    def _document(self) -> dict[str, Any]:
        """The query, as `POST /api/v2/query` takes it. A single name stands for a list of one."""
        document: dict[str, Any] = {"date_range": "30d", "metrics": ["visitors"], "include": {"imports": True}}
        for name in _PLACES:
            value = self.json_argument(name)
            if value is not None:
                is_name = isinstance(value, str) and name in ("metrics", "dimensions")
                document[name] = [value] if is_name else value
        return document

    def _pieces(
        self, asked: Query | TimeRange, facts: SiteFacts, ticket: Ticket, format_: str
    ) -> tuple[TimeRange, Iterator[bytes]]:
        if isinstance(asked, TimeRange):
            return asked, parquet_of_events(self.stats.export_reader, facts.site_id, asked, ticket)
        make = csv_pieces if format_ == "csv" else json_pieces
        return asked.range, make(asked, pages_of(self.stats.engine, asked, ticket))

    async def _send(self, pieces: Iterator[bytes], content_type: str, name: str) -> None:
        has_begun = is_whole = False
        try:
            # The names of columns are no proof that there is an answer: the second piece is.
            head = b"".join([await self._next(pieces), await self._next(pieces)])
            self.set_header("Content-Type", content_type)
            self.set_header("Content-Disposition", f'attachment; filename="{name}"')
            has_begun = True
            piece: bytes | None = head
            while piece is not None:
                if piece:
                    self.write(piece)
                    await self.flush()
                piece = await self._next(pieces, None)
            is_whole = True
        except StreamClosedError:
            raise Finish from None
        except HTTPError as error:
            if not has_begun:
                raise
            log.warning("an export ended early", extra={"reason": type(error).__name__, "status": error.status_code})
            raise Finish from None
        finally:
            if has_begun and not is_whole:
                self.abort()
            await self.in_thread(_close, pieces)

    async def _next(self, pieces: Iterator[bytes], end: Any = b"") -> Any:
        return await self.ask(lambda: next(pieces, end))

    def abort(self) -> None:
        """End the connection without the answer's end."""
        connection: Any = self.request.connection
        connection.close()


def parse_first(document: dict[str, Any], facts: SiteFacts, format_: str) -> Callable[[], Query | TimeRange]:
    """What is asked for: of raw events a range, else a query. The call raises `QueryError`."""
    if format_ == "parquet":
        return lambda: parse_date_range(document["date_range"], facts)
    return lambda: parse_query(document, facts)


def pages_of(engine: StatsEngine, query: Query, ticket: Ticket) -> Iterator[Sequence[ResultRow]]:
    """All rows of a query, up to `MOST_ROWS`."""
    for offset_rows in range(0, MOST_ROWS, PAGE_ROWS):
        rows = engine.answer(replace(query, limit_rows=PAGE_ROWS, offset_rows=offset_rows), ticket).rows
        yield rows
        if len(rows) < PAGE_ROWS:
            return


def _close(pieces: Iterator[bytes]) -> None:
    close = getattr(pieces, "close", None)
    if close is not None:
        close()
