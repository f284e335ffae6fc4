"""What both builds are measured by: one program, run with a build's folder first on the module path.

It uses nothing but the public surface of rust_ext and core_ext, so that it measures commits that do not have it.
Commands:

* `prepare FOLDER`: what only the commit itself can make: its snapshot, and a segment in its own format.
* `serve FOLDER`: answers each line `PATH` of standard input by `ITEMS CPU_NS`, CPU time of all threads of this process.
* `instructions FOLDER`: each path once warm, once between two calls of `MARKER`, at which callgrind writes out its
counts.

FOLDER holds `requests.bin` (each after its length in nine digits) and `agents.txt`, the same for both builds.
"""

from __future__ import annotations

import ctypes
import json
import select
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import core_ext
import rust_ext

# A function of libc that nobody calls otherwise and that does next to nothing; and the one that it calls, at which
# callgrind writes out its counts: it does not recognize a call by libffi as one.
MARKER = "srand48"
WRITTEN_AT = "srand48_r"

PIPELINED = 64
BATCH_ID = "0123456789abcdef" * 2
SEGMENT_ROWS = 20_000
# The cache of agents takes in what it sees for the second time, and rare ones later.
WARM_ROUNDS = 3
SETTLE_DEADLINE_MS = 120_000
ANSWER = b"HTTP/1.1 202 "
NO_RATE_LIMIT = 1_000_000


def prepare(folder: Path) -> None:
    """Write `snapshot.json` and `segment.*` as this commit makes them."""
    from bench.in_process import snapshot_for
    from bench.segments import traffic_segment

    snapshot = json.loads(snapshot_for(["example.com"]))
    # How fast hits come must not decide what becomes of them: under valgrind they come slowly.
    if "rate_per_address_per_second" in snapshot.get("limits", {}):
        snapshot["limits"]["rate_per_address_per_second"] = NO_RATE_LIMIT
    (folder / "snapshot.json").write_text(json.dumps(snapshot))
    segment, _ = traffic_segment(SEGMENT_ROWS)
    for name in ("data", "offsets", "lengths"):
        (folder / f"segment.{name}").write_bytes(getattr(segment, name))


def read_requests(folder: Path) -> list[bytes]:
    """The requests, joined as a socket of a busy proxy delivers them."""
    stored = (folder / "requests.bin").read_bytes()
    single, at = [], 0
    while at < len(stored):
        end = at + 9 + int(stored[at : at + 9])
        single.append(stored[at + 9 : end])
        at = end
    return [b"".join(single[start : start + PIPELINED]) for start in range(0, len(single), PIPELINED)]


class Record:
    """Hits from their bytes to the segment on disk, the writer thread included."""

    def __init__(self, folder: Path, spool: str) -> None:
        self._requests = read_requests(folder)
        self._hits = sum(group.count(b"POST /api/event ") for group in self._requests)
        rules = Path(rust_ext.__file__).parent / "rules.pack"
        settings = json.dumps({"http": {"trusted_proxies": ["127.0.0.0/8"]}}).encode()
        self._collector = rust_ext.Collector(rules_path=str(rules), spool_folder=spool, settings=settings)
        self._collector.apply_snapshot((folder / "snapshot.json").read_bytes())
        self._answers: list[bytes] = []
        self._connection = self._collector.connection("127.0.0.1", 50_000, self._answers.append, lambda mask: None)
        self._completions = select.poll()
        self._completions.register(self._collector.completion_fd, select.POLLIN)

    def run(self) -> int:
        """All requests once."""
        for group in self._requests:
            self._connection.feed(group)
            self._collector.commit()
            assert self._completions.poll(SETTLE_DEADLINE_MS), "the writer thread settled nothing"
            self._collector.complete()
        return self._hits

    def finish(self) -> None:
        """Each hit must be answered 202. Away with what was written."""
        answered = b"".join(self._answers).count(ANSWER)
        assert answered == self._hits, (answered, self._hits)
        self._answers.clear()
        self._collector.seal_all()
        source = self._collector.sealed_segments()
        while (path := source.next_sealed(50)) is not None:
            source.discard(path)


class Encode:
    """A segment's bytes to the framed block."""

    def __init__(self, folder: Path, spool: str) -> None:
        from core_ext.native import encode_segment

        self._encode = encode_segment
        self._parts = [(folder / f"segment.{name}").read_bytes() for name in ("data", "offsets", "lengths")]

    def run(self) -> int:
        """The block once."""
        self._block = self._encode(*self._parts, batch_id=BATCH_ID, compress=True)
        return SEGMENT_ROWS

    def finish(self) -> None:
        """Each record must be a row."""
        assert self._block.rows == SEGMENT_ROWS


class Agents:
    """User agents in full, without the cache."""

    def __init__(self, folder: Path, spool: str) -> None:
        self._agents = (folder / "agents.txt").read_bytes().splitlines()
        rules = Path(rust_ext.__file__).parent / "rules.pack"
        self._parser = rust_ext.Agents(str(rules), seed=(1, 2))

    def run(self) -> int:
        """Each agent once."""
        self._bots, _ = self._parser.parse_many(self._agents, cached=False)
        return len(self._agents)

    def finish(self) -> None:
        """Some of them are bots, most are not."""
        assert 0 < self._bots < len(self._agents) / 2


PATHS: dict[str, Any] = {"record": Record, "encode": Encode, "agents": Agents}


def warm(path: Any) -> None:
    """Run it until caches hold what they will."""
    for _ in range(WARM_ROUNDS):
        path.run()
        path.finish()


def serve(folder: Path, spool: str) -> None:
    """Answer lines until there are no more."""
    paths: dict[str, Any] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in paths:
            paths[name] = PATHS[name](folder, spool)
            warm(paths[name])
        before_ns = time.process_time_ns()
        items = paths[name].run()
        spent_ns = time.process_time_ns() - before_ns
        print(items, spent_ns, flush=True)
        paths[name].finish()


def count_instructions(folder: Path, spool: str, names: list[str]) -> None:
    """Print `PATH ITEMS` for each path; callgrind writes one file before and one after each."""
    marker = getattr(ctypes.CDLL(None), MARKER)
    for name in names:
        path = PATHS[name](folder, spool)
        warm(path)
        marker(0)
        items = path.run()
        marker(0)
        print(name, items, flush=True)
        path.finish()


def main() -> None:
    """Command, folder, the build that must be the one measured, and paths."""
    command, folder, build, *names = sys.argv[1:]
    for module in (rust_ext, core_ext):
        assert Path(str(module.__file__)).is_relative_to(build), f"{module.__file__} is not of {build}"
    if command == "prepare":
        prepare(Path(folder))
        return
    assert rust_ext.build_profile() == "release"
    with tempfile.TemporaryDirectory(prefix="footfall-probe-") as spool:
        if command == "serve":
            serve(Path(folder), spool)
        else:
            count_instructions(Path(folder), spool, names)


if __name__ == "__main__":
    main()
