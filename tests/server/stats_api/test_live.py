"""Who is there now, what was dropped, what a filter may be, and all sites at a glance; values counted by hand."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from clickhouse_driver import Client as ClickHouse

from server.clickhouse_url import ClickHouseAddress
from server.services import Services
from server.sites import add_site
from tests.server.accounts.people import make_person
from tests.server.pages.site_host import Host, hosted
from tests.server.pages.test_authorization import sign_in
from tests.server.stats_api.asking import Client
from tests.server.stats_api.dummy_site import api_key, dummy_site_id
from tests.server.stats_api.events import store_visitors, visitor


@pytest.fixture(scope="module")
def client(host: Host, services: Services) -> Client:
    return Client(host, api_key(services))


def test_who_is_there_now(client: Client) -> None:
    now = client.get("/api/stats/realtime?site_id=dummy.site")
    # Fay alone: a view at 11:56, noon is now.
    assert (now["visitors"], now["visitors_30m"]) == (1, 1)
    assert len(now["minutes"]) == 30
    busy = {entry["minute"]: entry["pageviews"] for entry in now["minutes"] if entry["visitors"]}
    assert busy["2024-08-20T11:56+00:00"] == 1
    assert now["pages"] == [{"name": "/docs/api", "visitors": 1}]
    assert now["sources"] == [{"name": "Twitter", "visitors": 1}]
    assert now["countries"] == [{"name": "US", "visitors": 1}]


def test_what_was_dropped(client: Client, services: Services, event_store: ClickHouseAddress) -> None:
    host, port = event_store.hosts[0]
    ledger = ClickHouse(host=host, port=port, database=event_store.database)
    site_id = dummy_site_id(services)
    rows = [
        (site_id, datetime(2024, 8, 19, 5), "accepted", 7),
        (site_id, datetime(2024, 8, 19, 5), "bot", 2),
        (site_id, datetime(2024, 8, 20, 6), "bot", 3),
        (site_id, datetime(2024, 8, 20, 6), "hostname", 1),
        (site_id + 1000, datetime(2024, 8, 20, 6), "bot", 99),
    ]
    ledger.execute("INSERT INTO ledger (site_id, hour, outcome, count) VALUES", rows)
    ledger.disconnect()
    dropped = client.get("/api/stats/drops?site_id=dummy.site&date_range=2024-08-19,2024-08-20")
    assert (dropped["accepted"], dropped["dropped"], dropped["answered"]) == (7, 6, 13)
    assert dropped["days"] == [
        {"day": "2024-08-19", "accepted": 7, "dropped": 2},
        {"day": "2024-08-20", "accepted": 0, "dropped": 4},
    ]
    assert [(row["reason"], row["hits"], row["by_day"]) for row in dropped["reasons"]] == [
        ("bot", 5, [2, 3]),
        ("hostname", 1, [0, 1]),
    ]


@pytest.mark.parametrize(
    ("parameters", "values"),
    [
        ("dimension=visit:source", [("Google", 5), ("Direct / None", 3), ("Twitter", 2), ("Facebook", 1)]),
        ("dimension=visit:source&text=GOO", [("Google", 5)]),
        ("dimension=event:page&text=docs", [("/docs/api", 1), ("/docs/start", 1)]),
        ("dimension=event:page&limit=1", [("/", 5)]),
        ("dimension=visit:os&filters=[[%22is%22,%22visit:country%22,[%22FR%22]]]", [("Mac", 1), ("Windows", 1)]),
        ("dimension=event:goal&text=purchase", [("PurchaseEUR", None), ("PurchaseUSD", None)]),
        ("dimension=event:props", [("is_customer", None), ("method", None)]),
        ("dimension=event:props:method", [("(none)", 11), ("HTTP", 1), ("Magnet", 1)]),
    ],
)
def test_what_a_filter_may_be(client: Client, parameters: str, values: list[tuple[str, Any]]) -> None:
    answer = client.get(f"/api/stats/suggestions?site_id=dummy.site&date_range=12mo&{parameters}")
    assert [(each["value"], each["visitors"]) for each in answer["suggestions"]] == values


def test_funnels_count_who_went_on(host: Host, services: Services) -> None:
    browser = sign_in(services, host, 1)
    browser.get("/signup")
    token = {"X_Xsrftoken": browser.cookies["_xsrf"]}
    steps = {
        goal["display_name"]: goal["goal_id"]
        for goal in json.loads(browser.get("/api/sites/dummy.site/goals").text)["goals"]
    }
    body = {"name": "Home to sign-up", "goal_ids": [steps["Visit /"], steps["Signup"]]}
    made = browser.ask("POST", "/api/sites/dummy.site/funnels", json.dumps(body).encode(), **token)
    path = f"/api/sites/dummy.site/funnels/{json.loads(made.text)['funnel_id']}"
    answer = json.loads(browser.get(f"{path}?date_range=12mo").text)
    # `/` was seen by Ann, Eli, Gus, Hal and Jan; Gus signed up.
    assert [(step["name"], step["visitors"], step["conversion_rate"]) for step in answer["steps"]] == [
        ("Visit /", 5, 100),
        ("Signup", 1, 20),
    ]
    assert answer["all_visitors"] == 11
    filtered = json.loads(browser.get(f'{path}?date_range=12mo&filters=[["is","visit:country",["FR"]]]').text)
    assert [step["visitors"] for step in filtered["steps"]] == [2, 0]
    wrong = browser.get(f'{path}?date_range=12mo&filters=[["is","event:page",["/"]]]')
    assert wrong.status == 400


def test_all_sites_at_a_glance(host: Host, services: Services, event_store: ClickHouseAddress) -> None:
    user_id, account_id = make_person(services, "sites@example.com", "Several")
    sites = [add_site(services.engine, domain, account_id=account_id) for domain in ("b.example", "a.example")]
    store_visitors(
        event_store,
        [
            # The last 24 hours end with the present one: they began at 13:00 yesterday.
            visitor(sites[0].site_id, "now", "2024-08-20 12:00").view("/"),
            visitor(sites[0].site_id, "twice", "2024-08-20 09:10").view("/").view("/again", 100),
            visitor(sites[0].site_id, "first", "2024-08-19 13:00").view("/"),
            visitor(sites[0].site_id, "before", "2024-08-19 12:59").view("/").event("Signup", "/"),
            visitor(sites[0].site_id, "earlier", "2024-08-18 13:00", sample_weight=3).view("/"),
            visitor(sites[0].site_id, "too early", "2024-08-18 12:59").view("/"),
        ],
    )
    browser = sign_in(services, host, user_id)
    answer = json.loads(browser.get("/api/sites").text)
    assert [site["domain"] for site in answer["sites"]] == ["a.example", "b.example"]
    empty, busy = answer["sites"]
    assert (empty["visitors"], empty["change"], empty["sparkline"]) == (0, None, [0] * 24)
    assert (busy["visitors"], busy["change"]) == (3, -25)
    hours = [0] * 24
    for hour in (0, 20, 21, 23):  # 13:00, and today 9, 10 and 12 o'clock
        hours[hour] = 1
    assert busy["sparkline"] == hours
    assert (busy["account"], busy["account_id"], answer["left_out"]) == ("Several", account_id, 0)
    with hosted(services) as away:
        sites_alone = json.loads(dict_browser(away, browser.cookies).get("/api/sites").text)["sites"]
    assert [(site["domain"], site["visitors"]) for site in sites_alone] == [("a.example", None), ("b.example", None)]


def dict_browser(host: Host, cookies: dict[str, str]) -> Any:
    browser = host.browser()
    browser.cookies = dict(cookies)
    return browser
