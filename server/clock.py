"""The time as the app database and the segments keep it."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def time_text(at_ms: int) -> str:
    """A time as people read it, to the minute: 2026-11-25 11:40 UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_ms / 1000))


def utc_date(at_ms: int) -> date:
    """The date in UTC at a time."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()


def now_ms() -> int:
    """Milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
