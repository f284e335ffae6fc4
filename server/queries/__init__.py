"""Every question that is asked of ClickHouse: one SQL file each, run by its name.

Parameters are the driver's `%(name)s`, quoted by it. Times are UTC.
"""

from __future__ import annotations

from typing import Any

from server.clickhouse_tcp import BlockConnection, Row
from server.queries.statements import sql_text


def run_query(connection: BlockConnection, name: str, **parameters: Any) -> list[Row]:
    """The rows of the query called `name`."""
    return connection.select(sql_text(name), parameters)
