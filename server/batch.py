"""A batch: one segment, scanned and encoded, ready to be stored.

The block is a pure function of the segment's bytes: preparing the same segment twice gives the same rows, so a repetition
under the same deduplication token is the same INSERT. The segment is mapped, not read: its pages stay the kernel's.
"""

from __future__ import annotations

import mmap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from core_ext.native import EVENTS_COLUMNS, LEDGER_COLUMNS, encode_ledger, encode_segment
from rust_ext import SegmentScan, scan_segment

from server.clickhouse_tcp import Buffer, Target
from server.migrate import SchemaForm

OPEN_SUFFIX = ".open"
"""A segment that was being written when its process ended; its torn tail was never acknowledged."""
SEALED_SUFFIX = ".seg"
ACCEPTED = 0
"""The outcome code of a hit that is a row."""


class UnreadableSegment(Exception):
    """The file's header cannot be read, so nothing in it can. Permanent; `records` estimates what is lost."""

    def __init__(self, message: str, records: int) -> None:
        super().__init__(message)
        self.records = records


@dataclass(frozen=True, slots=True)
class Probe:
    """One (site, hour) that the batch has lines for: asking for the batch there is a primary-key lookup."""

    site_id: int
    hour_s: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What the sink needs of a segment. `records` are the readable ones, `lost_records` the others."""

    id: str
    shard: int
    created_at_ms: int
    segment_bytes: int
    records: int
    lost_records: int
    damage: tuple[tuple[int, int], ...]
    outcomes: Counter[tuple[int, int]]
    event_rows: int
    events_frames: list[Buffer]
    events_probe: Probe
    ledger_rows: int
    ledger_frames: list[Buffer]
    ledger_probe: Probe

    @property
    def events_token(self) -> str:
        """The deduplication token of the rows."""
        return self.id

    @property
    def ledger_token(self) -> str:
        """The deduplication token of the counts."""
        return f"{self.id}-ledger"

    @property
    def block_bytes(self) -> int:
        """Compressed bytes on their way to the store."""
        return sum(len(part) for part in (*self.events_frames, *self.ledger_frames))
