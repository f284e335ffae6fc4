"""User agents against ua-parser with its Rust resolver: out of the cache, cold, bots, exotic ones.

Both answer browser, OS and device; ours also says what gives a bot away. Ours is asked in one call for all of them,
theirs one by one, as its API has it.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from ua_parser import CachingResolver, Domain, Resolver
from ua_parser.caching import S3Fifo
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver as RustResolver

from bench.in_process import RULES_PATH
from bench.micro.children import cpu_clock_s
from bench.traffic import Hit, bots, browsers
from rust_ext import Agents

COLD_AGENTS = 1_000
CACHE_ENTRIES = 16_384

# What does not follow the grammar of common browsers, beside those of npm's list of which `Agents.scan` says so.
RARE = (
    "Mozilla/5.0 (PlayStation; PlayStation 5/6.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/15.4 Safari/605",
    "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/2.2 TV Safari/537",
    "Opera/9.80 (J2ME/MIDP; Opera Mini/9.80/191.308; U; en) Presto/2.5.25 Version/10.54",
    "Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0.2.21.3",
    "Mozilla/5.0 (X11; U; Linux armv7l like Android; en-us) AppleWebKit/531.2+ (KHTML, like Gecko) Kindle/3.0+",
    "Mozilla/5.0 (compatible; MSIE 9.0; Windows Phone OS 7.5; Trident/5.0; IEMobile/9.0; NOKIA; Lumia 710)",
    "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/79.0.3945.79 WebAppManager",
)


@pytest.fixture(scope="module")
def ours() -> Agents:
    return Agents(str(RULES_PATH))


@pytest.fixture(scope="module")
def theirs() -> RustResolver:
    return RustResolver(load_lazy_builtins())


@pytest.fixture(scope="module")
def drawn() -> list[str]:
    """Browsers by their share of traffic."""
    known = browsers()
    texts, shares = [agent.text for agent in known.agents], [agent.share for agent in known.agents]
    return random.Random(11).choices(texts, shares, k=COLD_AGENTS)


@pytest.fixture(scope="module")
def exotic() -> list[str]:
    """Browsers that the direct scan leaves to the rules."""
    listed = dict.fromkeys(agent.text for agent in browsers().agents)
    return [*RARE, *(text for text in listed if Agents.scan(text.encode()) is None)]


@pytest.fixture(scope="module")
def crawlers() -> list[str]:
    """An instance of each crawler."""
    return [agent.text for agent in bots().agents][:COLD_AGENTS]


def timed_cold(benchmark: BenchmarkFixture, agents: Agents, texts: list[str]) -> int:
    """How many of them are bots; the cache is left aside."""
    benchmark.extra_info["items"] = len(texts)
    found: tuple[int, int] = benchmark(agents.parse_many, [text.encode() for text in texts], cached=False)
    return found[0]


def timed_peer(benchmark: BenchmarkFixture, resolver: Resolver, texts: list[str]) -> int:
    """How many of them have a browser by ua-parser's rules."""
    benchmark.extra_info["items"] = len(texts)

    def parse() -> int:
        return sum(resolver(text, Domain.ALL).user_agent is not None for text in texts)

    known: int = benchmark(parse)
    return known


@pytest.mark.benchmark(group="agents_cached", timer=cpu_clock_s)
def test_cached_agents(benchmark: BenchmarkFixture, ours: Agents, hits: list[Hit]) -> None:
    texts = [hit.agent.text.encode() for hit in hits]
    benchmark.extra_info["items"] = len(texts)
    found, _ = benchmark(ours.parse_many, texts, cached=True)
    assert found >= sum(hit.agent.is_bot for hit in hits) * 0.99


@pytest.mark.benchmark(group="agents_cached", timer=cpu_clock_s)
def test_cached_agents_by_ua_parser(benchmark: BenchmarkFixture, theirs: RustResolver, hits: list[Hit]) -> None:
    texts = [hit.agent.text for hit in hits]
    assert timed_peer(benchmark, CachingResolver(theirs, S3Fifo(CACHE_ENTRIES)), texts) > len(texts) * 0.9


@pytest.mark.benchmark(group="agents_cold", timer=cpu_clock_s)
def test_cold_agents(benchmark: BenchmarkFixture, ours: Agents, drawn: list[str]) -> None:
    assert timed_cold(benchmark, ours, drawn) < len(drawn) * 0.02


@pytest.mark.benchmark(group="agents_cold", timer=cpu_clock_s)
def test_cold_agents_by_ua_parser(benchmark: BenchmarkFixture, theirs: RustResolver, drawn: list[str]) -> None:
    assert timed_peer(benchmark, theirs, drawn) == len(drawn)


@pytest.mark.benchmark(group="agents_bot", timer=cpu_clock_s)
def test_bots(benchmark: BenchmarkFixture, ours: Agents, crawlers: list[str]) -> None:
    assert timed_cold(benchmark, ours, crawlers) > len(crawlers) * 0.98


@pytest.mark.benchmark(group="agents_bot", timer=cpu_clock_s)
def test_bots_by_ua_parser(benchmark: BenchmarkFixture, theirs: RustResolver, crawlers: list[str]) -> None:
    assert timed_peer(benchmark, theirs, crawlers) > len(crawlers) * 0.5


@pytest.mark.benchmark(group="agents_exotic", timer=cpu_clock_s)
def test_exotic_agents(benchmark: BenchmarkFixture, ours: Agents, exotic: list[str]) -> None:
    assert timed_cold(benchmark, ours, exotic) <= len(exotic) * 0.1
    parse: Callable[[bytes], tuple[str, str, str, str, int, int]] = ours.parse
    assert sum(parse(text.encode())[0] != "" for text in exotic) > len(exotic) * 0.9


@pytest.mark.benchmark(group="agents_exotic", timer=cpu_clock_s)
def test_exotic_agents_by_ua_parser(benchmark: BenchmarkFixture, theirs: RustResolver, exotic: list[str]) -> None:
    assert timed_peer(benchmark, theirs, exotic) > len(exotic) * 0.9
