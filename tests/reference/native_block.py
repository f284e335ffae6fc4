"""A block of `events` in plain Python, value by value: the twin of core_ext/native.pyx.

It shares nothing with it but the byte table of the record (tests/reference/records.py) and ClickHouse's description
of the Native format. Column names and types are written out again here on purpose.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.reference.records import METRIC_NAMES, STRING_NAMES, Hit, Short

Row = dict[str, Any]

_CHANNELS = [
    "direct",
    "organic_search",
    "paid_search",
    "organic_social",
    "paid_social",
    "email",
    "referral",
    "affiliates",
    "display",
    "organic_video",
    "paid_video",
    "organic_shopping",
    "paid_shopping",
    "sms",
    "push",
    "ai_assistant",
    "paid_other",
    "cross_network",
    "audio",
]
_DEVICES = ["unknown", "desktop", "mobile", "tablet", "tv", "console", "wearable", "bot"]
_KINDS = ["pageview", "custom", "engagement", "vitals", "timings"]


def _enum8(names: Sequence[str], first: int) -> str:
    return "Enum8(" + ", ".join(f"'{name}' = {code}" for code, name in enumerate(names, first)) + ")"


_LC = "LowCardinality(String)"

COLUMNS: tuple[tuple[str, str], ...] = (
    ("site_id", "UInt32"),
    ("hour", "DateTime('UTC')"),
    ("time", "DateTime64(3, 'UTC')"),
    ("kind", _enum8(_KINDS, 1)),
    ("visitor_id", "UInt64"),
    ("load_id", "UInt64"),
    ("event_name", _LC),
    ("hostname", _LC),
    ("path", "String"),
    ("referrer_source", _LC),
    ("referrer", "String"),
    ("channel", _enum8(_CHANNELS, 0)),
    ("utm_source", _LC),
    ("utm_medium", _LC),
    ("utm_campaign", _LC),
    ("utm_term", _LC),
    ("utm_content", _LC),
    ("click_id", _LC),
    ("country", _LC),
    ("language", _LC),
    ("timezone", _LC),
    ("browser", _LC),
    ("browser_version", _LC),
    ("os", _LC),
    ("os_version", _LC),
    ("device", _enum8(_DEVICES, 0)),
    ("screen_width_px", "UInt16"),
    ("screen_height_px", "UInt16"),
    ("engaged_ms", "UInt32"),
    ("scroll_depth_percent", "UInt8"),
    ("interactive", "UInt8"),
    ("sequence", "UInt16"),
    ("revenue_micros", "Int64"),
    ("revenue_currency", _LC),
    ("props", f"Map({_LC}, String)"),
    ("metrics", f"Map({_LC}, Float32)"),
    ("bot_reasons", "UInt16"),
    ("sample_weight", "UInt16"),
    ("retention_class", "UInt8"),
    ("batch_time", "DateTime('UTC')"),
    ("batch_id", _LC),
)


def row_of(hit: Hit, *, batch_id: str, batch_time_s: int) -> Row:
    """The stored values of one hit. Maps are lists of pairs, strings are bytes, times are numbers."""
    row: Row = {
        name: getattr(hit, name)
        for name, _ in COLUMNS
        if name not in STRING_NAMES and name not in ("hour", "time", "batch_time", "batch_id", "metrics", "props")
    }
    row.update(zip(STRING_NAMES, hit.strings, strict=True))
    row["time"] = hit.time_ms
    row["hour"] = hit.time_ms // 3_600_000 * 3600
    row["props"] = list(hit.props)
    row["metrics"] = [(METRIC_NAMES[code].encode(), value) for code, value in hit.metrics]
    row["batch_time"] = batch_time_s
    row["batch_id"] = batch_id.encode()
    return row


def sorted_rows(records: Iterable[Hit | Short], *, batch_id: str, batch_time_s: int) -> list[Row]:
    """The rows of the block: hits by the table's key, in segment order among equals."""
    rows = [row_of(hit, batch_id=batch_id, batch_time_s=batch_time_s) for hit in records if isinstance(hit, Hit)]
    return sorted(rows, key=lambda row: (row["site_id"], row["hour"], row["visitor_id"], row["time"]))


def varint(value: int) -> bytes:
    """ClickHouse's varuint."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _string(value: bytes) -> bytes:
    return varint(len(value)) + value


def _numbers(code: str) -> Callable[[list[Any]], bytes]:
    return lambda values: struct.pack(f"<{len(values)}{code}", *values)


def _strings(values: list[bytes]) -> bytes:
    return b"".join(map(_string, values))


def _keys(values: list[bytes]) -> bytes:
    if not values:
        return b""
    keys = list(dict.fromkeys(values))
    width = 0 if len(keys) <= 1 << 8 else 1 if len(keys) <= 1 << 16 else 2
    number = {key: position for position, key in enumerate(keys)}
    return (
        struct.pack("<QQ", 0x600 | width, len(keys))
        + _strings(keys)
        + struct.pack("<Q", len(values))
        + _numbers("BHI"[width])([number[value] for value in values])
    )


def _low_cardinality(values: list[bytes]) -> bytes:
    return struct.pack("<Q", 1) + _keys(values)


def _map(values: list[list[tuple[bytes, Any]]], write: Callable[[list[Any]], bytes]) -> bytes:
    ends = []
    flat: list[tuple[bytes, Any]] = []
    for pairs in values:
        flat += pairs
        ends.append(len(flat))
    return (
        struct.pack("<Q", 1)
        + _numbers("Q")(ends)
        + _keys([key for key, _ in flat])
        + write([value for _, value in flat])
    )


_WRITERS: dict[str, Callable[[list[Any]], bytes]] = {
    "UInt8": _numbers("B"),
    "UInt16": _numbers("H"),
    "UInt32": _numbers("I"),
    "UInt64": _numbers("Q"),
    "Int64": _numbers("q"),
    "DateTime": _numbers("I"),
    "DateTime64": _numbers("q"),
    "Enum8": _numbers("b"),
    "String": _strings,
    "LowCardinality": _low_cardinality,
}


def write_column(type_name: str, values: list[Any]) -> bytes:
    """One column's data, as after its name and type."""
    if type_name.startswith("Map("):
        return _map(values, _strings if type_name.endswith("String)") else _numbers("f"))
    return _WRITERS[type_name.partition("(")[0]](values)


def encode(rows: list[Row], *, form: str, columns: Sequence[tuple[str, str]] = COLUMNS) -> bytes:
    """The whole block."""
    out = bytearray()
    if form == "tcp":
        out += bytes.fromhex("010002ffffffff00")
    out += varint(len(columns)) + varint(len(rows))
    for name, type_name in columns:
        out += _string(name.encode()) + _string(type_name.encode())
        out += write_column(type_name, [row[name] for row in rows])
    return bytes(out)


def ledger(records: Iterable[Hit | Short]) -> list[tuple[int, int, int, int, int]]:
    """(site, hour in seconds, outcome code, bot reasons, count), sorted."""
    counts = Counter(
        (
            record.site_id,
            record.time_ms // 3_600_000 * 3600,
            record.outcome if isinstance(record, Short) else 0,
            record.bot_reasons,
        )
        for record in records
    )
    return [(*key, count) for key, count in sorted(counts.items())]
