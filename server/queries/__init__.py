"""Every question that is asked of ClickHouse: one SQL file each, run by its name.

Parameters are the driver's `%(name)s`, quoted by it. Times are UTC.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from server.clickhouse_tcp import BlockConnection, Row


@cache
def query_text(name: str) -> str:
    """The SQL of the query called `name`."""
    return (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")


def run_query(connection: BlockConnection, name: str, **parameters: Any) -> list[Row]:
    """The rows of the query called `name`."""
    return connection.select(query_text(name), parameters)
