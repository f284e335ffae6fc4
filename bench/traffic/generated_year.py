"""A year of events of a thousand sites, made by the server: 65 % page views, 30 million visitors in 100 million events.

Site 1 has six visits in ten and 200,000 pages; sites 1 to 999 share the others by Zipf, with 3,000 pages each. Site
`TODAY_SITE` has hits on the last two days only, yesterday and today.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from string import Template

from server.clickhouse_tcp import BlockConnection

SITES = 999
TODAY_SITE = 1_000
DAYS = 365
EVENTS_PER_VISIT = 3.06
"""As measured."""

FIRST_DAY = date(2025, 12, 1)
TODAY = FIRST_DAY + timedelta(days=DAYS)

ZIPF_SITE = f"if(place % 10 < 6, 1, 1 + toUInt32(floor(exp((intDiv(place, 256) % 1000003) / 1000003 * log({SITES})))))"
SETTINGS = {"max_threads": 2, "max_insert_threads": 1, "max_block_size": 16_384, "async_insert": 0}


def start_ms(day: date) -> int:
    """When a day begins, UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def fill_year(connection: BlockConnection, events: int, days_before_today: int = DAYS) -> Iterator[date]:
    """Insert about so many events over the days before today; yields each day that is done."""
    days = [TODAY - timedelta(days=number) for number in range(days_before_today, 0, -1)]
    # Less at weekends, more in the middle of the year.
    weights = [(1.0 if day.weekday() < 5 else 0.7) * (1 + 0.25 * math.sin(n / 58)) for n, day in enumerate(days)]
    visits = events / EVENTS_PER_VISIT
    first = 1_000
    for day, weight in zip(days, weights, strict=True):
        count = int(visits * weight / sum(weights))
        _fill(connection, ZIPF_SITE, start_ms(day), start_ms(day + timedelta(days=1)), first, count)
        first += count
        yield day


def fill_today(connection: BlockConnection, events: int) -> None:
    """Insert about so many events of `TODAY_SITE` of today, and as many of yesterday."""
    visits = int(events / EVENTS_PER_VISIT)
    site = f"toUInt32({TODAY_SITE})"
    for number, day in enumerate((TODAY - timedelta(days=1), TODAY)):
        first = 1_000_000_000 + number * visits
        _fill(connection, site, start_ms(day), start_ms(day + timedelta(days=1)), first, visits)


def _fill(connection: BlockConnection, site: str, from_ms: int, until_ms: int, first: int, visits: int) -> None:
    text = Template(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
    connection.command(
        text.substitute(site=site, from_ms=from_ms, until_ms=until_ms, first=first, visits=visits), **SETTINGS
    )
