"""Answers as lines of CSV: one column for a number, two for money, three for a rating."""

from __future__ import annotations

from datetime import date

from server.queries.answers import ResultRow
from server.queries.parsing import SiteFacts, parse_query
from server.queries.periods import SiteCalendar
from server.stats_api.csv_rows import csv_pieces, json_pieces
from tests.server.stats_api.dummy_site import NOW_MS

QUERY = parse_query(
    {
        "site_id": "dummy.site",
        "date_range": "7d",
        "dimensions": ["event:page"],
        "metrics": ["visitors", "rating_lcp", "p75_lcp_ms", "total_revenue"],
        "filters": [],
    },
    SiteFacts(1, SiteCalendar(((date.min, "UTC"),)), NOW_MS),
)
MONEY = {"value": 20.5, "currency": "EUR", "short": "€20.5", "long": "€20.50"}
SHARES = {"good": 75.0, "needs_improvement": 25.0, "poor": 0.0}
ROWS = [
    ResultRow(("/",), (3, SHARES, 2400.5, MONEY)),
    ResultRow(('/a,"b"\n',), (1, None, None, None)),
]


def test_csv() -> None:
    text = b"".join(csv_pieces(QUERY, iter([ROWS[:1], ROWS[1:], []]))).decode()
    assert text.split("\r\n") == [
        "event:page,visitors,rating_lcp_good,rating_lcp_needs_improvement,rating_lcp_poor,p75_lcp_ms,"
        "total_revenue,total_revenue_currency",
        "/,3,75.0,25.0,0.0,2400.5,20.5,EUR",
        '"/a,""b""\n",1,,,,,,',
        "",
    ]


def test_json_joins_pages_and_empty_ones() -> None:
    pages = iter([[], ROWS[:1], [], ROWS[1:]])
    text = b"".join(json_pieces(QUERY, pages))
    assert text.count(b"\n") == 2
    assert text.startswith(b'[{"event:page":"/","visitors":3,"rating_lcp":{"good":75.0')
    assert text.endswith(b'"total_revenue":null}]\n')
    assert b"".join(json_pieces(QUERY, iter([[]]))) == b"[]\n"
