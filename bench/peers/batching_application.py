"""What a team writes that keeps hits in ClickHouse by itself: the hit endpoint as a raw ASGI and as an RSGI application
that collects rows in memory and inserts them every second with clickhouse-connect.

The fastest form that we know in Python: nothing is derived of the hit, its body goes on as it came, with address and
agent of its headers, and ClickHouse parses it (JSONEachRow). The rows of a failed INSERT are sent again with the next.
Where the store is, is said by two environment variables: CLICKHOUSE_HTTP_PORT and HITS_TABLE.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import clickhouse_connect
import orjson
from clickhouse_connect.driver.exceptions import ClickHouseError

from bench.peers.hit_application import ANSWER_HEADERS, RSGI_HEADERS, Receive, Send, read_body, status_of

# The age at which our segments are sealed.
FLUSH_EVERY_S = 1.0

# While ClickHouse is away; then hits are refused.
MOST_ROWS = 1_000_000

# What `bench.peers.clickhouse_inserts` measures as the settings of one core.
SETTINGS = {"max_threads": 1, "max_insert_threads": 1, "input_format_parallel_parsing": 0}


log = logging.getLogger(__name__)


class Batch:
    """The rows that wait for the next INSERT."""

    def __init__(self) -> None:
        self._rows: list[bytes] = []
        self._flushing: asyncio.Task[None] | None = None

    def take(self, body: bytes, address: str, agent: str) -> int:
        """The status of the answer: 202 with the hit kept in memory, 400 for what is none, 503 when full."""
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())
        if len(self._rows) >= MOST_ROWS:
            return 503
        status = status_of(body)
        if status == 202:
            self._rows.append(body[:-1] + b"," + orjson.dumps({"address": address, "agent": agent})[1:])
        return status

    async def _flush(self) -> None:
        port, table = int(os.environ["CLICKHOUSE_HTTP_PORT"]), os.environ["HITS_TABLE"]
        client = await asyncio.to_thread(clickhouse_connect.get_client, host="127.0.0.1", port=port)
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            rows, self._rows = self._rows, []
            if not rows:
                continue
            block = b"\n".join(rows)
            try:
                await asyncio.to_thread(
                    client.raw_insert, table, insert_block=block, fmt="JSONEachRow", settings=SETTINGS
                )
            except (ClickHouseError, OSError):
                log.exception("an INSERT failed; its rows wait for the next")
                self._rows = rows + self._rows


batch = Batch()


async def asgi(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """ASGI 3, HTTP only."""
    headers = dict(scope["headers"])
    body = await read_body(receive)
    address, agent = headers.get(b"x-forwarded-for", b"").decode("latin-1"), headers[b"user-agent"].decode("latin-1")
    status = batch.take(body, address, agent)
    await send({"type": "http.response.start", "status": status, "headers": ANSWER_HEADERS})
    await send({"type": "http.response.body", "body": b"ok"})


async def rsgi(scope: Any, protocol: Any) -> None:
    """RSGI 1, HTTP only."""
    body = await protocol()
    status = batch.take(body, scope.headers.get("x-forwarded-for", ""), scope.headers.get("user-agent", ""))
    protocol.response_bytes(status, RSGI_HEADERS, b"ok")
