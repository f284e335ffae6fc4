r"""Lines of a combined access log, as nginx and Apache write them, and which of them are page views.

    203.0.113.9 - frank [17/May/2015:10:05:03 +0000] "GET /blog/ HTTP/1.1" 200 5120 "https://example.org/" "Mozilla/5.0
    …"

Quotes inside a quoted field stand as \", other bytes as \xHH; both are undone. A line is either a `LogEntry` or raises
`LineError`; an entry is either a page view or `skip_reason` names why not. So every line of a log falls into exactly
one class.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from dataclasses import dataclass
from enum import StrEnum

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_LINE = re.compile(rf"(\S+) \S+ (?:\S+|\S.*?) \[([^\]]+)\] {_QUOTED} (\d{{3}}) (\d+|-) {_QUOTED} {_QUOTED}(?: .*)?\s*")
_ESCAPE = re.compile(r'\\(?:x([0-9A-Fa-f]{2})|(["\\]))')
_REQUEST = re.compile(r"([A-Z]+) (\S+) HTTP/\d(?:\.\d)?")
_EXTENSION = re.compile(r"\.([A-Za-z][A-Za-z0-9]{0,7})$")
_TIME_FORMAT = "%d/%b/%Y:%H:%M:%S %z"

# What a path that shows a page may end in; any other extension is an image, style, script, font, feed or download.
PAGE_EXTENSIONS = frozenset({"html", "htm", "xhtml", "shtml", "php", "asp", "aspx", "jsp", "jspx", "cgi"})

# Longer lines are no access log's: nginx refuses request lines beyond 8 KiB, and a line holds three such fields.
MAX_LINE_BYTES = 32 * 1024


class LineError(ValueError):
    """A line is not a combined log line; `str()` says what is wrong with it. The line is consumed."""


class SkipReason(StrEnum):
    """Why a well-formed line is no page view."""

    METHOD = "method"
    STATUS = "status"
    ASSET = "asset"


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One request as the log tells it. `referrer` and `agent` are empty where the log has a dash."""

    address: str
    time_ms: int
    method: str
    target: str
    status: int
    referrer: str
    agent: str

    @property
    def skip_reason(self) -> SkipReason | None:
        """None for a page view: a GET that showed a page (200–299 but 206, or 304: the visitor saw the copy he had)."""
        if self.method != "GET":
            return SkipReason.METHOD
        if not (200 <= self.status < 300 or self.status == 304) or self.status == 206:
            return SkipReason.STATUS
        extension = _EXTENSION.search(self.target.partition("?")[0].rpartition("/")[2])
        if extension and extension[1].lower() not in PAGE_EXTENSIONS:
            return SkipReason.ASSET
        return None


def parse_line(line: str) -> LogEntry:
    """The entry of one line. Raises `LineError`."""
    if len(line) > MAX_LINE_BYTES:
        raise LineError(f"longer than {MAX_LINE_BYTES} bytes")
    fields = _LINE.fullmatch(line)
    if fields is None:
        raise LineError("not in combined format")
    address, stamp, request, status, _size, referrer, agent = fields.groups()
    try:
        client = ipaddress.ip_address(address)
    except ValueError:
        raise LineError("no client address: does the server log host names?") from None
    try:
        moment = datetime.datetime.strptime(stamp, _TIME_FORMAT)
    except ValueError:
        raise LineError("no such time") from None
    parts = _REQUEST.fullmatch(_plain(request))
    if parts is None:
        raise LineError("no HTTP request line")
    return LogEntry(
        address=str(client),
        time_ms=int(moment.timestamp() * 1000),
        method=parts[1],
        target=_origin_form(parts[2]),
        status=int(status),
        referrer=_dash_is_empty(_plain(referrer)),
        agent=_dash_is_empty(_plain(agent)),
    )


def _plain(field: str) -> str:
    """A quoted field without its escapes."""
    if "\\" not in field:
        return field
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else match[2], field)


def _dash_is_empty(field: str) -> str:
    return "" if field == "-" else field


def _origin_form(target: str) -> str:
    """Path and query of a target: proxies log absolute addresses, and `OPTIONS *` has neither."""
    if target.startswith("/"):
        return target
    scheme, separator, rest = target.partition("://")
    if separator and scheme.isalpha():
        return "/" + rest.partition("/")[2]
    return "/"
