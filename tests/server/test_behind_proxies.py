"""The web process's proxy rules answer as the core's do (rust_ext/ingest/src/http/client_address.rs)."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders
from tornado.web import Application, RequestHandler

from server.behind_proxies import BehindProxies, ProxyTrust
from server.config import load_settings


def headers(name: str, values: list[str]) -> HTTPHeaders:
    made = HTTPHeaders()
    for value in values:
        made.add(name, value)
    return made


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], "10.0.0.1"),
        (["192.0.2.1"], "192.0.2.1"),
        (["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
        (["6.6.6.6, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        (["6.6.6.6", "192.0.2.1", "10.0.0.2, fd00::1"], "192.0.2.1"),
        (["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
        (["192.0.2.1:4711"], "192.0.2.1"),
        (["[2001:db8::1]:4711"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["::ffff:192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, unknown"], "10.0.0.1"),
        (["192.0.2.1, unknown, 10.0.0.2"], "10.0.0.2"),
        (["192.0.2.1,,  ,"], "192.0.2.1"),
        (["192.0.2.1 6.6.6.6"], "10.0.0.1"),
        (["0x7f.1"], "10.0.0.1"),
    ],
)
def test_the_client_is_the_rightmost_untrusted_entry(values: list[str], expected: str) -> None:
    trust = ProxyTrust(["10.0.0.0/8", "fd00::/8"], "X-Forwarded-For")
    assert trust.client("10.0.0.1", headers("X-Forwarded-For", values))[0] == expected
    assert trust.client("203.0.113.5", headers("X-Forwarded-For", values)) == ("203.0.113.5", None), "not from a proxy"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1", "192.0.2.2"], "10.0.0.1"),
        (["192.0.2.1, 192.0.2.2"], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
def test_a_named_header_counts_once(values: list[str], expected: str) -> None:
    trust = ProxyTrust(["10.0.0.0/8"], "CF-Connecting-IP")
    assert trust.client("10.0.0.1", headers("CF-Connecting-IP", values))[0] == expected


def test_ipv4_networks_hold_mapped_addresses_and_nothing_else() -> None:
    trust = ProxyTrust(["0.0.0.0/0"], "X-Forwarded-For")
    assert trust.client("::ffff:8.8.8.8", headers("X-Forwarded-For", ["2001:db8::1"]))[0] == "2001:db8::1"
    assert trust.client("2001:db8::2", headers("X-Forwarded-For", ["192.0.2.1"]))[0] == "2001:db8::2"


@pytest.mark.parametrize(
    ("values", "expected"),
    [(["https"], "https"), (["http, https"], "https"), (["https, http"], "http"), (["gopher"], None), ([], None)],
)
def test_the_last_proxy_says_whether_it_was_tls(values: list[str], expected: str | None) -> None:
    trust = ProxyTrust(["10.0.0.0/8"], "X-Forwarded-For")
    assert trust.client("10.0.0.1", headers("X-Forwarded-Proto", values))[1] == expected


class Say(RequestHandler):
    def get(self) -> None:
        self.write(f"{self.request.remote_ip} {self.request.protocol}")


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    settings = load_settings(data_dir=tmp_path)
    ports: list[int] = []
    started, stop = threading.Event(), asyncio.Event()

    async def live() -> None:
        server = HTTPServer(BehindProxies(Application([("/", Say)]), settings))
        server.listen(0, "127.0.0.1")
        ports.append(next(iter(server._sockets.values())).getsockname()[1])
        loops.append(asyncio.get_running_loop())
        started.set()
        await stop.wait()
        server.stop()
        await server.close_all_connections()

    loops: list[asyncio.AbstractEventLoop] = []
    thread = threading.Thread(target=lambda: asyncio.run(live()))
    thread.start()
    assert started.wait(10)
    yield ports[0]
    loops[0].call_soon_threadsafe(stop.set)
    thread.join(10)


def test_each_request_of_a_connection_has_its_own_client(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for given, expected in (
            ({"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}, b"192.0.2.1 https"),
            ({}, b"127.0.0.1 http"),
            ({"X-Forwarded-For": "192.0.2.2"}, b"192.0.2.2 http"),
        ):
            connection.request("GET", "/", headers=given)
            assert connection.getresponse().read() == expected
    finally:
        connection.close()
