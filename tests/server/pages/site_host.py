"""The application on a real port, and browsers without scripts that talk to it: cookies, forms, redirects."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from tornado.httpserver import HTTPServer

from server.app import make_application
from server.batches import BatchRoutes
from server.behind_proxies import BehindProxies
from server.clickhouse_url import AddressSource, ClickHouseAddress
from server.embedded import EmbeddedUnavailable
from server.handler import AppContext
from server.health import HealthReport
from server.queries.event_reader import ReadLimits
from server.services import Services
from server.snapshot import KeyHolder, read_source
from server.stats_api.stats import Stats

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

# Every browser has an address of its own: rate limits count by it.
_ADDRESSES = (f"198.51.{number // 250}.{number % 250 + 1}" for number in itertools.count())


@dataclass
class Answer:
    """One answer; `text` is its body."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def location(self) -> str:
        """Where it leads."""
        return self.headers.get("location", "")

    def error_at(self, field: str) -> str:
        """What is said at a field of a form."""
        found = re.search(rf'id="{field}-error">([^<]*)<', self.text)
        return found[1] if found else ""


@dataclass
class Browser:
    """Keeps cookies and sends the XSRF token as forms do."""

    port: int
    address: str = field(default_factory=lambda: next(_ADDRESSES))
    is_https: bool = False
    cookies: dict[str, str] = field(default_factory=dict)
    set_cookies: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {"User-Agent": BROWSER, "X-Forwarded-For": self.address}
        if self.is_https:
            sent["X-Forwarded-Proto"] = "https"
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            for name, value in answer.getheaders():
                if name.lower() == "set-cookie":
                    self._keep(value)
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, text)
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        """A page."""
        return self.ask("GET", path, None, **headers)

    def post(self, path: str, fields: dict[str, Any] | None = None, **headers: str) -> Answer:
        """A form."""
        if "_xsrf" not in self.cookies:
            self.get("/login")
        body = urlencode({"_xsrf": self.cookies.get("_xsrf", ""), **(fields or {})}, doseq=True).encode()
        return self.ask("POST", path, body, Content_Type="application/x-www-form-urlencoded", **headers)

    def log_in(self, email: str, password: str) -> Answer:
        """Fill in the login form."""
        return self.post("/login", {"email": email, "password": password})

    def _keep(self, line: str) -> None:
        self.set_cookies.append(line)
        name, _, rest = line.partition("=")
        value = rest.partition(";")[0].strip('"')
        if value:
            self.cookies[name] = value
        else:
            self.cookies.pop(name, None)


@dataclass
class Host:
    """The application's port. `counts` is what the event store says of each site's events, `fails` that it is away."""

    port: int
    services: Services
    counts: dict[int, int] = field(default_factory=dict)
    fails: bool = False
    stats: Stats | None = None

    def browser(self) -> Browser:
        """A new browser."""
        return Browser(self.port)

    def key_holder(self, hashed: str) -> KeyHolder | None:
        """As the snapshot says."""
        for entry in read_source(self.services.engine).api_keys:
            if entry["hash"] == hashed:
                return KeyHolder(entry["account_id"], frozenset(entry["scopes"]))
        return None

    def count(self, site_id: int) -> dict[str, Any]:
        """As the event store says."""
        if self.fails:
            raise ConnectionRefusedError
        events = self.counts.get(site_id, 0)
        first_hit = datetime.now(UTC) if events else None
        return {"events": events, "kinds": {}, "first": None, "last": None, "first_hit": first_hit}


class CountedBatches(BatchRoutes):
    """Server batches without a collector: what was appended is kept here."""

    def __init__(self, services: Services) -> None:
        self.engine = services.engine
        self.appended: list[tuple[bytes, int]] = []

    async def append(self, body: bytes, account_id: int, address: str) -> tuple[int, bytes]:
        """Keep the batch."""
        self.appended.append((body, account_id))
        return 202, b"{}"


def no_event_store() -> ClickHouseAddress:
    """The address of an event store that is away."""
    raise EmbeddedUnavailable("there is none in this test")


@contextlib.contextmanager
def hosted(
    services: Services, event_store: AddressSource = no_event_store, limits: ReadLimits | None = None
) -> Iterator[Host]:
    """The application with these services, inside the `with`; without an event store unless one is named."""
    stats = Stats(services, event_store, limits=limits)
    host = Host(0, services, stats=stats)
    started = threading.Event()
    ending: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    threads = ThreadPoolExecutor(4)
    context = AppContext(
        services=services,
        threads=threads,
        health=HealthReport,
        key_holder=host.key_holder,
        count=host.count,
        announce=lambda: None,
        stats=stats,
    )

    async def live() -> None:
        application = make_application(context, CountedBatches(services).routes(context))
        server = HTTPServer(BehindProxies(application, services.settings))
        server.listen(0, "127.0.0.1")
        host.port = next(iter(server._sockets.values())).getsockname()[1]
        stop = asyncio.Event()
        ending.append((asyncio.get_running_loop(), stop))
        started.set()
        await stop.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=lambda: asyncio.run(live()), name="hosted-application")
    thread.start()
    try:
        assert started.wait(10)
        yield host
    finally:
        loop, stop = ending[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        threads.shutdown()
        stats.close()


def bearer(key: str) -> dict[str, str]:
    """The header that carries an API key."""
    return {"Authorization": f"Bearer {key}"}
