"""User agents: cold against ua-parser's Rust resolver, and warm out of the cache.

Cold: the same agents, drawn by their share of real traffic, each parsed in full by both: ours without its cache,
theirs with the rules compiled before. Warm: what a hit pays when its agent was seen before. Both count CPU time, and
the browsers' major versions are compared.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from ua_parser import Domain
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

from bench.harness import Result, Run, cpu_cost, cpu_rate
from bench.in_process import RULES_PATH
from bench.traffic.agents import browsers
from rust_ext import Agents

COLD_AGENTS = 5_000
QUICK_AGENTS = 500
WARM_ROUNDS = 200

# Of the drawn agents, how many must have the major version that ua-parser finds: ours leaves frozen ones out.
AGREEMENT_AT_LEAST = 0.95


def measure(run: Run) -> Iterator[Result]:
    """agents_cold_vs_ua_parser, agents_warm_ns."""
    known = browsers()
    source = random.Random(11)
    count = QUICK_AGENTS if run.quick else COLD_AGENTS
    drawn = source.choices([agent.text for agent in known.agents], [agent.share for agent in known.agents], k=count)
    encoded = [text.encode() for text in drawn]
    ours = Agents(str(RULES_PATH))
    theirs = Resolver(load_lazy_builtins())

    agreeing = 0
    for text, raw in zip(drawn, encoded, strict=True):
        answer = theirs(text, Domain.ALL).user_agent
        browser, version = ours.parse(raw)[:2]
        assert browser, text
        major = version.partition(".")[0]
        agreeing += answer is not None and major == (answer.major or "")
    assert agreeing / count >= AGREEMENT_AT_LEAST, agreeing / count
    bots = ours.parse_many(encoded, cached=False)[0]

    def parse_ours() -> int:
        assert ours.parse_many(encoded, cached=False, rounds=4)[0] == 4 * bots
        return 4 * count

    def parse_theirs() -> int:
        for text in drawn:
            assert theirs(text, Domain.ALL).user_agent is not None, text
        return count

    yield run.compare(
        "agents_cold_vs_ua_parser",
        lambda: cpu_rate(parse_ours),
        lambda: cpu_rate(parse_theirs),
        unit="agents/CPU s",
        at_least=5.0,
        notes={"versions_agreeing": round(agreeing / count, 4)},
    )

    def parse_warm() -> int:
        assert ours.parse_many(encoded, cached=True, rounds=WARM_ROUNDS)[0] == WARM_ROUNDS * bots
        return WARM_ROUNDS * count

    yield run.figure("agents_warm_ns", lambda: cpu_cost(parse_warm), unit="ns")
