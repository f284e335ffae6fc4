"""The raw events of a site as a Parquet file, made while they are read: memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from server.queries.event_reader import EventReader, Ticket
from server.queries.periods import HOUR_MS, TimeRange
from server.queries.statements import sql_text
from server.stats_api.parquet import Column, ColumnType, ParquetWriter

# Rows of a block, and of one step: as tuples of 36 values they are some 15 MB.
STEP_ROWS = 8_192

_TEXT, _JSON, _UINT8, _UINT16 = ColumnType.TEXT, ColumnType.JSON, ColumnType.UINT8, ColumnType.UINT16

# In the order of raw_events.sql.
COLUMNS = (
    Column("time", ColumnType.TIME_MS),
    Column("kind", _TEXT),
    Column("visitor_id", ColumnType.UINT64),
    Column("load_id", ColumnType.UINT64),
    Column("event_name", _TEXT),
    Column("hostname", _TEXT),
    Column("path", _TEXT),
    Column("referrer_source", _TEXT),
    Column("referrer", _TEXT),
    Column("channel", _TEXT),
    Column("utm_source", _TEXT),
    Column("utm_medium", _TEXT),
    Column("utm_campaign", _TEXT),
    Column("utm_term", _TEXT),
    Column("utm_content", _TEXT),
    Column("click_id", _TEXT),
    Column("country", _TEXT),
    Column("language", _TEXT),
    Column("timezone", _TEXT),
    Column("browser", _TEXT),
    Column("browser_version", _TEXT),
    Column("os", _TEXT),
    Column("os_version", _TEXT),
    Column("device", _TEXT),
    Column("screen_width_px", _UINT16),
    Column("screen_height_px", _UINT16),
    Column("engaged_ms", ColumnType.INT64),
    Column("scroll_depth_percent", _UINT8),
    Column("interactive", _UINT8),
    Column("sequence", _UINT16),
    Column("revenue_micros", ColumnType.INT64),
    Column("revenue_currency", _TEXT),
    Column("props", _JSON),
    Column("metrics", _JSON),
    Column("sample_weight", _UINT16),
    Column("import_id", ColumnType.INT64),
)


def parquet_of_events(reader: EventReader, site_id: int, range_: TimeRange, ticket: Ticket) -> Iterator[bytes]:
    """The file, piece by piece; empty pieces are signs of life. Raises what `EventReader.stream` raises."""
    parameters = {
        "site_id": site_id,
        "from_ms": range_.from_ms,
        "until_ms": range_.until_ms,
        "from_hour_s": range_.from_ms // HOUR_MS * 3600,
        "until_hour_s": -(-range_.until_ms // HOUR_MS) * 3600,
    }
    writer = ParquetWriter(COLUMNS)
    rows = reader.stream(sql_text("raw_events"), parameters, ticket, max_block_size=STEP_ROWS)
    step = list(islice(rows, STEP_ROWS))
    yield writer.begin()
    while step:
        yield writer.add(step)
        step = list(islice(rows, STEP_ROWS))
    yield writer.end()
