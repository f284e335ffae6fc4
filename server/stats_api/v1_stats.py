"""`/api/v1/stats/…`: Plausible's former Stats API, for its clients. Each request becomes a query of v2.

| address | answer |
|---|---|
| `realtime/visitors` | a number |
| `aggregate` | `{"results": {"visitors": {"value": 3, "change": 50}}}` |
| `timeseries` | `{"results": [{"date": "2026-11-01", "visitors": 3}]}`, gaps filled |
| `breakdown` | `{"results": [{"source": "Google", "visitors": 3}]}` |
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import orjson

from server.accounts.access import READER
from server.queries.dimensions import GOAL, find_dimension
from server.queries.errors import QueryError
from server.queries.parsing import SiteFacts, parse_query, relative_range
from server.stats_api.api_handler import StatsHandler
from server.stats_api.remembered import remembered_briefly, remembered_document
from server.stats_api.v1_filters import v1_filters

DEFAULT_PERIOD = "30d"
DEFAULT_LIMIT, MOST_LIMIT = 100, 1000

INTERVALS = ("hour", "day", "week", "month")
_MONTHLY = ("6mo", "12mo", "year", "all")

# What a time bucket without anything says, as Plausible says it; other metrics are 0.
_EMPTY_IS_NULL = frozenset(("visit_duration", "time_on_page", "scroll_depth", "total_revenue", "average_revenue"))

Document = dict[str, Any]


class V1Handler(StatsHandler):
    """The base of the three that ask a query."""

    access = READER

    async def get(self) -> None:
        """Answer."""
        site = await self.admit(self.get_query_argument("site_id"))
        arguments = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        facts = await self.site_facts(site, {"date_range": "all" if arguments.get("period") == "all" else None})
        ticket = self.new_ticket()
        cache, engine = self.app_context.services.cache, self.stats.engine

        def answer() -> Document:
            try:
                document = {"site_id": site.domain, **self.document(arguments, facts)}
                query = parse_query(document, facts)
            except QueryError as error:
                raise QueryError("", error.message) from None
            return {
                "asked": document,
                **orjson.loads(remembered_document(cache, engine, query, document, facts.now_ms, ticket)),
            }

        answered = await self.ask(answer)
        shown: Document = {"results": self.shown(answered, metrics_of(arguments))}
        warning = answered["meta"].get("imports_warning")
        if warning:
            shown["warning"] = warning
        self.write_json(shown)

    def document(self, arguments: dict[str, str], facts: SiteFacts) -> Document:
        """The query of v2. Raises `QueryError`."""
        raise NotImplementedError

    def shown(self, answered: Document, metrics: Sequence[str]) -> Any:
        """Its answer as v1 shows it. `metrics` are the names that were asked for."""
        raise NotImplementedError


class AggregateHandler(V1Handler):
    """`GET /api/v1/stats/aggregate`"""

    def document(self, arguments: dict[str, str], facts: SiteFacts) -> Document:
        """One row."""
        document = common_document(arguments, facts)
        compare = arguments.get("compare")
        if compare not in (None, "", "previous_period"):
            raise QueryError("compare", f"{compare!r} is not there to compare with; previous_period is")
        if compare:
            document["include"]["comparisons"] = {"mode": compare}
        return document

    def shown(self, answered: Document, metrics: Sequence[str]) -> Any:
        """By metric."""
        row = answered["results"][0]
        shown = {name: {"value": value} for name, value in zip(metrics, row["metrics"], strict=True)}
        if "comparison" in row:
            for name, change in zip(metrics, row["comparison"]["change"], strict=True):
                shown[name]["change"] = change
        return shown


class TimeseriesHandler(V1Handler):
    """`GET /api/v1/stats/timeseries`"""

    def document(self, arguments: dict[str, str], facts: SiteFacts) -> Document:
        """A row for each bucket that has something."""
        period = arguments.get("period", DEFAULT_PERIOD)
        interval = arguments.get("interval") or (
            "hour" if period == "day" else "month" if period in _MONTHLY else "day"
        )
        if interval == "date":
            interval = "day"
        if interval not in INTERVALS:
            raise QueryError("interval", f"invalid interval {interval!r}. Allowed: {', '.join(INTERVALS)}")
        document = common_document(arguments, facts, conversion_rate="group_conversion_rate")
        document["dimensions"] = [f"time:{interval}"]
        document["include"]["time_labels"] = True
        return document

    def shown(self, answered: Document, metrics: Sequence[str]) -> Any:
        """Every bucket, the first one first."""
        rows = {row["dimensions"][0]: row["metrics"] for row in answered["results"]}
        nothing = [None if name in _EMPTY_IS_NULL else 0 for name in metrics]
        return [
            {"date": label, **dict(zip(metrics, rows.get(label, nothing), strict=True))}
            for label in answered["meta"]["time_labels"]
        ]


class BreakdownHandler(V1Handler):
    """`GET /api/v1/stats/breakdown`"""

    def document(self, arguments: dict[str, str], facts: SiteFacts) -> Document:
        """A row for each value of the property."""
        property_ = arguments.get("property", "")
        if not property_:
            raise QueryError("property", "the parameter property is missing, such as property=visit:source")
        rate = "conversion_rate" if property_ == GOAL else "group_conversion_rate"
        document = common_document(arguments, facts, conversion_rate=rate)
        document["dimensions"] = [property_]
        limit = _number(arguments, "limit", DEFAULT_LIMIT, MOST_LIMIT)
        page = _number(arguments, "page", 1, MOST_LIMIT)
        document["pagination"] = {"limit": limit, "offset": (page - 1) * limit}
        return document

    def shown(self, answered: Document, metrics: Sequence[str]) -> Any:
        """The most visitors first; the value under the property's name without its level."""
        dimension = find_dimension(answered["asked"]["dimensions"][0])
        assert dimension is not None
        return [
            {dimension.key: row["dimensions"][0], **dict(zip(metrics, row["metrics"], strict=True))}
            for row in answered["results"]
        ]


