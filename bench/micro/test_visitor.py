"""Visitor hash: SipHash-2-4 under the day's salt, against hashlib's keyed BLAKE2b of eight bytes.

The peer is what one would take in Python: a keyed hash of a kept library, one call per hit over the same bytes. Its
figure holds Python's calls; ours is timed in the pure crate (`examples/steps.rs`).
"""

from __future__ import annotations

import hashlib
import ipaddress

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.children import StepsChild, child_clock_s, cpu_clock_s
from bench.traffic import Hit

KEY = bytes(range(16))


@pytest.mark.benchmark(group="visitor_hash", timer=child_clock_s)
def test_visitor_ids(benchmark: BenchmarkFixture, steps: StepsChild, hits: list[Hit]) -> None:
    benchmark.extra_info["items"] = len(hits)
    assert benchmark(steps.run, "visitor") == len(hits)


@pytest.mark.benchmark(group="visitor_hash", timer=cpu_clock_s)
def test_visitor_ids_by_blake2b(benchmark: BenchmarkFixture, hits: list[Hit]) -> None:
    benchmark.extra_info["items"] = len(hits)
    site = (1).to_bytes(4, "little")
    messages = [site + ipaddress.ip_address(f"::ffff:{hit.address}").packed + hit.agent.text.encode() for hit in hits]

    def hash_all() -> set[bytes]:
        return {hashlib.blake2b(message, digest_size=8, key=KEY).digest() for message in messages}

    assert len(benchmark(hash_all)) == len(set(messages))
