"""Footfall's benchmarks: each prints ours, theirs and their ratio from one run on pinned CPUs, after asserting its
answers.

`python -m bench NAME --json` runs one suite, `python -m bench all` every suite. A suite is a module of `bench.suites`
with one function, `measure(run: Run) -> Iterator[Result]` (see `bench.harness`); what we compare with lives in
`bench.peers`; the hits come from `bench.traffic`; results that were worth keeping stand in `bench/record`, with their
machine and date.
"""
