"""Time from a hit's bytes to its record in the open group, inside rust_ext, with a warm user-agent cache.

Measured through the public door: `Connection.feed` on pipelined requests, CPU time of the calling thread. So the figure
also holds what the budget does not ask for, HTTP parsing and the answer; the budget must hold all the same. Writing the
group to disk is the writer thread's and is not in it. Answers are counted, and the segments are read back at the end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.harness import Result, Run
from bench.in_process import in_process_collector
from bench.traffic import TrafficMix, generate_hits, http_request
from rust_ext import scan_segment

SITE = "example.com"
HITS = 50_000
QUICK_HITS = 2_000

# Requests per feed: what a socket of a busy proxy delivers in one read of 64 KiB.
PIPELINED = 64

ANSWER = b"HTTP/1.1 202 "


def measure(run: Run) -> Iterator[Result]:
    """record_us."""
    count = QUICK_HITS if run.quick else HITS
    hits = list(generate_hits(count, seed=47, mix=TrafficMix(sites=(SITE,))))
    requests = [http_request(hit, host="127.0.0.1:8000") for hit in hits]
    groups = [b"".join(requests[start : start + PIPELINED]) for start in range(0, count, PIPELINED)]
    with (
        tempfile.TemporaryDirectory(prefix="footfall-bench-") as folder,
        in_process_collector(Path(folder), [SITE]) as core,
    ):
        fed = 0

        def round_us() -> float:
            nonlocal fed
            spent_ns = answered = 0
            for group in groups:
                spent_ns += core.feed(group)
                answered += core.settle().count(ANSWER)
            assert answered == count, answered
            fed += count
            return spent_ns / count / 1000

        result = run.figure("record_us", round_us, unit="us", at_most=1.5)
        stored = sum(scan_segment(path.read_bytes()).records for path in core.segments())
        assert stored == fed, (stored, fed)
        yield result
