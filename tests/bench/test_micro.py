"""Single steps of a hit's way, timed by pytest-benchmark; each asserts its answer.

`make bench` times them (`--benchmark-only`); `make test` runs each once. They show which step a change made slower,
where the suites of `bench.suites` only show that the whole became slower. Compare with an earlier run:
`pytest tests/bench/test_micro.py --benchmark-enable --benchmark-autosave --benchmark-compare`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.in_process import RULES_PATH, InProcessCollector, in_process_collector
from bench.traffic import Hit, TrafficMix, generate_hits, http_request
from core_ext.native import encode_segment
from rust_ext import Agents, scan_segment

HITS = 5_000
PIPELINED = 50
SITE = "example.com"


@pytest.fixture(scope="module")
def hits() -> list[Hit]:
    return list(generate_hits(HITS, seed=99, mix=TrafficMix(sites=(SITE,))))


@pytest.fixture(scope="module")
def requests(hits: list[Hit]) -> list[bytes]:
    single = [http_request(hit, host="localhost") for hit in hits]
    return [b"".join(single[start : start + PIPELINED]) for start in range(0, HITS, PIPELINED)]


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[InProcessCollector]:
    with in_process_collector(tmp_path, [SITE]) as running:
        yield running


@pytest.fixture(scope="module")
def segment(requests: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A real segment: what the collector wrote for these hits."""
    with in_process_collector(tmp_path_factory.mktemp("segment"), [SITE]) as running:
        for group in requests:
            running.feed(group)
            running.settle()
        return max((path.read_bytes() for path in running.segments()), key=len)


def test_pipelined_hits_to_spooled_records(
    benchmark: BenchmarkFixture, collector: InProcessCollector, requests: list[bytes]
) -> None:
    groups = iter(requests * 1_000)

    def one_group() -> bytes:
        collector.feed(next(groups))
        return collector.settle()

    answers = benchmark(one_group)
    assert answers.count(b"HTTP/1.1 202 ") == PIPELINED


def test_agents_warm(benchmark: BenchmarkFixture, hits: list[Hit]) -> None:
    agents = Agents(str(RULES_PATH))
    texts = [hit.agent.text.encode() for hit in hits]
    bots, _ = benchmark(agents.parse_many, texts, cached=True)
    assert bots >= sum(hit.agent.is_bot for hit in hits) * 0.99


def test_country_of_an_address(benchmark: BenchmarkFixture, hits: list[Hit]) -> None:
    agents = Agents(str(RULES_PATH))
    addresses = [int.from_bytes(bytes(map(int, hit.address.split(".")))) for hit in hits]
    known = benchmark(agents.country_many, addresses)
    assert known > HITS * 0.99
    agreeing = sum(agents.country(hit.address) == hit.country for hit in hits)
    # The generator's ranges are long-standing allotments; a few of their parts have moved.
    assert agreeing > HITS * 0.9


def test_scan_segment(benchmark: BenchmarkFixture, segment: bytes) -> None:
    scan = benchmark(scan_segment, segment)
    assert scan.lost_records == 0
    assert scan.records > HITS * 0.9


@pytest.mark.parametrize("compress", [False, True], ids=["bare", "framed"])
def test_encode_segment(benchmark: BenchmarkFixture, segment: bytes, compress: bool) -> None:
    scan = scan_segment(segment)
    block = benchmark(
        encode_segment, segment, scan.offsets, scan.lengths, batch_id=scan.segment_id or "", compress=compress
    )
    assert 0 < block.rows <= scan.records
