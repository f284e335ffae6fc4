"""The two planners, neither of which has a peer: how columns are stored, and which tables answer a question.

`core_ext.plan` is filled once, at import; what it does afterwards is to give a String value as a column stores it. The
planner of questions is pure: a checked question and what is closed in, parts of the answer out.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.children import cpu_clock_s
from core_ext.plan import stored_string
from server.closed_days import version_of
from server.queries.closed_figures import ClosedFigures
from server.queries.facts import FactsRequest
from server.queries.parsing import SiteFacts, parse_query
from server.queries.periods import SiteCalendar
from server.queries.planner import plan_facts

STRINGS = 1_000
CLOSED_DAYS = 90
TODAY = date(2026, 3, 10)


@pytest.fixture(scope="module")
def facts() -> SiteFacts:
    calendar = SiteCalendar.of("Europe/Berlin")
    return SiteFacts(1, calendar, calendar.start_ms(TODAY) + 7_200_000)


@pytest.fixture(scope="module")
def closed() -> ClosedFigures:
    """Ninety closed days with breakdowns before an open one."""
    days = [TODAY - timedelta(days=number) for number in range(1, CLOSED_DAYS + 1)]
    return ClosedFigures({day: version_of(1_772_000_000_000, day, has_values=True) for day in days})


@pytest.mark.benchmark(group="plan_strings", timer=cpu_clock_s)
def test_strings_as_columns_store_them(benchmark: BenchmarkFixture) -> None:
    benchmark.extra_info["items"] = STRINGS
    texts = [f"/blog/{number}-a-page-about-something" for number in range(STRINGS)]

    def store() -> bytes:
        return b"".join(stored_string(text) for text in texts)

    assert benchmark(store) == b"".join(bytes([len(text)]) + text.encode() for text in texts)


@pytest.mark.parametrize(
    ("filters", "sources"),
    [
        pytest.param([], ["daily", "events"], id="whole_numbers"),
        pytest.param([["is", "visit:country", ["EE"]]], ["sessions", "events"], id="filtered"),
    ],
)
@pytest.mark.benchmark(group="plan_questions", timer=cpu_clock_s)
def test_a_question_is_read_and_planned(
    benchmark: BenchmarkFixture, facts: SiteFacts, closed: ClosedFigures, filters: list[Any], sources: list[str]
) -> None:
    """From its document over three months to the parts of its answer."""
    first = TODAY - timedelta(days=CLOSED_DAYS)
    document = {
        "site_id": "x",
        "metrics": ["visitors", "pageviews"],
        "date_range": [first.isoformat(), TODAY.isoformat()],
        "filters": filters,
    }

    def plan() -> list[str]:
        query = parse_query(document, facts)
        parts = plan_facts(FactsRequest(query, ("visitors", "pageviews"), None), closed).explanation
        return [str(part["source"]) for part in parts]

    assert benchmark(plan) == sources
