"""Every example of Plausible's Stats API v1 reference, sent as it is printed there; values counted by hand.

Source: plausible.io/docs/stats-api-v1. The visitors are those of `dummy_site`; it is 20 August 2024.
"""

from __future__ import annotations

import pytest

from server.queries.errors import QueryError
from server.services import Services
from server.stats_api.v1_filters import v1_filters
from tests.server.pages.site_host import Host
from tests.server.stats_api.asking import Client, error_of
from tests.server.stats_api.dummy_site import api_key

V1 = "/api/v1/stats"
SITE = "site_id=dummy.site"


@pytest.fixture(scope="module")
def client(host: Host, services: Services) -> Client:
    return Client(host, api_key(services))


def test_realtime_visitors(client: Client) -> None:
    assert client.get(f"{V1}/realtime/visitors?{SITE}") == 1  # Fay, four minutes ago


def test_aggregate(client: Client) -> None:
    path = f"{V1}/aggregate?{SITE}&period=6mo&metrics=visitors,pageviews,bounce_rate,visit_duration"
    assert client.get(path) == {
        "results": {
            "visitors": {"value": 11},
            "pageviews": {"value": 13},
            "bounce_rate": {"value": 27},  # Cem, Eli and Kim of 11
            "visit_duration": {"value": 10},  # 50 s + 5 s + 60 s of 11 visits
        }
    }


def test_aggregate_against_the_period_before(client: Client) -> None:
    path = f"{V1}/aggregate?{SITE}&period=custom&date=2024-08-14,2024-08-14&compare=previous_period"
    assert client.get(path) == {"results": {"visitors": {"value": 2, "change": 100}}}


def test_timeseries(client: Client) -> None:
    assert client.get(f"{V1}/timeseries?{SITE}&period=6mo") == {
        "results": [
            {"date": "2024-03-01", "visitors": 0},
            {"date": "2024-04-01", "visitors": 0},
            {"date": "2024-05-01", "visitors": 0},
            {"date": "2024-06-01", "visitors": 3},
            {"date": "2024-07-01", "visitors": 1},
            {"date": "2024-08-01", "visitors": 7},
        ]
    }


def test_what_an_empty_bucket_says(client: Client) -> None:
    path = f"{V1}/timeseries?{SITE}&period=custom&date=2024-08-15,2024-08-16&metrics=visits,bounce_rate,visit_duration"
    assert client.get(path)["results"] == [
        {"date": "2024-08-15", "visits": 0, "bounce_rate": 0, "visit_duration": None},
        {"date": "2024-08-16", "visits": 1, "bounce_rate": 100, "visit_duration": 5},
    ]


def test_breakdown(client: Client) -> None:
    path = f"{V1}/breakdown?{SITE}&period=6mo&property=visit:source&metrics=visitors,bounce_rate&limit=5"
    assert client.get(path) == {
        "results": [
            {"source": "Google", "visitors": 5, "bounce_rate": 20},
            {"source": "Direct / None", "visitors": 3, "bounce_rate": 67},
            {"source": "Twitter", "visitors": 2, "bounce_rate": 0},
            {"source": "Facebook", "visitors": 1, "bounce_rate": 0},
        ]
    }


def test_top_pages(client: Client) -> None:
    path = f"{V1}/breakdown?{SITE}&period=6mo&property=event:page&limit=5"
    first = client.get(path)["results"]
    assert first == [
        {"page": "/", "visitors": 5},
        {"page": "/order/confirmation", "visitors": 2},
        {"page": "/pricing", "visitors": 2},
        {"page": "/Blog/one", "visitors": 1},
        {"page": "/blog/two", "visitors": 1},
    ]
    assert client.get(f"{path}&page=2")["results"] == [
        {"page": "/docs/api", "visitors": 1},
        {"page": "/docs/start", "visitors": 1},
    ]


def test_number_of_visitors_to_a_specific_page(client: Client) -> None:
    path = f"{V1}/aggregate?{SITE}&period=6mo&filters=event:page%3D%3D%2Forder%2Fconfirmation"
    assert client.get(path) == {"results": {"visitors": {"value": 2}}}


