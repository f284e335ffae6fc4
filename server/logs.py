"""Structured logs: one JSON object per line on standard output.

Invariants: no client address, no query string and no secret is ever part of a line. So the access log names the method
and the path only, and a handler's traceback carries no request. Further keys are given with `extra={...}`.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from typing import TextIO

import orjson

from server.request_context import REQUEST_ID

# What a LogRecord always has: everything else came in with `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


# PostgreSQL quotes the row that a statement failed on, mail addresses and all.
_QUOTED_ROW = re.compile(r"(?m)^DETAIL: .*\n?")


def first_line(error: BaseException) -> str:
    """What an error says, without what drivers append to it: statements, parameters, traces of a server."""
    return (str(error).splitlines() or [type(error).__name__])[0]


class JsonFormatter(logging.Formatter):
    """Turns a log record into one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its newline."""
        milliseconds = int(record.created * 1000)
        line: dict[str, object] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{milliseconds % 1000:03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        line.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            trace = "".join(traceback.format_exception(*record.exc_info))
            line["trace"] = _QUOTED_ROW.sub("", trace)
        return orjson.dumps(line, default=str).decode()


def start_logging(level: str, stream: TextIO | None = None) -> None:
    """Send every logger's lines to `stream` (standard output when not given) as JSON."""
    handler = logging.StreamHandler(stream if stream is not None else sys.stdout)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # Tornado names the peer's address and the query in these two: the front counts bad requests, the application logs
    # its own access line.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    # Alembic tells each step at level info.
    logging.getLogger("alembic").setLevel(logging.WARNING)
