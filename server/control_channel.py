"""The line between the parent process and a child: JSON objects, one per line, over a socket pair.

child → parent: `{"type": "ready"}` once it does its work, `{"type": "report", …}` every second.
parent → child: `{"type": "store_ready"}` once ClickHouse has its tables, so that the flusher may start.

The end of the line tells a child that its parent is gone; it then stops as on SIGTERM, and nothing is orphaned.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import orjson

# A report holds a few hundred samples of about 100 bytes.
MAX_LINE_BYTES = 1024 * 1024


class ControlChannel:
    """One end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> ControlChannel:
        """Take over one end of a socket pair."""
        end.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=MAX_LINE_BYTES)
        return cls(reader, writer)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message; into the void when the other side is gone."""
        if not self._writer.is_closing():
            self._writer.write(orjson.dumps(message, default=str) + b"\n")

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """The other side's messages until it is gone."""
        while True:
            try:
                line = await self._reader.readline()
            except ConnectionError:
                return
            if not line.endswith(b"\n"):
                return
            yield orjson.loads(line)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()
