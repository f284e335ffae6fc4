"""A collector without a loop, transports that only remember, and the bytes of hits."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from rust_ext import COMMIT, Collector, Connection, scan_segment
from tests.reference.record_reader import read_record
from tests.reference.records import Hit, Short

PACK = Path(__file__).resolve().parents[2] / "rust_ext" / "rules.pack"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/145.0.0.0 Safari/537.36"
)
PUBLIC_ID = "6f2c8f0e-0a3b-4c55-9d3e-1a2b3c4d5e6f"
PATIENCE_S = 10.0


def snapshot_json(version: int = 1, **site: object) -> bytes:
    """A snapshot with the site example.com, for the days around now."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    dates = [today + timedelta(days=days) for days in range(-8, 4)]
    return orjson.dumps(
        {
            "version": version,
            "generated_at_ms": time.time_ns() // 1_000_000,
            "shards": 1,
            "timezones": [
                {"name": "UTC", "days": [[int(date.timestamp()), date.strftime("%Y-%m-%d")] for date in dates]}
            ],
            "salts": {date.strftime("%Y-%m-%d"): "00112233445566778899aabbccddeeff" for date in dates},
            "sites": [
                {
                    "site_id": 1,
                    "public_id": PUBLIC_ID,
                    "domain": "example.com",
                    "account_id": 1,
                    "timezone": 0,
                    "state": "active",
                    "retention_class": 1,
                    "allowed_hostnames": [],
                    "drop_bot_mask": 65535,
                    "rate_per_second": None,
                    "sample_every": 1,
                    "spam_filter": True,
                    **site,
                }
            ],
            "limits": {"rate_per_address_per_second": None},
            "api_keys": [],
        }
    )


def hit(path: str = "/", *, agent: str = CHROME, domain: str = "example.com", headers: str = "") -> bytes:
    """A page view as a Plausible client sends it."""
    body = orjson.dumps({"n": "pageview", "u": f"https://{domain}{path}", "d": domain})
    head = f"POST /api/event HTTP/1.1\r\nHost: t\r\nUser-Agent: {agent}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Transport:
    """Remembers what was written, and what there was to wake for."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.wakes: list[int] = []
        self.error: Exception | None = None

    def write(self, data: bytes) -> None:
        """As a transport's."""
        if self.error is not None:
            raise self.error
        self.writes.append(data)

    @property
    def statuses(self) -> list[int]:
        """The status of every answer written."""
        return [int(part.split()[0]) for part in b"".join(self.writes).split(b"HTTP/1.1 ")[1:]]


def connect(collector: Collector) -> tuple[Connection, Transport]:
    """A connection with its transport."""
    transport = Transport()
    return collector.connection("203.0.113.9", 4711, transport.write, transport.wakes.append), transport


def complete_until(collector: Collector, is_done: Callable[[], bool]) -> None:
    """Wait for the writer thread as the loop does."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_done():
        assert time.monotonic() < deadline_s, "the group was not settled"
        if select.select([collector.completion_fd], [], [], 0.05)[0]:
            collector.complete()


def send(collector: Collector, connection: Connection, transport: Transport, data: bytes) -> list[int]:
    """Feed hits, commit, wait for all answers: their statuses."""
    wanted = len(transport.statuses) + data.count(b"HTTP/1.1\r\n")
    if connection.feed(data) & COMMIT:
        collector.commit()
    complete_until(collector, lambda: len(transport.statuses) >= wanted)
    return transport.statuses[wanted - data.count(b"HTTP/1.1\r\n") :]


def spooled(folder: Path) -> list[Hit | Short]:
    """Every record in the folder's segments, open ones too."""
    records: list[Hit | Short] = []
    for path in sorted([*folder.glob("*.open"), *folder.glob("*.seg")]):
        data = path.read_bytes()
        scan = scan_segment(data)
        assert (scan.lost_records, scan.damaged_ranges, scan.header_error) == (0, [], None)
        for offset, length in zip(memoryview(scan.offsets).cast("I"), memoryview(scan.lengths).cast("I"), strict=True):
            payload = data[offset : offset + length]
            records.append(read_record(payload, month=scan.month, retention_class=scan.retention_class))
    return records
