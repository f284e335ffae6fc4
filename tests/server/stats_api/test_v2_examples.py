"""Every example of Plausible's Stats API v2 reference, sent as it is printed there; values counted by hand.

Source: plausible.io/docs/stats-api, "Examples". The visitors are those of `dummy_site`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from server.services import Services
from tests.server.pages.site_host import Host
from tests.server.stats_api.asking import Client
from tests.server.stats_api.dummy_site import api_key

Rows = list[tuple[list[str], list[Any]]]


@pytest.fixture(scope="module")
def client(host: Host, services: Services) -> Client:
    return Client(host, api_key(services))


def ask(client: Client, text: str) -> dict[str, Any]:
    return client.query(**json.loads(text))


def rows(answer: dict[str, Any]) -> Rows:
    return [(row["dimensions"], row["metrics"]) for row in answer["results"]]


WEEK = ["2024-08-14T00:00:00+00:00", "2024-08-20T23:59:59+00:00"]
EVER = ["2024-06-10T00:00:00+00:00", "2024-08-20T23:59:59+00:00"]


def test_the_first_request(client: Client) -> None:
    answer = ask(client, '{ "site_id": "dummy.site", "metrics": ["visitors"], "date_range": "7d" }')
    assert rows(answer) == [([], [6])]


def test_simple_aggregate_query(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors", "events"],
  "date_range": "7d"
}""",
    )
    assert rows(answer) == [([], [6, 11])]
    assert answer["meta"] == {}
    query = answer["query"]
    assert query["site_id"] == "dummy.site"
    assert query["metrics"] == ["visitors", "events"]
    assert query["date_range"] == WEEK
    assert query["filters"] == []
    assert query["dimensions"] == []
    assert query["order_by"] == [["visitors", "desc"]]
    assert query["pagination"] == {"limit": 10000, "offset": 0}


def test_custom_date_range(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors"],
  "date_range": ["2024-08-01", "2024-08-15"]
}""",
    )
    assert rows(answer) == [([], [3])]  # Ann, Bob, Gus
    assert answer["query"]["date_range"] == ["2024-08-01T00:00:00+00:00", "2024-08-15T23:59:59+00:00"]


def test_country_and_city_analysis(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors", "pageviews", "bounce_rate"],
  "date_range": "7d",
  "filters": [
    ["is_not", "visit:country_name", [""]]
  ],
  "dimensions": ["visit:country_name", "visit:city_name"]
}""",
    )
    assert rows(answer) == [
        (["Estonia", ""], [2, 4, 0]),
        (["United States", ""], [2, 2, 0]),
        (["Germany", ""], [1, 1, 100]),
    ]
    assert answer["query"]["filters"] == [["is_not", "visit:country_name", [""]]]


def test_utm_medium_source_analysis(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors", "events", "pageviews"],
  "date_range": "7d",
  "dimensions": ["visit:utm_medium", "visit:utm_source"]
}""",
    )
    assert rows(answer) == [
        (["(not set)", "(not set)"], [3, 4, 4]),
        (["social", "twitter"], [2, 5, 2]),
        (["cpc", "google"], [1, 2, 2]),
    ]


def test_filtering_by_page_and_country(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors"],
  "date_range": "7d",
  "filters": [
    ["contains", "event:page", ["/docs", "/pricing"]],
    ["is", "visit:country_name", ["Estonia", "United States of America"]]
  ]
}""",
    )
    assert rows(answer) == [([], [4])]  # Ann, Bob, Dee, Fay


def test_case_insensitive_filtering(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors"],
  "date_range": "7d",
  "filters": [
    ["contains", "event:page", ["blog"], {"case_sensitive": false}]
  ]
}""",
    )
    assert rows(answer) == [([], [2])]  # Cem, Dee


def test_filtering_by_segment(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors", "events"],
  "filters": [["is", "segment", [2]]],
  "date_range": "7d"
}""",
    )
    assert rows(answer) == [([], [2, 5])]  # Bob, Fay


