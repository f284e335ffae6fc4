"""Which request a line of the log belongs to.

`REQUEST_ID` is set for each request that the application answers and goes along into the threads that work for it
(`BaseHandler.in_thread` copies the context). The log adds it to every line; the answer names it in `X-Request-Id`.
"""

from __future__ import annotations

import secrets
from contextvars import ContextVar

REQUEST_ID: ContextVar[str] = ContextVar("footfall_request_id", default="")


def new_request_id() -> str:
    """64 random bits in hex: enough to find one request in a log."""
    return secrets.token_hex(8)
