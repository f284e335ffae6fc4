"""Segments for the store's tests: real files, made field by field, with what the store should hold afterwards."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.reference.crc32c import with_checksums
from tests.reference.records import Hit, Short, build_segment, yyyymm


@dataclass(frozen=True)
class SegmentFile:
    """One segment on disk and the truth about it."""

    path: Path
    id: str
    accepted: Counter[int]
    dropped: Counter[int]


def write_segment(
    folder: Path,
    rows: int = 10,
    shorts: int = 2,
    *,
    site_ids: tuple[int, ...] = (1, 2),
    suffix: str = ".seg",
    created_at_ms: int | None = None,
    shard: int = 0,
) -> SegmentFile:
    """A segment of `rows` page views and `shorts` dropped bots, spread over the sites."""
    now_ms = int(time.time() * 1000) if created_at_ms is None else created_at_ms
    segment_id = os.urandom(16)
    hits = [
        Hit(site_id=site_ids[i % len(site_ids)], time_ms=now_ms - i % 50, visitor_id=i // 3).with_strings(
            hostname="example.com", path=f"/page/{i % 17}", browser="Firefox"
        )
        for i in range(rows)
    ]
    drops = [
        Short(outcome=1, bot_reasons=1, site_id=site_ids[i % len(site_ids)], time_ms=now_ms) for i in range(shorts)
    ]
    made = build_segment([*hits, *drops], month=yyyymm(now_ms), created_at_ms=now_ms, segment_id=segment_id)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{segment_id.hex()}{suffix}"
    path.write_bytes(with_checksums(made.data, made.offsets, made.lengths, shard=shard))
    return SegmentFile(
        path, segment_id.hex(), Counter(hit.site_id for hit in hits), Counter(short.site_id for short in drops)
    )
