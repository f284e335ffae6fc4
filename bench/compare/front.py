"""The front of a build under wrk: CPU nanoseconds per hit of all its processes, segments on disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.collector_process import running_collector
from bench.compare.builds import Build
from bench.compare.timed import Round
from bench.suites.front import Load, Ours

NS_PER_S = 1e9

# Short rounds, many blocks: what drifts is the machine, and a block must fit between two of its moods.
ROUND_S = 2


@contextmanager
def running_front(build: Build, load: Load, folder: Path) -> Iterator[Round]:
    """A server of this build, and what a hit costs it; each round asserts a record for every answer.

    The load and the reading of the spool are of the checkout that compares, the server is of the build.
    """
    load.seconds = ROUND_S
    own = Path(tempfile.mkdtemp(dir=folder, prefix=f"front-{build.name}-"))
    with modules_of(build), running_collector(own) as server:
        ours = Ours(load, server)
        ours.round()

        def measured(_: str) -> float:
            return NS_PER_S / ours.round()

        yield measured


@contextmanager
def modules_of(build: Build) -> Iterator[None]:
    """Python that is started meanwhile runs this build; the working folder is not on its module path."""
    before = dict(os.environ)
    os.environ.update(PYTHONPATH=str(build.folder), PYTHONSAFEPATH="1", PYTHONHASHSEED="0")
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
