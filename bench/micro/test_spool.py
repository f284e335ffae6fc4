"""Records into a segment and out of it again. Nobody else has this format, so there is no peer."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.micro.children import StepsChild, child_clock_s, cpu_clock_s
from rust_ext import scan_segment

# One flipped byte in so many: a disk that is going.
DAMAGE_EVERY_BYTES = 50_000


@pytest.mark.benchmark(group="record_append", timer=child_clock_s)
def test_records_are_appended(benchmark: BenchmarkFixture, steps: StepsChild, segment: bytes) -> None:
    """Encoded, framed, numbered and checksummed, as the writer thread writes them."""
    records = scan_segment(segment).records
    benchmark.extra_info["items"] = records
    assert benchmark(steps.run, "append") == records


@pytest.mark.benchmark(group="recovery_scan", timer=cpu_clock_s)
def test_a_whole_segment_is_scanned(benchmark: BenchmarkFixture, segment: bytes, bodies: list[bytes]) -> None:
    scan = benchmark(scan_segment, segment)
    benchmark.extra_info["items"] = scan.records
    assert scan.lost_records == 0
    assert scan.records > len(bodies) * 0.9


@pytest.mark.benchmark(group="recovery_scan", timer=cpu_clock_s)
def test_a_damaged_segment_is_scanned(benchmark: BenchmarkFixture, segment: bytes) -> None:
    """Flipped bytes all over it: each costs one record and a search for the next."""
    damaged = bytearray(segment)
    places = range(DAMAGE_EVERY_BYTES, len(segment), DAMAGE_EVERY_BYTES)
    for place in places:
        damaged[place] ^= 0xFF
    whole = scan_segment(segment).records
    scan = benchmark(scan_segment, bytes(damaged))
    benchmark.extra_info["items"] = whole
    assert scan.records + scan.lost_records == whole
    assert 0 < scan.lost_records <= len(places)
