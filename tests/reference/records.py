"""Records and segments, written field by field from the byte tables of rust_ext/ingest/src/record.rs and segment.rs.

For tests that need a segment without the compiled spool. CRCs are left out (zero): the encoder gets offsets from a scan
that has checked them, here from `build_segment` itself.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

STRING_NAMES = (
    "hostname",
    "path",
    "referrer_source",
    "referrer",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "click_id",
    "country",
    "language",
    "timezone",
    "browser",
    "browser_version",
    "os",
    "os_version",
    "event_name",
    "revenue_currency",
)

METRIC_NAMES = {
    1: "lcp_ms",
    2: "inp_ms",
    3: "cls",
    4: "fcp_ms",
    5: "ttfb_ms",
    10: "dns_ms",
    11: "connect_ms",
    12: "tls_ms",
    13: "download_ms",
    14: "dom_interactive_ms",
    15: "dom_content_loaded_ms",
    16: "load_ms",
    17: "transfer_bytes",
}

_HIT_FIXED = struct.Struct("<BBHIqQQIHHHBBBBBBBBHIq")
_SHORT = struct.Struct("<BBHIq")
_HEADER = struct.Struct("<8sHHI16sqIB15sI")
_FRAME = struct.Struct("<4sIII")

# 2026-11-22 12:00:00 UTC.
NOON_MS = 1_795_348_800_000


@dataclass(frozen=True)
class Hit:
    """One hit record. Strings are raw bytes so that tests can make broken ones."""

    kind: int = 1
    bot_reasons: int = 0
    site_id: int = 1
    time_ms: int = NOON_MS
    visitor_id: int = 1
    load_id: int = 0
    engaged_ms: int = 0
    screen_width_px: int = 0
    screen_height_px: int = 0
    sample_weight: int = 1
    device: int = 1
    channel: int = 0
    scroll_depth_percent: int = 255
    interactive: int = 0
    retention_class: int = 1
    sequence: int = 0
    revenue_micros: int = 0
    strings: tuple[bytes, ...] = (b"",) * len(STRING_NAMES)
    props: tuple[tuple[bytes, bytes], ...] = ()
    metrics: tuple[tuple[int, float], ...] = ()

    def with_strings(self, **values: str) -> Hit:
        """The same hit with some of its strings replaced, by name."""
        strings = list(self.strings)
        for name, value in values.items():
            strings[STRING_NAMES.index(name)] = value.encode()
        return replace(self, strings=tuple(strings))

    def payload(self) -> bytes:
        """The record's bytes."""
        fixed = _HIT_FIXED.pack(
            1,
            self.kind,
            self.bot_reasons,
            self.site_id,
            self.time_ms,
            self.visitor_id,
            self.load_id,
            self.engaged_ms,
            self.screen_width_px,
            self.screen_height_px,
            self.sample_weight,
            self.device,
            self.channel,
            self.scroll_depth_percent,
            self.interactive,
            self.retention_class,
            len(self.props),
            len(self.metrics),
            0,
            self.sequence,
            0,
            self.revenue_micros,
        )
        lengths = struct.pack("<19HH", *map(len, self.strings), 0)
        props = b"".join(struct.pack("<HH", len(key), len(value)) + key + value for key, value in self.props)
        metrics = b"".join(struct.pack("<Bf", code, value) for code, value in self.metrics)
        return fixed + lengths + b"".join(self.strings) + props + metrics


@dataclass(frozen=True)
class Short:
    """One short record."""

    outcome: int = 1
    bot_reasons: int = 0
    site_id: int = 1
    time_ms: int = NOON_MS

    def payload(self) -> bytes:
        """The record's bytes."""
        return _SHORT.pack(2, self.outcome, self.bot_reasons, self.site_id, self.time_ms)


@dataclass(frozen=True)
class Segment:
    """A segment's bytes and where its payloads are."""

    data: bytes
    offsets: bytes
    lengths: bytes
    payloads: tuple[bytes, ...] = field(repr=False)
    month: int
    retention_class: int
    created_at_ms: int
    segment_id: bytes


def build_segment(
    records: Sequence[Hit | Short | bytes],
    *,
    month: int | None = None,
    retention_class: int = 1,
    created_at_ms: int = NOON_MS,
    segment_id: bytes = bytes(range(16)),
) -> Segment:
    """A segment of these records, in this order; raw bytes stand for themselves."""
    if month is None:
        month = yyyymm(NOON_MS)
    payloads = tuple(record if isinstance(record, bytes) else record.payload() for record in records)
    data = bytearray(
        _HEADER.pack(b"FFSEGMT\x01", 1, 64, 0, segment_id, created_at_ms, month, retention_class, bytes(15), 0)
    )
    offsets = array("I")
    lengths = array("I")
    for ordinal, payload in enumerate(payloads):
        data += _FRAME.pack(b"\xf1\x7f\xa1\x1d", len(payload), ordinal, 0)
        offsets.append(len(data))
        lengths.append(len(payload))
        data += payload
    return Segment(
        data=bytes(data),
        offsets=offsets.tobytes(),
        lengths=lengths.tobytes(),
        payloads=payloads,
        month=month,
        retention_class=retention_class,
        created_at_ms=created_at_ms,
        segment_id=segment_id,
    )


def yyyymm(time_ms: int) -> int:
    """The month of a time, in UTC, as a segment's header has it."""
    moment = datetime.fromtimestamp(time_ms / 1000, tz=UTC)
    return moment.year * 100 + moment.month