class VisitorsNowHandler(StatsHandler):
    """`GET /api/v1/stats/realtime/visitors`"""

    access = READER

    async def get(self) -> None:
        """Visitors of the last five minutes."""
        site = await self.admit(self.get_query_argument("site_id"))
        facts = await self.site_facts(site, {})
        ticket = self.new_ticket()
        cache, engine = self.app_context.services.cache, self.stats.engine
        body = await self.ask(
            lambda: remembered_briefly(
                cache, "realtime", site.site_id, {}, lambda: engine.realtime(facts, ticket), ticket
            )
        )
        self.write_json(orjson.loads(body)["visitors"])


def metrics_of(arguments: dict[str, str]) -> list[str]:
    """The metrics that were asked for."""
    return [name.strip() for name in (arguments.get("metrics") or "visitors").split(",")]


def common_document(
    arguments: dict[str, str], facts: SiteFacts, *, conversion_rate: str = "conversion_rate"
) -> Document:
    """What all requests have in common. `conversion_rate`: which of v2's two a rate means here. Raises `QueryError`."""
    imports = arguments.get("with_imported", "false")
    if imports not in ("true", "false"):
        raise QueryError("with_imported", "with_imported is true or false")
    return {
        "metrics": [conversion_rate if name == "conversion_rate" else name for name in metrics_of(arguments)],
        "date_range": v1_range(arguments, facts),
        "filters": v1_filters(arguments.get("filters", "")),
        "include": {"imports": imports == "true"},
    }


def v1_range(arguments: dict[str, str], facts: SiteFacts) -> list[str]:
    """First and last date of `period` as of `date`. Raises `QueryError`."""
    period, given = arguments.get("period") or DEFAULT_PERIOD, arguments.get("date", "")
    if period == "custom":
        days = [part.strip() for part in given.split(",")]
        if len(days) != 2:
            raise QueryError("date", "a custom period needs date=2026-01-01,2026-01-31")
        return [_date(day).isoformat() for day in days]
    range_ = relative_range(period, facts, _date(given) if given else facts.today, "period")
    return [range_.first_day.isoformat(), range_.last_day.isoformat()]


def _date(text: str) -> date:
    try:
        if len(text) == len("2026-01-31"):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise QueryError("date", f"{text[:50]!r} is no date, such as 2026-01-31")


def _number(arguments: dict[str, str], name: str, default: int, most: int) -> int:
    text = arguments.get(name) or str(default)
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:6]) <= most:
        raise QueryError(name, f"{name} is a whole number from 1 to {most}")
    return int(text)
