"""Single steps of a hit's way, and of a figure's way back, timed by pytest-benchmark; each asserts its answer.

    python -m pytest bench/micro --benchmark-enable --benchmark-only      # time them
    python -m pytest bench/micro                                          # each once, as `make test` does

They show which step a change made slower, where the suites of `bench.suites` only show that the whole became slower.
Where a step has a peer, the peer stands beside it in the same group and does the same work on the same input. A round
is a batch of inputs; `extra_info.items` says how many, so that a reader can divide. What counts is CPU time, of this
process and of a measured child (`bench/micro/children.py`), so other work on the machine disturbs less.

Timed runs sit on one core and refuse builds other than release (`conftest.py`).
"""
