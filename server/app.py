"""The web application: every request that is not a hit.

Handlers here know nothing of sockets or the front; they get what they need from `AppContext`. Errors are answered as
JSON under `/api/` and to whoever asks for JSON, as a page otherwise, never with a traceback. What blocks (the app
database, ClickHouse) runs on `AppContext.threads`.
"""

from __future__ import annotations

import http.client
import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import orjson
from clickhouse_driver.errors import Error as ClickHouseError
from sqlalchemy import Engine
from tornado.web import Application, HTTPError, MissingArgumentError, RequestHandler

from server.config import Settings
from server.embedded import EmbeddedUnavailable
from server.health import HealthReport, health_answer
from server.metrics import REQUESTS
from server.sites import find_site, key_hash, list_sites
from server.snippet import send_line, snippet

log = logging.getLogger(__name__)

PAGES_DIR = Path(__file__).with_name("pages")

# Scripts change with a release: an hour bounds how long a browser keeps the old one.
SCRIPT_MAX_AGE_S = 3600

# How many snippets the start page shows; further ones are in `footfall sites list`.
HOME_PAGE_SITES = 5

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class AppContext:
    """What handlers work with. `count` asks ClickHouse and blocks; `account_of` finds the account of a key's hash."""

    settings: Settings
    engine: Engine
    threads: ThreadPoolExecutor
    health: Callable[[], HealthReport]
    account_of: Callable[[str], int | None]
    count: Callable[[int], dict[str, Any]]


