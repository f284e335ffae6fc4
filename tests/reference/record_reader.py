"""Record payload → record, or why not: the twin of core_ext/rowlog.pxd, one slice at a time.

It asks in the same order, so that a record with two faults gets the same verdict.
"""

from __future__ import annotations

import calendar
import math
import struct

from tests.reference.records import METRIC_NAMES, STRING_NAMES, Hit, Short

_OUTCOMES_OF_SHORT = {*range(1, 15), *range(100, 107)}
_HIT_FIXED_BYTES = 104
_SHORT_BYTES = 16


class BadRecord(Exception):  # a verdict, not a failure
    """Carries the name of the `RecordFault`."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        span = self._data[self._at : self._at + size]
        if len(span) < size:
            raise BadRecord("TRUNCATED")
        self._at += size
        return span

    def end(self) -> None:
        if self._at != len(self._data):
            raise BadRecord("TOO_LONG")


def _check_text(text: bytes) -> None:
    try:
        text.decode()
    except UnicodeDecodeError:
        raise BadRecord("UTF8") from None


def read_record(payload: bytes, *, month: int, retention_class: int) -> Hit | Short:
    """The record; raises BadRecord."""
    if not payload:
        raise BadRecord("TRUNCATED")
    if payload[0] == 1:
        return _read_hit(payload, month, retention_class)
    if payload[0] == 2:
        return _read_short(payload, month)
    raise BadRecord("RECORD_KIND")


def _read_short(payload: bytes, month: int) -> Short:
    reader = _Reader(payload)
    _, outcome, bot_reasons, site_id, time_ms = struct.unpack("<BBHIq", reader.take(_SHORT_BYTES))
    reader.end()
    if outcome not in _OUTCOMES_OF_SHORT:
        raise BadRecord("CODE")
    if not _in_month(time_ms, month):
        raise BadRecord("PARTITION")
    return Short(outcome=outcome, bot_reasons=bot_reasons, site_id=site_id, time_ms=time_ms)


def _read_hit(payload: bytes, month: int, retention_class: int) -> Hit:
    reader = _Reader(payload)
    fixed = reader.take(_HIT_FIXED_BYTES)
    kind, bot_reasons, site_id, time_ms, visitor_id, load_id, engaged_ms = struct.unpack_from("<BHIqQQI", fixed, 1)
    width, height, weight, device, channel, scroll, interactive, retention, props_count, metrics_count = (
        struct.unpack_from("<HHHBBBBBBB", fixed, 36)
    )
    sequence, revenue_micros = struct.unpack_from("<H4xq", fixed, 50)
    if not (1 <= kind <= 5 and device <= 7 and channel <= 18 and interactive <= 1 and (scroll <= 100 or scroll == 255)):
        raise BadRecord("CODE")
    sizes = struct.unpack_from(f"<{len(STRING_NAMES)}H", fixed, 64)
    texts = _Reader(reader.take(sum(sizes)))
    strings = tuple(texts.take(size) for size in sizes)
    for text in strings:
        _check_text(text)
    props = []
    for _ in range(props_count):
        key_size, value_size = struct.unpack("<HH", reader.take(4))
        both = reader.take(key_size + value_size)
        key, value = both[:key_size], both[key_size:]
        _check_text(key)
        _check_text(value)
        props.append((key, value))
    metrics = []
    for _ in range(metrics_count):
        code, number = struct.unpack("<Bf", reader.take(5))
        if code not in METRIC_NAMES:
            raise BadRecord("CODE")
        if not math.isfinite(number):
            raise BadRecord("NUMBER")
        metrics.append((code, number))
    reader.end()
    if not (_in_month(time_ms, month) and retention == retention_class):
        raise BadRecord("PARTITION")
    return Hit(
        kind=kind,
        bot_reasons=bot_reasons,
        site_id=site_id,
        time_ms=time_ms,
        visitor_id=visitor_id,
        load_id=load_id,
        engaged_ms=engaged_ms,
        screen_width_px=width,
        screen_height_px=height,
        sample_weight=weight,
        device=device,
        channel=channel,
        scroll_depth_percent=scroll,
        interactive=interactive,
        retention_class=retention,
        sequence=sequence,
        revenue_micros=revenue_micros,
        strings=strings,
        props=tuple(props),
        metrics=tuple(metrics),
    )


def _in_month(time_ms: int, month: int) -> bool:
    start_ms, end_ms = month_bounds_ms(month)
    return start_ms <= time_ms < end_ms


def month_bounds_ms(month: int) -> tuple[int, int]:
    """The first millisecond of a yyyymm month in UTC, and of the next."""
    year, number = divmod(month, 100)
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    return calendar.timegm((year, number, 1, 0, 0, 0)) * 1000, calendar.timegm((*following, 1, 0, 0, 0)) * 1000
