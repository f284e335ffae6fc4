"""HTTP parsing against httptools, the parser under uvicorn.

`http_parse`: preflights with a browser's headers, so that nothing but HTTP is done: ours also routes them, looks up
what counts and writes the answers, theirs calls back for each header as uvicorn has it. `hit`: beacons, where ours
does the whole way to the record in the open group, theirs still only parses.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httptools
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.in_process import InProcessCollector, in_process_collector
from bench.micro.children import cpu_clock_s
from bench.micro.conftest import PIPELINED, SITE

PREFLIGHT = (
    b"OPTIONS /api/event HTTP/1.1\r\nHost: stats.example.com\r\nConnection: keep-alive\r\nAccept: */*\r\n"
    b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n"
    b"Origin: https://shop.example\r\nUser-Agent: Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 "
    b"(KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Site: cross-site\r\n"
    b"Sec-Fetch-Dest: empty\r\nReferer: https://shop.example/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: de-DE,de;q=0.9,en;q=0.8\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n"
)


class UvicornLike:
    """The callbacks that uvicorn's httptools protocol gives: names lower, headers in a list, bodies joined."""

    def __init__(self) -> None:
        self.requests = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.url = b""

    def on_message_begin(self) -> None:
        """A request begins."""
        self.headers, self.body, self.url = [], b"", b""

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        self.body += body

    def on_message_complete(self) -> None:
        """It is whole."""
        self.requests += 1


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[InProcessCollector]:
    with in_process_collector(tmp_path, [SITE]) as running:
        yield running


@pytest.mark.benchmark(group="http_parse", timer=cpu_clock_s)
def test_preflights(benchmark: BenchmarkFixture, collector: InProcessCollector) -> None:
    benchmark.extra_info["items"] = PIPELINED
    pipelined = PREFLIGHT * PIPELINED

    def parse() -> bytes:
        assert collector.connection.feed(pipelined) == 0
        answers = b"".join(collector.answers)
        collector.answers.clear()
        return answers

    assert benchmark(parse).count(b"HTTP/1.1 204 ") == PIPELINED


@pytest.mark.benchmark(group="http_parse", timer=cpu_clock_s)
def test_preflights_by_httptools(benchmark: BenchmarkFixture) -> None:
    benchmark.extra_info["items"] = PIPELINED
    pipelined = PREFLIGHT * PIPELINED

    def parse() -> UvicornLike:
        protocol = UvicornLike()
        httptools.HttpRequestParser(protocol).feed_data(pipelined)
        return protocol

    protocol = benchmark(parse)
    assert protocol.requests == PIPELINED
    assert len(protocol.headers) == 14
    assert protocol.url == b"/api/event"


@pytest.mark.benchmark(group="hit", timer=cpu_clock_s)
def test_beacons_to_spooled_records(
    benchmark: BenchmarkFixture, collector: InProcessCollector, requests: list[bytes]
) -> None:
    benchmark.extra_info["items"] = PIPELINED
    groups = iter(requests * 1_000)
    # The cache of agents takes in what it sees for the second time.
    for group in requests * 2:
        collector.feed(group)
        collector.settle()

    def one_group() -> bytes:
        collector.feed(next(groups))
        return collector.settle()

    answers = benchmark(one_group)
    assert answers.count(b"HTTP/1.1 202 ") == PIPELINED


@pytest.mark.benchmark(group="hit", timer=cpu_clock_s)
def test_beacons_only_parsed_by_httptools(benchmark: BenchmarkFixture, requests: list[bytes]) -> None:
    benchmark.extra_info["items"] = PIPELINED
    groups = iter(requests * 1_000)

    def parse() -> UvicornLike:
        protocol = UvicornLike()
        httptools.HttpRequestParser(protocol).feed_data(next(groups))
        return protocol

    protocol = benchmark(parse)
    assert protocol.requests == PIPELINED
    assert protocol.body.startswith(b'{"n":')