def test_timeseries_query(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors", "events"],
  "date_range": "7d",
  "filters": [
    ["is", "visit:os", ["GNU/Linux", "Mac"]]
  ],
  "dimensions": ["time:day"]
}""",
    )
    assert rows(answer) == [(["2024-08-14"], [2, 4]), (["2024-08-20"], [2, 3])]
    assert answer["query"]["order_by"] == [["time:day", "asc"], ["visitors", "desc"]]


def test_timeseries_query_hourly_with_labels(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors"],
  "date_range": "day",
  "dimensions": ["time:hour"],
  "include": {
    "time_labels": true
  }
}""",
    )
    assert rows(answer) == [
        (["2024-08-20 01:00:00"], [1]),
        (["2024-08-20 02:00:00"], [2]),
        (["2024-08-20 11:00:00"], [1]),
    ]
    assert answer["meta"]["time_labels"] == [f"2024-08-20 {hour:02}:00:00" for hour in range(24)]
    assert answer["query"]["date_range"] == ["2024-08-20T00:00:00+00:00", "2024-08-20T23:59:59+00:00"]


def test_using_custom_properties(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors"],
  "date_range": "7d",
  "dimensions": ["time:day", "event:props:is_customer"],
  "order_by": [["time:day", "asc"], ["event:props:is_customer", "desc"]]
}""",
    )
    assert rows(answer) == [
        (["2024-08-14", "true"], [1]),
        (["2024-08-14", "false"], [1]),
        (["2024-08-16", "(none)"], [1]),
        (["2024-08-20", "(none)"], [3]),
    ]


def test_pagination(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors", "events", "pageviews"],
  "date_range": "7d",
  "dimensions": ["visit:utm_medium", "visit:utm_source"],
  "include": { "total_rows": true },
  "pagination": { "limit": 3, "offset": 1 }
}""",
    )
    assert rows(answer) == [(["social", "twitter"], [2, 5, 2]), (["cpc", "google"], [1, 2, 2])]
    assert answer["meta"] == {"total_rows": 3}
    assert answer["query"]["pagination"] == {"limit": 3, "offset": 1}


def test_including_imported_data(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors"],
  "date_range": "all",
  "dimensions": ["visit:source"],
  "include": {
    "imports": true
  }
}""",
    )
    assert rows(answer) == [(["Google"], [5]), (["Direct / None"], [3]), (["Twitter"], [2]), (["Facebook"], [1])]
    assert answer["query"]["date_range"] == EVER
    assert answer["meta"]["imports_included"] is False


def test_including_imported_data_failed(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors"],
  "date_range": "all",
  "dimensions": ["visit:source"],
  "filters": [["is", "visit:country_name", ["Estonia"]]],
  "include": {
    "imports": true
  }
}""",
    )
    assert rows(answer) == [(["Google"], [4])]  # Ann, Dee, Gus, Kim
    assert answer["meta"]["imports_included"] is False


def test_revenue_metrics(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["total_revenue"],
  "date_range": "all",
  "dimensions": ["event:goal"]
}""",
    )
    dollars = {"value": 120.5, "currency": "USD", "short": "$120.5", "long": "$120.50"}
    euros = {"value": 10, "currency": "EUR", "short": "€10", "long": "€10.00"}
    assert rows(answer) == [
        (["PurchaseUSD"], [dollars]),
        (["PurchaseEUR"], [euros]),
        (["Download"], [None]),
        (["Signup"], [None]),
        (["Visit /"], [None]),
    ]
    assert answer["query"]["order_by"] == [["total_revenue", "desc"]]


def test_revenue_metrics_could_not_be_calculated(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["total_revenue"],
  "date_range": "all",
  "filters": [
    ["is", "event:goal", ["PurchaseUSD", "PurchaseEUR"]]
  ]
}""",
    )
    assert rows(answer) == [([], [None])]
    assert answer["meta"]["metric_warnings"] == {
        "total_revenue": {
            "code": "no_single_revenue_currency",
            "warning": "Revenue metrics are null as there are multiple currencies for the selected event:goals.",
        }
    }


def test_behavioral_filters(client: Client) -> None:
    answer = ask(
        client,
        """{
  "site_id": "dummy.site",
  "metrics": ["visitors"],
  "date_range": "all",
  "filters": [
    ["is", "event:goal", ["Signup"]],
    ["has_done", ["is", "event:page", ["/pricing"]]]
  ]
}""",
    )
    assert rows(answer) == [([], [1])]  # Bob; Gus signed up without having seen it
