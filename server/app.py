"""The web application: every request that is not a hit, as a table of routes.

Each module of `server.pages` brings its routes; each handler declares who may call it, and the table is refused when
one does not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tornado.web import Application, HTTPError, RequestHandler

from server.accounts.access import PUBLIC, Access
from server.config import Env
from server.handler import AppContext, BaseHandler, answered_methods
from server.health import health_answer
from server.metrics import REQUESTS
from server.page_trace import trace_statements
from server.pages import (
    account_deletion,
    admin,
    assets,
    billing,
    built_assets,
    dashboard,
    home,
    imports,
    joining,
    login,
    me,
    site_guests,
    site_install,
    site_ownership,
    site_reports,
    sites,
    team,
    tracker_script,
    usage,
)
from server.pages.admin.bars import Bars
from server.pages.page import Area, Field, PageHandler
from server.stats_api.routes import stats_routes

log = logging.getLogger(__name__)

TEMPLATES_DIR = Path(__file__).with_name("pages")


class UndeclaredAccess(TypeError):
    """A handler does not say who may call it, or for which methods. The application is not made."""


class NotFoundHandler(PageHandler):
    """Every path that nothing else answers, `/metrics` on the public port among them."""

    access = PUBLIC

    async def prepare(self) -> None:
        """Answer 404 to every method."""
        if not self.is_api:
            await self.look_for_login()
        raise HTTPError(404)

    def check_xsrf_cookie(self) -> None:
        """There is nothing here that a form could change."""

    def check_trusted_origin(self, origin: str) -> bool:
        """Nor that another site could."""
        return True


class HealthHandler(BaseHandler):
    """`/healthz` and `/readyz` of this process."""

    access = PUBLIC

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


def all_routes(app_context: AppContext, more_routes: Iterable[Any] = (), *, with_pages: bool = True) -> list[Any]:
    """The table: (pattern, handler, arguments). Raises `UndeclaredAccess`."""
    given = {"app_context": app_context}
    routes: list[Any] = [
        *tracker_script.routes(app_context),
        (r"/healthz", HealthHandler, {**given, "probe": "live"}),
        (r"/readyz", HealthHandler, {**given, "probe": "ready"}),
        *more_routes,
    ]
    if with_pages:
        routes += stats_routes(app_context)
        for module in (
            home,
            assets,
            built_assets,
            login,
            joining,
            me,
            sites,
            site_reports,
            site_guests,
            site_ownership,
            site_install,
            imports,
            team,
            account_deletion,
            billing,
            usage,
            admin,
            dashboard,
        ):
            routes += module.routes(app_context)
    for _, handler, *_ in routes:
        check_declared(handler)
    return routes


def check_declared(handler: type[BaseHandler]) -> None:
    """Raises `UndeclaredAccess` for a handler that answers a method which its `access` does not name."""
    access = getattr(handler, "access", None)
    if isinstance(access, Access):
        return
    answered = answered_methods(handler)
    if not isinstance(access, Mapping) or answered != set(access):
        raise UndeclaredAccess(f"{handler.__name__} answers {sorted(answered)} without saying for whom")


def make_application(
    app_context: AppContext, more_routes: Iterable[Any] = (), *, with_pages: bool = True
) -> Application:
    """The application. Without pages (role `collect`) only the script, the probes and `more_routes` are there."""
    if app_context.settings.env is Env.DEVELOPMENT:
        trace_statements(app_context.engine)
    return Application(
        all_routes(app_context, more_routes, with_pages=with_pages),
        default_handler_class=NotFoundHandler,
        default_handler_args={"app_context": app_context},
        log_function=log_request,
        template_path=str(TEMPLATES_DIR),
        autoescape="xhtml_escape",
        compiled_template_cache=True,
        ui_modules={"Field": Field, "Area": Area, "Bars": Bars},
        ui_methods={"asset_url": lambda _, name: assets.asset_url(name)},
        xsrf_cookies=True,
        cross_origin_protection=True,
    )
