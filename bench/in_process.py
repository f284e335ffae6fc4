"""The ingest core inside this process: requests in, segments on disk, no sockets and no event loop.

For the figures of `rust_ext` alone, and for real segments made of generated traffic.
"""

from __future__ import annotations

import select
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson

import rust_ext
from rust_ext import COMMIT, Collector
from server.config import Settings
from server.snapshot import SnapshotSource, render

RULES_PATH = Path(rust_ext.__file__).parent / "rules.pack"

# Longer than any local write takes, even beside a busy neighbour.
COMMIT_DEADLINE_S = 10.0

DAY_MS = 86_400_000


def snapshot_for(sites: Sequence[str]) -> bytes:
    """A snapshot in which these sites take hits, with salts for the days around now."""
    now_ms = time.time_ns() // 1_000_000
    days = (time.strftime("%Y-%m-%d", time.gmtime((now_ms + offset * DAY_MS) / 1000)) for offset in range(-2, 3))
    source = SnapshotSource(
        version=1,
        sites=tuple(
            {
                "site_id": number,
                "public_id": f"00000000-0000-4000-8000-{number:012d}",
                "domain": domain,
                "account_id": 1,
                "timezone": "UTC",
                "state": "active",
                "retention_class": 1,
                "allowed_hostnames": [],
                "drop_bot_mask": 0xFFFF,
                "rate_per_second": None,
                "sample_every": 1,
                "spam_filter": True,
            }
            for number, domain in enumerate(sites, 1)
        ),
        api_keys=(),
        salts={day: f"{number:032x}" for number, day in enumerate(days, 1)},
    )
    return render(source, Settings(), now_ms)


class InProcessCollector:
    """A collector and one connection to it, from a trusted loopback proxy."""

    def __init__(self, folder: Path, sites: Sequence[str], **batch: int | str) -> None:
        settings = {"http": {"trusted_proxies": ["127.0.0.0/8"]}, "batch": batch}
        self.spool_folder = folder
        self.collector = Collector(
            rules_path=str(RULES_PATH), spool_folder=str(folder), settings=orjson.dumps(settings)
        )
        self.collector.apply_snapshot(snapshot_for(sites))
        self.answers: list[bytes] = []
        self.connection = self.collector.connection("127.0.0.1", 50_000, self.answers.append, lambda mask: None)
        self._completions = select.poll()
        self._completions.register(self.collector.completion_fd, select.POLLIN)

    def feed(self, requests: bytes) -> int:
        """Feed pipelined requests, at most the pipeline depth; returns CPU nanoseconds of this thread, commit
        excluded.
        """
        before_ns = time.thread_time_ns()
        mask = self.connection.feed(requests)
        elapsed_ns = time.thread_time_ns() - before_ns
        assert mask & COMMIT
        return elapsed_ns

    def settle(self) -> bytes:
        """Hand the group to the writer thread, wait until it is on disk; returns the answers."""
        self.collector.commit()
        assert self._completions.poll(COMMIT_DEADLINE_S * 1000), "the writer thread settled nothing"
        self.collector.complete()
        answers = b"".join(self.answers)
        self.answers.clear()
        return answers

    def segments(self) -> list[Path]:
        """Seal everything and return the segments."""
        self.collector.seal_all()
        source = self.collector.sealed_segments()
        found = []
        while (path := source.next_sealed(200)) is not None:
            found.append(Path(path))
        return found


@contextmanager
def in_process_collector(folder: Path, sites: Sequence[str], **batch: int | str) -> Iterator[InProcessCollector]:
    """An in-process collector that is closed at the end."""
    running = InProcessCollector(folder, sites, **batch)
    try:
        yield running
    finally:
        running.connection.close()
        running.collector.close()