def test_monthly_traffic_from_google(client: Client) -> None:
    path = f"{V1}/timeseries?{SITE}&period=6mo&filters=visit:source%3D%3DGoogle"
    assert [row["visitors"] for row in client.get(path)["results"]] == [0, 0, 0, 2, 0, 3]


def test_breakdown_of_a_custom_event_by_a_custom_property(client: Client) -> None:
    path = f"{V1}/breakdown?{SITE}&period=6mo&property=event:props:method&filters=event:goal%3D%3DDownload"
    assert client.get(path) == {"results": [{"method": "HTTP", "visitors": 1}, {"method": "Magnet", "visitors": 1}]}


@pytest.mark.parametrize(
    ("filters", "visitors"),
    [
        ("event:goal%3D%3DVisit%20/", 5),
        ("event:goal%3D%3DSignup%7CVisit+/", 6),
        ("visit:country!%3DFR", 9),
        ("visit:source%3D%3DFacebook%7CTwitter", 3),
        ("event:goal%3D%3DSignup%3Bvisit:country%3D%3DEE", 1),
        ("event:page%3D%3D/docs/*", 2),
        ("event:page%3D%3D/docs/*%7C/pricing", 4),
    ],
)
def test_filters(client: Client, filters: str, visitors: int) -> None:
    path = f"{V1}/aggregate?{SITE}&period=6mo&filters={filters}"
    assert client.get(path)["results"]["visitors"]["value"] == visitors


def test_conversion_rates(client: Client) -> None:
    path = f"{V1}/breakdown?{SITE}&period=6mo&metrics=visitors,conversion_rate"
    assert client.get(f"{path}&property=event:goal")["results"][0] == {
        "goal": "Visit /",
        "visitors": 5,
        "conversion_rate": 45.45,
    }
    by_country = client.get(f"{path}&property=visit:country&filters=event:goal%3D%3DSignup")["results"]
    assert by_country == [
        {"country": "EE", "visitors": 1, "conversion_rate": 25},
        {"country": "US", "visitors": 1, "conversion_rate": 50},
    ]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("aggregate?site_id=dummy.site&period=8w", "Allowed: day, 7d"),
        ("aggregate?site_id=dummy.site&period=custom&date=2024-08-01", "date=2026-01-01,2026-01-31"),
        ("aggregate?site_id=dummy.site&date=20240801", "is no date"),
        ("aggregate?site_id=dummy.site&metrics=visitor", "Did you mean visitors?"),
        ("aggregate?site_id=dummy.site&compare=last_year", "previous_period"),
        ("aggregate?site_id=dummy.site&with_imported=perhaps", "true or false"),
        ("aggregate?site_id=dummy.site&filters=visit:source", "expected property==value"),
        ("aggregate?site_id=dummy.site&filters=event:goal!%3DSignup", "with == only"),
        ("aggregate?site_id=dummy.site&filters=event:goal%3D%3DNone", "not configured"),
        ("timeseries?site_id=dummy.site&interval=year", "Allowed: hour, day"),
        ("breakdown?site_id=dummy.site", "property is missing"),
        ("breakdown?site_id=dummy.site&property=visit:sauce", "Did you mean visit:source?"),
        ("breakdown?site_id=dummy.site&property=visit:source&limit=0", "from 1 to 1000"),
        ("breakdown?site_id=dummy.site&property=visit:source&page=x", "from 1 to 1000"),
        ("aggregate?period=7d", "site_id is missing"),
    ],
)
def test_what_is_wrong_is_said(client: Client, path: str, part: str) -> None:
    answer = client.browser.get(f"{V1}/{path}", **client.headers)
    assert answer.status == 400
    assert part in error_of(answer)


def test_signs_in_values_are_escaped() -> None:
    assert v1_filters(r"visit:utm_campaign==campaign\|one|b\*") == [
        ["is", "visit:utm_campaign", ["campaign|one", "b*"]]
    ]
    assert v1_filters(r"event:page==/a.b/**|/c\;d;visit:os!=Mac") == [
        ["matches", "event:page", [r"^(?s:/a\.b/.*)$", "^(?s:/c;d)$"]],
        ["is_not", "visit:os", ["Mac"]],
    ]
    with pytest.raises(QueryError):
        v1_filters("visit:os==Mac|")
