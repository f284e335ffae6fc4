"""How a site's pages get the snippet, and whether its first hit has come."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

from clickhouse_driver.errors import Error as ClickHouseError
from tornado.web import HTTPError

from server.accounts.access import member
from server.config.front import EVENT_PATH
from server.embedded import EmbeddedUnavailable
from server.first_hits import find_first_hit
from server.handler import AppContext, BaseHandler
from server.models import GuestRole, MemberRole
from server.pages.page import PageHandler
from server.rate_limit import rate_limit
from server.site_rules import line_of
from server.snippet import snippet

log = logging.getLogger(__name__)


class InstallHandler(PageHandler):
    """`/sites/<domain>/install`: the snippet for each kind of site; a script waits for the first hit."""

    access = member(MemberRole.VIEWER, GuestRole.EDITOR)
    template = "install.html"

    def get(self, domain: str) -> None:
        """The page."""
        assert self.site is not None
        _, place = self.member
        settings, site = self.app_context.settings, self.site
        line = line_of(self.request.remote_ip or "")
        self.show(
            snippet=snippet(settings, site.domain, respects_gpc=site.respects_gpc),
            proxied=snippet(settings, site.domain, base_url="", respects_gpc=site.respects_gpc),
            base=settings.snippet_base,
            host=urlsplit(settings.snippet_base).netloc,
            script_path=settings.script_path,
            event_path=settings.event_path,
            has_own_event_path=settings.event_path != EVENT_PATH,
            script_folder=settings.script_path.rpartition("/")[0] + "/",
            is_admin=place.role.rank >= MemberRole.ADMIN.rank,
            is_my_line_blocked=line in site.blocked_networks,
        )


class FirstHitHandler(BaseHandler):
    """`GET /api/sites/<domain>/first-hit`: what the page asks every two seconds."""

    access = member(MemberRole.VIEWER, GuestRole.EDITOR)

    @rate_limit("120/m")
    async def get(self, domain: str) -> None:
        """Answer with the time of the first hit, null before it. 503 while the event store does not answer."""
        assert self.site is not None
        engine, site = self.app_context.engine, self.site
        try:
            first_ms = await self.in_thread(find_first_hit, engine, site, self.app_context.count)
        except (OSError, EOFError, EmbeddedUnavailable, ClickHouseError) as error:
            log.warning("a first hit was not looked up", extra={"reason": type(error).__name__})
            raise HTTPError(503, "The event store does not answer; try again in a moment.") from None
        self.write_json({"site": site.domain, "first_hit_at_ms": first_ms})


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/sites/(?P<domain>[^?]+)/install", InstallHandler, given),
        (r"/api/sites/(?P<domain>[^?]+)/first-hit", FirstHitHandler, given),
    ]
