"""Every way in which the API refuses, and what becomes of questions that nobody waits for."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from server.accounts.keys import add_api_key
from server.clickhouse_url import ClickHouseAddress
from server.models import Scope
from server.queries.errors import QueryCancelled, TooBusy
from server.queries.event_reader import ReadLimits, Ticket
from server.services import Services
from server.stats_api.api_handler import MAX_BODY_BYTES
from tests.server.pages.site_host import Host, hosted
from tests.server.stats_api.asking import Client, error_of
from tests.server.stats_api.dummy_site import api_key

QUERY = {"site_id": "dummy.site", "metrics": ["visitors"], "date_range": "7d"}


@pytest.fixture(scope="module")
def client(host: Host, services: Services) -> Client:
    return Client(host, api_key(services))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"site_id": None}, "#/site_id: the domain of a site is needed"),
        ({"site_id": 5}, "#/site_id: the domain of a site is needed"),
        ({"metrics": None}, "#/metrics: expected a list"),
        ({"metrics": []}, "#/metrics: at least one metric is needed"),
        ({"metrics": ["visitor"]}, "#/metrics/0: invalid metric 'visitor'. Did you mean visitors?"),
        ({"metrics": ["p75_lpc_ms"]}, "#/metrics/0: invalid metric 'p75_lpc_ms'."),
        ({"metrics": ["conversion_rate"]}, "#/metrics/0: conversion_rate can only be queried with event:goal"),
        ({"metrics": ["scroll_depth"]}, "#/metrics/0: scroll_depth can only be queried with event:page"),
        ({"date_range": "7"}, "#/date_range: invalid date range '7'"),
        ({"date_range": ["2024-02-30", "2024-03-01"]}, "#/date_range/0: '2024-02-30' is no date"),
        ({"date_range": ["2024-03-02", "2024-03-01"]}, "#/date_range: the first date is after the last one"),
        ({"dimensions": ["visit:sauce"]}, "Did you mean visit:source?"),
        ({"filters": [["is", "visit:country", ["Estonia"]]]}, "two-letter country code"),
        ({"filters": [["matches", "event:page", ["("]]]}, "invalid regular expression (RE2)"),
        ({"filters": [["is", "event:goal", ["Nothing"]]]}, "the goal 'Nothing' is not configured"),
        ({"filters": [["is", "segment", [999]]]}, "there is no segment 999 on this site"),
        ({"order_by": [["pageviews", "desc"]]}, "#/order_by/0/0: invalid metric or dimension of this query"),
        ({"include": {"time_label": True}}, "Did you mean time_labels?"),
        ({"pagination": {"limit": 0}}, "#/pagination/limit: expected a whole number from 1 to 10000"),
        ({"limit": 5}, "#/limit: invalid key 'limit'"),
    ],
)
def test_a_wrong_query_says_where_and_what_is_allowed(client: Client, change: dict[str, Any], part: str) -> None:
    answer = client.post("/api/v2/query", {**QUERY, **change})
    assert answer.status == 400
    assert part in error_of(answer)
    assert set(json.loads(answer.text)) == {"error", "request_id"}


def test_bodies_that_are_none(client: Client) -> None:
    for body, status, part in (
        (b"{", 400, "The body is not JSON"),
        (b"", 400, "The body is not JSON"),
        (b"[1]", 400, "has to be a JSON object"),
        (b"[" * 100_000, 400, "The body is not JSON"),
        (b'"' + b"x" * MAX_BODY_BYTES + b'"', 413, "1048576 bytes"),
    ):
        answer = client.post("/api/v2/query", body)
        assert (answer.status, part in error_of(answer)) == (status, True)
    assert client.status("/api/v2/query") == 405


def test_who_may_not(client: Client, services: Services) -> None:
    anonymous = client.browser
    body = json.dumps(QUERY).encode()
    answer = anonymous.ask("POST", "/api/v2/query", body)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="footfall"')
    answer = anonymous.ask("POST", "/api/v2/query", body, Authorization="Bearer ff_wrong")
    assert (answer.status, error_of(answer)) == (401, "This API key is not valid, or was ended.")
    narrow = add_api_key(services.engine, "narrow", 1, [Scope.EVENTS_WRITE])
    answer = anonymous.ask("POST", "/api/v2/query", body, Authorization=f"Bearer {narrow}")
    assert (answer.status, error_of(answer)) == (403, "This API key lacks the scope stats:read.")
    answer = client.post("/api/v2/query", {**QUERY, "site_id": "none.example"})
    assert (answer.status, error_of(answer)) == (404, "The account of this API key has no such site.")


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/api/stats/realtime", "site_id is missing"),
        ("/api/stats/drops?site_id=dummy.site&date_range=[1", "#/date_range: not JSON"),
        ("/api/stats/suggestions?site_id=dummy.site", "dimension is missing"),
        ("/api/stats/suggestions?site_id=dummy.site&dimension=visit:sauce", "Did you mean visit:source?"),
        ("/api/stats/suggestions?site_id=dummy.site&dimension=visit:os&limit=0", "from 1 to 100"),
        (f"/api/stats/suggestions?site_id=dummy.site&dimension=visit:os&text={'x' * 201}", "at most 200 characters"),
        ("/api/stats/export?site_id=dummy.site&format=xlsx", "one of csv, json, parquet"),
        ("/api/stats/export?site_id=dummy.site&metrics=visitor", "Did you mean visitors?"),
        ("/api/stats/export?site_id=dummy.site&format=parquet&date_range=x", "invalid date range"),
        ("/api/stats/export?site_id=dummy.site&filters=[[%22matches%22,%22event:page%22,[%22(%22]]]", "RE2"),
    ],
)
def test_wrong_parameters(client: Client, path: str, part: str) -> None:
    answer = client.browser.get(path, **client.headers)
    assert answer.status == 400
    assert part in error_of(answer)


@pytest.fixture(scope="module")
def tight(host: Host, services: Services, event_store: ClickHouseAddress) -> Iterator[Client]:
    """A server that lets a query read one row."""
    with hosted(services, lambda: event_store, ReadLimits(rows_read=1)) as running:
        yield Client(running, api_key(services))


def test_a_refused_query_names_its_limit_and_how_to_narrow(tight: Client) -> None:
    answer = tight.post("/api/v2/query", {**QUERY, "date_range": ["2024-08-14", "2024-08-20"]})
    assert answer.status == 422
    said = json.loads(answer.text)
    assert said["limit"].startswith("1 rows read")
    assert "Choose a shorter range" in said["error"]
    csv = tight.browser.get("/api/stats/export?site_id=dummy.site&date_range=12mo", **tight.headers)
    assert csv.status == 422, "nothing of the file was sent"


def test_without_an_event_store_one_may_come_back(services: Services, host: Host) -> None:
    with hosted(services) as away:
        client = Client(away, api_key(services))
        for path in (
            "/api/stats/realtime?site_id=dummy.site",
            "/api/stats/export?site_id=dummy.site",
            "/api/stats/export?site_id=dummy.site&format=parquet",
            "/api/v1/stats/aggregate?site_id=dummy.site",
        ):
            answer = client.browser.get(path, **client.headers)
            assert (answer.status, answer.headers["retry-after"]) == (503, "2")
            assert "does not answer" in error_of(answer)


def test_too_many_at_once_and_too_often(host: Host, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.stats is not None

    def busy(*_: Any, **__: Any) -> Any:
        raise TooBusy("too many questions at once; try again in a moment")

    monkeypatch.setattr(host.stats.engine, "document", busy)
    answer = client.post("/api/v2/query", QUERY)
    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert error_of(answer) == "Too many questions at once; try again in a moment."
    monkeypatch.setattr(host.stats, "_max_waiting", 0)
    assert client.post("/api/v2/query", QUERY).status == 503


def test_a_key_has_an_hourly_limit_of_its_own(host: Host, services: Services, event_store: ClickHouseAddress) -> None:
    settings = services.settings.model_copy(update={"api_requests_per_hour": 2})
    object.__setattr__(services, "settings", settings)
    try:
        one, another = (Client(host, api_key(services)) for _ in range(2))
        statuses = [one.post("/api/v2/query", QUERY).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = one.post("/api/v2/query", QUERY)
        assert 3000 < int(refused.headers["retry-after"]) <= 3600
        assert "try again in" in error_of(refused)
        assert another.post("/api/v2/query", QUERY).status == 200
    finally:
        object.__setattr__(services, "settings", settings.model_copy(update={"api_requests_per_hour": 10_000}))


def test_who_goes_away_ends_the_query(host: Host, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.stats is not None
    reader = host.stats.reader
    started, ended = threading.Event(), threading.Event()
    caught: list[BaseException] = []

    def slow(*_: Any, ticket: Ticket | None = None, **__: Any) -> Any:
        ticket = ticket or next(each for each in _ if isinstance(each, Ticket))
        started.set()
        try:
            reader.rows("SELECT sum(sleepEachRow(0.1)) FROM numbers(600)", {}, ticket, max_block_size=1)
        except QueryCancelled as error:
            caught.append(error)
            raise
        finally:
            ended.set()

    monkeypatch.setattr(host.stats.engine, "document", slow)
    body = json.dumps(QUERY).encode()
    head = (
        f"POST /api/v2/query HTTP/1.1\r\nHost: x\r\nAuthorization: {client.headers['Authorization']}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", host.port)) as connection:
        connection.sendall(head.encode() + body)
        assert started.wait(30)
    assert ended.wait(30), "a minute otherwise"
    assert len(caught) == 1
