"""The hit endpoint without a framework, as a raw ASGI and as an RSGI application: the same work as the stock handler's
(`bench.peers.tornado_handler`). It stores nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

ANSWER_HEADERS = ((b"content-type", b"text/plain"), (b"access-control-allow-origin", b"*"))
RSGI_HEADERS = [(name.decode(), value.decode()) for name, value in ANSWER_HEADERS]

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def status_of(body: bytes) -> int:
    """202 for a hit with the two fields that it must have, else 400."""
    try:
        hit = orjson.loads(body)
    except orjson.JSONDecodeError:
        return 400
    return 202 if isinstance(hit, dict) and "n" in hit and "u" in hit else 400


async def read_body(receive: Receive) -> bytes:
    """All of it, in however many messages it comes."""
    message = await receive()
    body: bytes = message["body"]
    while message["more_body"]:
        message = await receive()
        body += message["body"]
    return body


async def asgi(scope: Message, receive: Receive, send: Send) -> None:
    """ASGI 3, HTTP only."""
    assert scope["type"] == "http", scope["type"]
    status = status_of(await read_body(receive))
    await send({"type": "http.response.start", "status": status, "headers": ANSWER_HEADERS})
    await send({"type": "http.response.body", "body": b"ok"})


async def rsgi(scope: Any, protocol: Any) -> None:
    """RSGI 1, HTTP only."""
    protocol.response_bytes(status_of(await protocol()), RSGI_HEADERS, b"ok")
