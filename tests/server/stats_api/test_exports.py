"""Exports: what is in the files, that they are sent while they are made, that half a file is no file."""

from __future__ import annotations

import csv
import http.client
import io
import json
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from clickhouse_driver import Client as ClickHouse

import server.stats_api.exports
from server.accounts.share_links import add_share_link
from server.app_database import writing
from server.clickhouse_url import ClickHouseAddress
from server.queries.errors import StoreAway
from server.queries.event_reader import EventReader
from server.services import Services
from server.sites import add_site, find_site
from server.stats_api.raw_events import COLUMNS
from server.stats_api.stats import EXPORT_LIMITS
from tests.server.pages.site_host import Host
from tests.server.stats_api.asking import Client
from tests.server.stats_api.dummy_site import api_key, dummy_site_id, dummy_visitors
from tests.server.stats_api.events import store_visitors, visitor

PATH = "/api/stats/export?site_id=dummy.site"


@pytest.fixture(scope="module")
def client(host: Host, services: Services) -> Client:
    return Client(host, api_key(services))


def fetch(host: Host, path: str, headers: dict[str, str]) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", host.port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def test_csv_of_a_list(client: Client) -> None:
    answer = client.browser.get(
        f'{PATH}&date_range=["2024-08-14","2024-08-20"]&metrics=["visitors","bounce_rate"]'
        '&dimensions=["visit:source"]&order_by=[["visitors","desc"]]',
        **client.headers,
    )
    assert answer.text == "visit:source,visitors,bounce_rate\r\nDirect / None,2,100\r\nGoogle,2,0\r\nTwitter,2,0\r\n"
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    name = "dummy.site 2024-08-14 2024-08-20.csv"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["cache-control"] == "no-store"


def test_csv_of_money_and_names_as_they_are(client: Client) -> None:
    answer = client.browser.get(f"{PATH}&date_range=12mo&metrics=total_revenue&dimensions=event:goal", **client.headers)
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[:3] == [
        ["event:goal", "total_revenue", "total_revenue_currency"],
        ["PurchaseUSD", "120.5", "USD"],
        ["PurchaseEUR", "10", "EUR"],
    ]
    assert ["Signup", "", ""] in rows


def test_json(client: Client) -> None:
    rows = client.get(f"{PATH}&format=json&date_range=7d&dimensions=time:day&metrics=visitors,pageviews")
    assert rows == [
        {"time:day": "2024-08-14", "visitors": 2, "pageviews": 3},
        {"time:day": "2024-08-16", "visitors": 1, "pageviews": 1},
        {"time:day": "2024-08-20", "visitors": 3, "pageviews": 4},
    ]
    assert client.get(f"{PATH}&format=json&date_range=2020-01-01,2020-01-02&dimensions=event:page") == []


