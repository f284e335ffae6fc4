"""Country of an address against maxminddb over the very database that our rules are packed from."""

from __future__ import annotations

import maxminddb
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.in_process import RULES_PATH
from bench.micro.children import ROOT, cpu_clock_s
from bench.traffic import Hit
from rust_ext import Agents

DATABASE = ROOT / "node_modules" / "@ip-location-db" / "dbip-country-mmdb" / "dbip-country-ipv4.mmdb"

# The generator's ranges are long-standing allotments; a few of their parts have moved.
AGREEING_AT_LEAST = 0.9


@pytest.fixture(scope="module")
def agents() -> Agents:
    return Agents(str(RULES_PATH))


@pytest.fixture(scope="module")
def database() -> maxminddb.Reader:
    if not DATABASE.exists():
        pytest.skip("needs node_modules: `make build` installs them")
    return maxminddb.open_database(DATABASE, maxminddb.MODE_MMAP_EXT)


@pytest.mark.benchmark(group="country", timer=cpu_clock_s)
def test_countries(benchmark: BenchmarkFixture, agents: Agents, hits: list[Hit]) -> None:
    """In one call, as a hit pays for it."""
    benchmark.extra_info["items"] = len(hits)
    addresses = [int.from_bytes(bytes(map(int, hit.address.split(".")))) for hit in hits]
    assert benchmark(agents.country_many, addresses) > len(hits) * 0.99


@pytest.mark.benchmark(group="country", timer=cpu_clock_s)
def test_countries_one_by_one(benchmark: BenchmarkFixture, agents: Agents, hits: list[Hit]) -> None:
    """Called from Python for each, as the peer is."""
    benchmark.extra_info["items"] = len(hits)

    def look_up() -> list[str | None]:
        return [agents.country(hit.address) for hit in hits]

    found = benchmark(look_up)
    assert sum(each == hit.country for each, hit in zip(found, hits, strict=True)) > len(hits) * AGREEING_AT_LEAST


@pytest.mark.benchmark(group="country", timer=cpu_clock_s)
def test_countries_by_maxminddb(
    benchmark: BenchmarkFixture, agents: Agents, database: maxminddb.Reader, hits: list[Hit]
) -> None:
    benchmark.extra_info["items"] = len(hits)

    def look_up() -> list[object]:
        return [database.get(hit.address) for hit in hits]

    for found, hit in zip(benchmark(look_up), hits, strict=True):
        assert isinstance(found, dict)
        assert found["country_code"] == agents.country(hit.address), hit.address
