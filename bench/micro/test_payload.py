"""Payload decoding against orjson on the same bodies.

Ours makes checked fields: kinds, limits, numbers, props, metrics. orjson makes Python objects of the whole text and
checks nothing more. Ours runs in the pure crate (`examples/steps.rs`), where nothing but the decoder is timed.
"""

from __future__ import annotations

import orjson
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.children import StepsChild, child_clock_s, cpu_clock_s


@pytest.mark.benchmark(group="payload", timer=child_clock_s)
def test_payloads(benchmark: BenchmarkFixture, steps: StepsChild, bodies: list[bytes]) -> None:
    benchmark.extra_info["items"] = len(bodies)
    assert benchmark(steps.run, "payload") == len(bodies)


@pytest.mark.benchmark(group="payload", timer=cpu_clock_s)
def test_payloads_by_orjson(benchmark: BenchmarkFixture, bodies: list[bytes]) -> None:
    benchmark.extra_info["items"] = len(bodies)

    def decode() -> int:
        return sum(orjson.loads(body)["v"] for body in bodies)

    assert benchmark(decode) == len(bodies)
