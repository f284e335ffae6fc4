"""A batch: one segment, scanned and encoded, ready to be stored.

The block is a pure function of the segment's bytes: preparing the same segment twice gives the same rows, so a
repetition under the same deduplication token is the same INSERT. The segment is mapped, not read: its pages stay the
kernel's.
"""

from __future__ import annotations

import mmap
import os
import struct
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core_ext.native import (
    EVENTS_COLUMNS,
    LEDGER_COLUMNS,
    OUTCOME_LABELS,
    SegmentError,
    encode_ledger,
    encode_segment,
)
from rust_ext import SegmentScan, scan_segment
from server.clickhouse_tcp import Target
from server.migrate import SchemaForm

OPEN_SUFFIX = ".open"
"""A segment that was being written when its process ended; its torn tail was never acknowledged."""
SEALED_SUFFIX = ".seg"
ACCEPTED = 0
"""The outcome code of a hit that is a row."""
BLOCKED = next(code for code, label in OUTCOME_LABELS.items() if label == "blocked")
"""The outcome code of a hit whose site must have none; also what a purge of the quarantine makes of them."""

_PEEK = struct.Struct("<12xI16xq")
"""Shard and creation time in the segment header: rust_ext/ingest/src/segment.rs."""
HIT_KIND = 1
"""The kind of a record that has everything of a hit."""
_RECORD_HEAD = struct.Struct("<BxxxIq")
"""Kind, site and time of a record: rust_ext/ingest/src/record.rs."""
LedgerEntry = tuple[int, int, int, int, int]
"""(site_id, hour in seconds, outcome code, bot_reasons, count)"""


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


class Encoded(Protocol):
    """What is sent of a block: `core_ext.native.Block`, or what an import makes of one."""

    @property
    def rows(self) -> int:
        """None: there is nothing to send."""

    @property
    def parts(self) -> Sequence[bytes | memoryview]:
        """The frames."""

    @property
    def parts_bytes(self) -> int:
        """Their size."""


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
    entries: tuple[LedgerEntry, ...]
    events: Encoded
    ledger: Encoded

    @property
    def events_token(self) -> str:
        """The deduplication token of the rows."""
        return self.id

    @property
    def ledger_token(self) -> str:
        """The deduplication token of the counts."""
        return f"{self.id}-ledger"

    @property
    def events_probe(self) -> Probe:
        """Where to look for the rows: where there are fewest of them. Only for a batch that has rows."""
        site_id, hour_s, *_ = min((entry for entry in self.entries if entry[2] == ACCEPTED), key=_count)
        return Probe(site_id, hour_s)

    @property
    def ledger_probe(self) -> Probe:
        """Where to look for the counts. Only for a batch that has records."""
        site_id, hour_s, *_ = self.entries[0]
        return Probe(site_id, hour_s)

    @property
    def block_bytes(self) -> int:
        """Compressed bytes on their way to the store."""
        return self.events.parts_bytes + self.ledger.parts_bytes


def targets(form: SchemaForm) -> tuple[Target, Target]:
    """Where blocks of rows and blocks of counts go."""
    return Target(form.events, EVENTS_COLUMNS), Target(form.ledger, LEDGER_COLUMNS)


def peek(path: Path) -> tuple[int, int]:
    """(shard, created at in ms) of a segment's header, unchecked; zeros when it is too short. For ordering work."""
    with path.open("rb") as file:
        head = file.read(_PEEK.size)
    if len(head) < _PEEK.size:
        return (0, 0)
    shard, created_at_ms = _PEEK.unpack(head)
    return (int(shard), int(created_at_ms))


def prepare(path: Path, destroyed_sites: Collection[int] = ()) -> Batch:
    """Scan and encode the segment at `path`. Raises `UnreadableSegment`, or OSError when the file cannot be read.

    Hits of `destroyed_sites` become no rows: they are counted as those of a blocked site.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise UnreadableSegment("the file is empty", 0)
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
            scan = scan_segment(data)
            if scan.header is None:
                raise UnreadableSegment(scan.header_error or "no segment header", scan.lost_records)
            if scan.header_error is None:
                return _encode(path, data, size, scan, destroyed_sites)
            # One byte of the header is damaged and the scan knows which: encode from a mended copy.
            return _encode(path, scan.header + data[len(scan.header) :], size, scan, destroyed_sites)


def record_places(scan: SegmentScan) -> Iterator[tuple[int, int]]:
    """Offset and length of each record's payload, in order."""
    return zip(array("I", scan.offsets), array("I", scan.lengths), strict=True)


def record_head(data: mmap.mmap | bytes, offset: int) -> tuple[int, int, int]:
    """(kind, site_id, time in ms) of the record whose payload is there."""
    kind, site_id, time_ms = _RECORD_HEAD.unpack_from(data, offset)
    return kind, site_id, time_ms


def _encode(
    path: Path, data: mmap.mmap | bytes, size: int, scan: SegmentScan, destroyed_sites: Collection[int]
) -> Batch:
    assert scan.segment_id is not None, "only segments with a header come here"
    offsets, lengths, skipped = scan.offsets, scan.lengths, Counter[tuple[int, int]]()
    if destroyed_sites:
        offsets, lengths, skipped = _without_hits(data, scan, destroyed_sites)
    try:
        events = encode_segment(data, offsets, lengths, batch_id=scan.segment_id)
    except SegmentError as error:
        raise UnreadableSegment(str(error), scan.records + scan.lost_records) from error
    entries = tuple(events.ledger)
    if skipped:
        counts = Counter({entry[:4]: entry[4] for entry in entries})
        counts.update({(site_id, hour_s, BLOCKED, 0): count for (site_id, hour_s), count in skipped.items()})
        entries = tuple(sorted((*of, count) for of, count in counts.items()))
    damage = [(int(start), int(end)) for start, end in scan.damaged_ranges]
    for position, _fault in events.bad_records:
        start = _u32(offsets, position)
        damage.append((start, start + _u32(lengths, position)))
    if scan.torn_tail_bytes and path.suffix != OPEN_SUFFIX:
        damage.append((size - scan.torn_tail_bytes, size))
    bad_records = len(events.bad_records)
    return Batch(
        id=scan.segment_id,
        shard=scan.shard,
        created_at_ms=scan.created_at_ms,
        segment_bytes=size,
        records=scan.records - bad_records,
        lost_records=scan.lost_records + bad_records,
        damage=tuple(sorted(damage)),
        entries=entries,
        events=events,
        ledger=encode_ledger(entries, batch_id=scan.segment_id, batch_time_s=scan.created_at_ms // 1000),
    )


def _without_hits(
    data: mmap.mmap | bytes, scan: SegmentScan, site_ids: Collection[int]
) -> tuple[bytes, bytes, Counter[tuple[int, int]]]:
    """Offsets and lengths of the records that are no hits of these sites, and how many are, by (site, hour in s)."""
    offsets, lengths, skipped = array("I"), array("I"), Counter[tuple[int, int]]()
    for offset, length in record_places(scan):
        kind, site_id, time_ms = record_head(data, offset)
        if kind == HIT_KIND and site_id in site_ids:
            skipped[site_id, time_ms // 3_600_000 * 3_600] += 1
        else:
            offsets.append(offset)
            lengths.append(length)
    return offsets.tobytes(), lengths.tobytes(), skipped


def _count(entry: LedgerEntry) -> int:
    return entry[4]


def _u32(numbers: bytes, position: int) -> int:
    return int.from_bytes(numbers[4 * position : 4 * position + 4], "little")