def test_pages_of_a_long_list_make_one_file(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{PATH}&date_range=12mo&dimensions=event:page"
    whole = client.browser.get(path, **client.headers).text
    assert whole.count("\r\n") == 8
    monkeypatch.setattr(server.stats_api.exports, "PAGE_ROWS", 2)
    assert client.browser.get(path, **client.headers).text == whole
    as_json = client.get(f"{path}&format=json")
    assert [row["event:page"] for row in as_json] == [line.split(",")[0] for line in whole.splitlines()[1:]]


def test_formulas_of_strangers_are_texts(client: Client, services: Services, event_store: ClickHouseAddress) -> None:
    site = add_site(services.engine, "strange.example", account_id=1)
    store_visitors(event_store, [visitor(site.site_id, "eve", "2024-08-19 10:00").view('=cmd|"/c calc"!A0')])
    path = "/api/stats/export?site_id=strange.example&date_range=7d&dimensions=event:page"
    rows = list(csv.reader(io.StringIO(client.browser.get(path, **client.headers).text)))
    assert rows[1] == ['\'=cmd|"/c calc"!A0', "1"]


def test_parquet_holds_every_row_of_the_range_and_of_the_site(
    client: Client, services: Services, event_store: ClickHouseAddress, host: Host
) -> None:
    answer, data = fetch(host, f"{PATH}&format=parquet&date_range=12mo", client.headers)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/vnd.apache.parquet"
    assert data[:4] == data[-4:] == b"PAR1"
    (footer_bytes,) = struct.unpack("<I", data[-8:-4])
    assert footer_bytes < len(data)
    address, port = event_store.hosts[0]
    reader = ClickHouse(host=address, port=port)
    try:
        names = [column.name for column in COLUMNS]
        found = reader.execute(
            f"SELECT * EXCEPT (props, metrics), toJSONString(props) FROM format(Parquet, unhex('{data.hex()}'))"
        )
    finally:
        reader.disconnect()
    sent = [row for each in dummy_visitors(dummy_site_id(services)) for row in each.rows]
    assert len(found) == len(sent)
    place = {name: at for at, name in enumerate(name for name in names if name not in ("props", "metrics"))}
    got = sorted(
        (row[place["time"]], row[place["path"]], row[place["event_name"]], row[place["country"]]) for row in found
    )
    assert got == sorted((row["time"], row["path"], row.get("event_name", ""), row.get("country", "")) for row in sent)
    assert {row[-1] for row in found} == {"{}", *PROPS}
    assert sum(row[place["revenue_micros"]] for row in found) == 130_500_000
    assert {row[place["visitor_id"]] for row in found} == {row["visitor_id"] for row in sent}


PROPS = ('{"is_customer":"true"}', '{"is_customer":"false"}', '{"method":"HTTP"}', '{"method":"Magnet"}')


def test_a_share_link_exports_its_site_alone(services: Services, host: Host) -> None:
    site = find_site(services.engine, "dummy.site")
    assert site is not None
    with writing(services.engine) as session:
        slug = add_share_link(session, site, "export", "", None).slug
    for format_ in ("csv", "json", "parquet"):
        path = f"{PATH}&format={format_}&date_range=7d&share={slug}"
        assert fetch(host, path, {})[0].status == 200
        assert fetch(host, path.replace("dummy.site", "strange.example"), {})[0].status == 404


def test_a_failure_in_the_middle_leaves_no_end(host: Host, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> Iterator[bytes]:
        yield b"x" * 1000
        yield b"y" * 1000
        raise StoreAway("the event store does not answer")

    monkeypatch.setattr(server.stats_api.exports, "csv_pieces", failing)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        fetch(host, f"{PATH}&date_range=7d", client.headers)


def test_who_goes_away_ends_the_export(host: Host, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[float] = []

    def endless(*_: Any) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            ended.append(time.monotonic())

    monkeypatch.setattr(server.stats_api.exports, "csv_pieces", endless)
    with socket.create_connection(("127.0.0.1", host.port)) as connection:
        head = (
            f"GET {PATH}&date_range=7d HTTP/1.1\r\nHost: x\r\nAuthorization: {client.headers['Authorization']}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(1000)
    deadline = time.monotonic() + 10
    while not ended and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ended, "the pieces were let go"


ROWS = 100_000


def test_a_large_export_is_sent_in_pieces_and_a_reader_who_left_keeps_no_place(
    services: Services, event_store: ClickHouseAddress, host: Host, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = add_site(services.engine, "large.example", account_id=1)
    address, port = event_store.hosts[0]
    store = ClickHouse(host=address, port=port, database=event_store.database, settings={"max_query_size": 2**28})
    at = "'2024-08-19 05:00:00'"
    store.execute(
        "INSERT INTO events (site_id, hour, time, kind, visitor_id, path) "
        f"SELECT {site.site_id}, toDateTime({at}, 'UTC'), toDateTime64({at}, 3, 'UTC'), 'pageview', number, "
        f"concat('/', toString(cityHash64(number))) FROM numbers({ROWS})"
    )
    assert host.stats is not None
    one_at_a_time = EventReader(lambda: event_store, replace(EXPORT_LIMITS, queries=1, queue_wait_s=20.0))
    monkeypatch.setattr(host.stats, "export_reader", one_at_a_time)
    path = "/api/stats/export?site_id=large.example&format=parquet&date_range=7d"
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", host.port)) as connection:
            head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {client.headers['Authorization']}\r\n\r\n"
            connection.sendall(head.encode())
            assert connection.recv(100)
    answer, data = fetch(host, path, client.headers)
    assert (answer.status, answer.getheader("Transfer-Encoding")) == (200, "chunked")
    (counted,) = store.execute(
        f"SELECT count(), uniqExact(path), max(visitor_id) FROM format(Parquet, unhex('{data.hex()}'))"
    )
    assert counted == (ROWS, ROWS, ROWS - 1)
    store.disconnect()
    one_at_a_time.close()


def test_json_is_one_document_for_whatever_reads_it(client: Client) -> None:
    text = client.browser.get(f"{PATH}&format=json&date_range=12mo&dimensions=event:page", **client.headers).text
    assert len(json.loads(text)) == 7