class BaseHandler(RequestHandler):
    """Security headers, error pages and JSON for all handlers."""

    app_context: AppContext

    CONTENT_SECURITY_POLICY: ClassVar[str] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )

    def initialize(self, app_context: AppContext) -> None:
        """Called by Tornado with the route's arguments."""
        self.app_context = app_context

    def set_default_headers(self) -> None:
        """Headers of every answer, errors too."""
        self.clear_header("Server")
        self.set_header("Content-Security-Policy", self.CONTENT_SECURITY_POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def write_json(self, value: object, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.write(orjson.dumps(value))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer an error: what went wrong in one sentence, without a traceback."""
        reason = http.client.responses.get(status_code, "Error")
        message = _MESSAGES.get(status_code, "The request could not be answered.")
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, MissingArgumentError):
            message = f"The parameter {error.arg_name} is missing."
        elif isinstance(error, HTTPError) and error.log_message and status_code < 500:
            message = error.log_message
        if self.request.path.startswith("/api/") or "json" in self.request.headers.get("Accept", ""):
            self.finish(orjson.dumps({"error": {"status": status_code, "message": message}}))
            self.set_header("Content-Type", "application/json")
        else:
            self.render("error.html", status=status_code, reason=reason, message=message)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log a handler's failure by method and path: the query and the address stay out of the log."""
        if isinstance(value, HTTPError) and value.status_code < 500:
            return
        trace = None if typ is None or value is None else (typ, value, tb)
        log.error("a handler failed", extra={"method": self.request.method, "path": self.request.path}, exc_info=trace)

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run what blocks outside the event loop."""
        from tornado.ioloop import IOLoop

        return await IOLoop.current().run_in_executor(self.app_context.threads, function, *arguments)

    def require_account(self) -> int:
        """The account of the request's API key; 401 without a valid one."""
        scheme, _, key = self.request.headers.get("Authorization", "").partition(" ")
        account_id = self.app_context.account_of(key_hash(key.strip())) if scheme.lower() == "bearer" else None
        if account_id is None:
            self.set_header("WWW-Authenticate", 'Bearer realm="footfall"')
            raise HTTPError(401, "A valid API key is needed: Authorization: Bearer ff_….")
        return account_id


_MESSAGES = {
    400: "The request is not valid.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    500: "Something failed on our side; the log of the server says what.",
    503: "The service is not available at the moment; try again soon.",
}


class NotFoundHandler(BaseHandler):
    """Every path that nothing else answers, `/metrics` on the public port among them."""

    def prepare(self) -> None:
        """Answer 404 to every method."""
        raise HTTPError(404)


class HomeHandler(BaseHandler):
    """The start page: what to do next. Only a server that this machine alone can reach names its sites."""

    async def get(self) -> None:
        """Show the page."""
        settings = self.app_context.settings
        domains: list[str] = []
        if settings.host in LOOPBACK_HOSTS:
            sites = await self.in_thread(list_sites, self.app_context.engine)
            domains = [site.domain for site in sites[:HOME_PAGE_SITES]]
        first = domains[0] if domains else settings.first_site_domain
        self.render(
            "home.html",
            snippets=[(domain, snippet(settings, domain)) for domain in domains],
            send_line=send_line(settings, first),
        )


class DemoHandler(BaseHandler):
    """A page that carries the snippet of the first site."""

    async def get(self) -> None:
        """Show the page."""
        settings = self.app_context.settings
        self.render("demo.html", domain=settings.first_site_domain, script_path=settings.script_path)


class ScriptHandler(BaseHandler):
    """A script or style that is part of the package."""

    def initialize(self, app_context: AppContext, file_name: str = "", public: bool = False) -> None:
        """`public`: pages of other origins may load it."""
        super().initialize(app_context)
        self._file_name = file_name
        self._public = public

    def get(self) -> None:
        """Send the file; Tornado answers 304 to a matching `If-None-Match`."""
        kind = "text/css" if self._file_name.endswith(".css") else "text/javascript"
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.set_header("Cache-Control", f"public, max-age={SCRIPT_MAX_AGE_S}")
        if self._public:
            self.set_header("Cross-Origin-Resource-Policy", "cross-origin")
            self.set_header("Access-Control-Allow-Origin", "*")
        self.write((PAGES_DIR / self._file_name).read_bytes())

    head = get


class HealthHandler(BaseHandler):
    """`/healthz` and `/readyz` of this process."""

    def initialize(self, app_context: AppContext, probe: str = "live") -> None:
        """`probe` is `live` or `ready`."""
        super().initialize(app_context)
        self._probe = probe

    def get(self) -> None:
        """200 when well, else 503 and the reasons."""
        report = self.app_context.health()
        status, answer = health_answer(report.ready if self._probe == "ready" else report.live)
        self.write_json(answer, status)

    head = get


class CountHandler(BaseHandler):
    """`GET /api/count?site=<domain>`: how many events of a site are stored, to holders of a key of its account."""

    async def get(self) -> None:
        """Answer with counts by kind of event."""
        account_id = self.require_account()
        domain = self.get_query_argument("site")
        site = await self.in_thread(find_site, self.app_context.engine, domain)
        if site is None or site.account_id != account_id:
            raise HTTPError(404, "This account has no such site.")
        try:
            counts = await self.in_thread(self.app_context.count, site.site_id)
        except (OSError, EOFError, EmbeddedUnavailable, ClickHouseError) as error:
            log.warning("a count was not answered: %s", type(error).__name__)
            raise HTTPError(503, "The event store does not answer; try again in a moment.") from None
        self.write_json({"site": site.domain, **counts})


def log_request(handler: RequestHandler) -> None:
    """Count the answer, and log failures and, at level debug, everything; never the query or the address."""
    status = handler.get_status()
    REQUESTS.labels(status=str(status)).inc()
    level = logging.WARNING if status >= 500 else logging.DEBUG
    if log.isEnabledFor(level):
        duration_ms = round(handler.request.request_time() * 1000, 1)
        extra = {
            "method": handler.request.method,
            "path": handler.request.path,
            "status": status,
            "duration_ms": duration_ms,
        }
        log.log(level, "request", extra=extra)


def make_application(
    app_context: AppContext, more_routes: list[Any] | None = None, *, with_pages: bool = True
) -> Application:
    """The application. Without pages (role `collect`) only the script, the probes and `more_routes` are there."""
    given = {"app_context": app_context}
    script_path = re.escape(app_context.settings.script_path)
    routes: list[Any] = [
        (script_path, ScriptHandler, {**given, "file_name": "footfall.js", "public": True}),
        (r"/healthz", HealthHandler, {**given, "probe": "live"}),
        (r"/readyz", HealthHandler, {**given, "probe": "ready"}),
        *(more_routes or []),
    ]
    if with_pages:
        routes += [
            (r"/", HomeHandler, given),
            (r"/demo(?:/[a-z0-9-]+)?", DemoHandler, given),
            (r"/assets/footfall\.css", ScriptHandler, {**given, "file_name": "footfall.css"}),
            (r"/assets/demo\.js", ScriptHandler, {**given, "file_name": "demo.js"}),
            (r"/api/count", CountHandler, given),
        ]
    return Application(
        routes,
        default_handler_class=NotFoundHandler,
        default_handler_args=given,
        log_function=log_request,
        template_path=str(PAGES_DIR),
        autoescape="xhtml_escape",
        compiled_template_cache=True,
    )
