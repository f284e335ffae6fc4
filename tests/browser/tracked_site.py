"""A site of the tests' own, on another origin than Footfall, and the rows that come of visits to it."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from clickhouse_driver import Client

from server.clickhouse_url import ClickHouseAddress

DOMAIN = "shop.example"

# Other names than usual, as against blockers.
SCRIPT_PATH = "/px/app.js"
EVENT_PATH = "/px/e"

# Keeps what goes wrong on a page, and whether the back/forward cache brought it back. The height is for scrolling.
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>A page</title>
<style>body { margin: 0; height: 2400px } </style>
<script>
  window.problems = [];
  addEventListener("error", (event) => problems.push(event.message));
  addEventListener("unhandledrejection", (event) => problems.push(String(event.reason)));
  addEventListener("pageshow", (event) => { window.persisted = event.persisted; });
</script>"""

COLUMNS = (
    "kind",
    "path",
    "event_name",
    "props",
    "revenue_micros",
    "revenue_currency",
    "interactive",
    "engaged_ms",
    "scroll_depth_percent",
    "load_id",
    "sequence",
    "metrics",
    "bot_reasons",
    "time",
)

ROWS_TIMEOUT_S = 60.0


@dataclass
class TrackedSite:
    """Pages by their path. `script` is the address of the tracker, `attributes` what its tag says on every page."""

    script: str
    attributes: str = ""
    origin: str = ""
    pages: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(
        self,
        path: str,
        body: str = "",
        attributes: str = "",
        *,
        head: str = "",
        tag: str | None = None,
        status: int = 200,
    ) -> str:
        """A page with the tracker on it; its address. `tag` in place of the tracker's own."""
        if tag is None:
            tag = f'<script defer data-domain="{DOMAIN}" {self.attributes} {attributes} src="{self.script}"></script>'
        self.pages[path] = (status, f"{HEAD}{head}{tag}<h1>{path}</h1>{body}</html>")
        return self.origin + path


@contextlib.contextmanager
def tracked_site(script: str, attributes: str) -> Iterator[TrackedSite]:
    """The site, served while the `with` lasts."""
    site = TrackedSite(script, attributes)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, text = site.pages.get(urlsplit(self.path).path, (404, "nothing"))
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: test output stays readable."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        site.origin = f"http://localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield site
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Row:
    """One row of `events`, with the columns that a tracker decides."""

    kind: str
    path: str
    event_name: str
    props: dict[str, str]
    revenue_micros: int
    revenue_currency: str
    interactive: int
    engaged_ms: int
    scroll_depth_percent: int
    load_id: int
    sequence: int
    metrics: dict[str, float]
    bot_reasons: int
    time: Any


class StoredRows:
    """What is stored."""

    def __init__(self, address: ClickHouseAddress) -> None:
        host, port = address.hosts[0]
        self._client = Client(host, port=port, database=address.database)

    def close(self) -> None:
        """Ends the connection."""
        self._client.disconnect()

    def under(self, prefix: str, is_whole: Callable[[list[Row]], bool]) -> list[Row]:
        """The rows whose path begins so, by their time, once they are as many as they will be."""
        query = (
            f"SELECT {', '.join(COLUMNS)} FROM events WHERE startsWith(path, %(prefix)s) ORDER BY time, kind, sequence"
        )
        deadline_s = time.monotonic() + ROWS_TIMEOUT_S
        while True:
            found = [Row(*row) for row in self._client.execute(query, {"prefix": prefix})]
            if is_whole(found):
                return found
            assert time.monotonic() < deadline_s, "not all rows came:\n" + "\n".join(map(str, found))
            time.sleep(0.05)

    def none_under(self, prefix: str) -> bool:
        """Whether there is no such row."""
        count = self._client.execute("SELECT count() FROM events WHERE startsWith(path, %(p)s)", {"p": prefix})
        return bool(count[0][0] == 0)

    def last_values(self, path: str) -> dict[str, list[float]]:
        """The vitals of a page as readers take them: of each load and metric the value with the highest sequence."""
        query = """SELECT metric, groupArray(value) FROM (
                       SELECT load_id, metric, argMax(value, (sequence, time)) AS value FROM events
                       ARRAY JOIN mapKeys(metrics) AS metric, mapValues(metrics) AS value
                       WHERE path = %(path)s AND kind = 'vitals' GROUP BY load_id, metric)
                   GROUP BY metric"""
        return dict(self._client.execute(query, {"path": path}))
