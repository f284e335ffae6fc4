"""clickhouse-connect's native insert from ready columns to the bytes of its request's body.

That is `Client.insert(…, column_oriented=True)` from its insert context on, without the HTTP request and the server,
and without asking the server what the columns are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clickhouse_connect.datatypes.registry import get_from_name
from clickhouse_connect.driver.insert import InsertContext
from clickhouse_connect.driver.transform import NativeTransform

_STATEMENT_END = b" FORMAT Native\n"


class ConnectColumns:
    """One table's columns, written as often as asked. `compression`: what `Client.insert` takes, False or "lz4"."""

    def __init__(self, columns: Sequence[tuple[str, str]], data: list[list[Any]], *, compression: bool | str) -> None:
        self._names = [name for name, _ in columns]
        self._types = [get_from_name(type_name) for _, type_name in columns]
        self._data = data
        self._compression = compression

    def body(self) -> bytes:
        """The statement and one block, as the body of the request."""
        context = InsertContext(
            "events",
            self._names,
            self._types,
            self._data,
            column_oriented=True,
            compression=self._compression,
            block_size=len(self._data[0]),
        )
        return b"".join(NativeTransform.build_insert(context))

    def block(self) -> bytes:
        """The block alone, of a body that is not compressed."""
        return self.body().partition(_STATEMENT_END)[2]
