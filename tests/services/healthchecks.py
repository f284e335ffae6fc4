"""A monitor in healthchecks.io's shape on a free loopback port: its pings by slug and its checks API, version 3.

Written after its documentation (https://healthchecks.io/docs/http_api/, https://healthchecks.io/docs/api/): what that
refuses is refused here, so that a request which passes would pass there.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cronsim import CronSim, CronSimError

PING_KEY = "ping-key-that-nobody-may-see"
API_KEY = "api-key-that-nobody-may-see"

_PING = re.compile(rf"/ping/{PING_KEY}/([a-z0-9_-]+)(?:/(start|fail))?")
_FIELDS = {"name", "slug", "tags", "desc", "timeout", "grace", "schedule", "tz", "methods", "channels", "unique"}
_UNIQUE_FIELDS = {"name", "slug", "tags", "timeout", "grace"}
_GRACE_S = range(60, 365 * 24 * 3600 + 1)


@dataclass(frozen=True)
class ReceivedPing:
    """One report: the check's slug, `start`, `success` or `fail`, the run's id and the text."""

    slug: str
    what: str
    run_id: str
    body: str


@dataclass
class Healthchecks:
    """What the monitor knows, and how it behaves."""

    port: int = 0
    checks: list[dict[str, Any]] = field(default_factory=list)
    pings: list[ReceivedPing] = field(default_factory=list)
    requests: int = 0
    answers_with: int = 0
    """When not 0: the status of every answer."""
    hangs_s: float = 0.0
    """How long it keeps every request waiting."""
    raw_answer: bytes | None = None
    """When given: the body of every answer of the API."""

    @property
    def ping_url(self) -> str:
        """For FOOTFALL_MONITOR_PING_URL."""
        return f"http://127.0.0.1:{self.port}/ping/{PING_KEY}"

    @property
    def api_url(self) -> str:
        """For FOOTFALL_MONITOR_API_URL."""
        return f"http://127.0.0.1:{self.port}"

    def ping(self, target: str, body: bytes) -> int:
        """The status of a ping."""
        parts = urlsplit(target)
        match = _PING.fullmatch(parts.path)
        if match is None or sum(check["slug"] == match[1] for check in self.checks) == 0:
            return 404
        if sum(check["slug"] == match[1] for check in self.checks) > 1:
            return 409
        run_id = parse_qs(parts.query).get("rid", [""])[0]
        if run_id and str(uuid.UUID(run_id)) != run_id:
            return 400
        self.pings.append(ReceivedPing(match[1], match[2] or "success", run_id, body.decode()))
        return 200

    def post_check(self, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Create a check, or update the one that `unique` names."""
        problem = _problem(document)
        if problem:
            return 400, {"error": problem}
        unique = document.pop("unique", [])
        for check in self.checks:
            if unique and all(check.get(name) == document.get(name) for name in unique):
                check.update(document)
                return 200, check
        check = {"name": "", "slug": "", "tags": "", "grace": 3600, "channels": "", **document}
        self.checks.append(check)
        return 201, check


def _problem(document: dict[str, Any]) -> str:
    if unknown := document.keys() - _FIELDS:
        return f"json validation error: {unknown}"
    if not re.fullmatch(r"[a-z0-9_-]{0,100}", document.get("slug", "")):
        return "json validation error: slug does not match pattern"
    if document.get("grace", 60) not in _GRACE_S:
        return "json validation error: grace is out of range"
    if document.get("tz", "UTC") != "UTC":
        return "json validation error: tz is not a valid timezone"
    if not set(document.get("unique", [])) <= _UNIQUE_FIELDS:
        return "json validation error: an item in 'unique' has unexpected value"
    try:
        next(CronSim(document.get("schedule", "* * * * *"), datetime(2000, 1, 1)))
    except (CronSimError, StopIteration):
        return "json validation error: schedule is not a valid cron or OnCalendar expression"
    return ""


@contextlib.contextmanager
def running_healthchecks() -> Iterator[Healthchecks]:
    """A monitor that lives inside the `with`."""
    monitor = Healthchecks()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self, body: bytes) -> None:
            monitor.requests += 1
            time.sleep(monitor.hangs_s)
            status, document = self._route(body)
            if monitor.answers_with:
                status = monitor.answers_with
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                if 300 <= status < 400:
                    self.send_header("Location", monitor.api_url + "/elsewhere")
                self.end_headers()
                self.wfile.write(content)

        def _route(self, body: bytes) -> tuple[int, dict[str, Any] | bytes]:
            if self.path.startswith("/ping/"):
                status = monitor.ping(self.path, body)
                return status, b"OK" if status == 200 else b"not found"
            if self.path != "/api/v3/checks/":
                return 404, b""
            if self.headers.get("X-Api-Key") != API_KEY:
                return 401, {"error": "wrong api key"}
            if monitor.raw_answer is not None:
                return 200, monitor.raw_answer
            if self.command == "GET":
                return 200, {"checks": monitor.checks}
            return monitor.post_check(json.loads(body))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    monitor.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield monitor
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
