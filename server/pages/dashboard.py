"""The pages that carry the dashboard: a site's own for its members and guests, and the one behind a share link.

The page is a frame: which site, who looks, where to go, as JSON in an attribute. Everything that is shown comes from
the API, which asks again who may see it. No script or style is inline: the Content-Security-Policy needs no exception.

A share link's page sets no cookie, unless the link has a password and that was given. Other sites may embed it when the
site's settings name them; whoever is logged in is never shown inside a frame.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from clickhouse_driver.errors import Error as ClickHouseError
from sqlalchemy import func, select
from tornado.web import HTTPError

from server.accounts.access import PUBLIC, SEES_SITE
from server.accounts.errors import FormError
from server.accounts.guests import sites_of_person
from server.accounts.passwords import is_password
from server.accounts.share_links import find_share_link, is_open, share_cookie
from server.app_database import reading
from server.billing.plan_changes import has_feature
from server.billing.plans import Feature
from server.embedded import EmbeddedUnavailable
from server.handler import AppContext
from server.models import ClosedDay, Import, MemberRole, ShareLink, Site
from server.pages.built_assets import entry
from server.pages.page import PageHandler
from server.rate_limit import rate_limit
from server.reader_handler import SHARE_COOKIE
from server.sites import GONE_STATES

log = logging.getLogger(__name__)

ENTRY = "src/dashboard.tsx"
THEMES = ("light", "dark")

# More than anybody looks through in a menu; all of them are on the page of sites.
MOST_SITES_IN_MENU = 40


class DashboardPage(PageHandler):
    """The base of both."""

    def show_dashboard(self, site: Site, shell: dict[str, Any]) -> None:
        """Render the frame. `shell`: what `dashboards/src/shell.ts` reads, as far as it is not the site's."""
        theme = self.get_query_argument("theme", "")
        whole = {"domain": site.domain, "timezone": site.timezone, **shell}
        is_shared = shell["share"] is not None
        self.show(
            "dashboard_shared.html" if is_shared else "dashboard.html",
            domain=site.domain,
            shell=orjson.dumps(whole).decode(),
            entry=entry(ENTRY),
            theme=theme if theme in THEMES else "",
            is_shared=is_shared,
            is_embedded=shell["is_embedded"],
        )

    def known_of(self, site: Site) -> dict[str, Any]:
        """Since when there may be figures, whether there are any, and what the plan allows. Blocks."""
        with reading(self.app_context.engine) as session:
            closed = session.execute(select(func.min(ClosedDay.day)).where(ClosedDay.site_id == site.site_id)).scalar()
            done = (Import.site_id == site.site_id) & (Import.state == "done") & (Import.first_day != "")
            imported = session.execute(select(func.min(Import.first_day)).where(done)).scalar()
            has_exports = has_feature(session, self.app_context.settings, site.account_id, Feature.EXPORTS)
        began_ms = min(site.first_hit_at_ms or site.created_at_ms, site.created_at_ms)
        began = datetime.fromtimestamp(began_ms / 1000, ZoneInfo(site.timezone)).date().isoformat()
        days = [closed, imported, began]
        return {
            "first_day": min(day for day in days if day),
            "has_event_export": has_exports,
            "has_hits": bool(site.first_hit_at_ms or closed or imported) or self._has_events(site),
        }

    def _has_events(self, site: Site) -> bool:
        """Whether the event store has any; while it is away nobody is told that there is nothing."""
        try:
            return bool(self.app_context.count(site.site_id)["events"])
        except (OSError, EOFError, EmbeddedUnavailable, ClickHouseError) as error:
            log.warning("a count was not answered: %s", type(error).__name__)
            return True


class SiteDashboardHandler(DashboardPage):
    """`/sites/<domain>`"""

    access = SEES_SITE

    async def get(self, domain: str) -> None:
        """The page."""
        assert self.site is not None
        login, place = self.member
        site = self.site
        others: list[Site] = await self.in_thread(sites_of_person, self.app_context.engine, login)
        changes_site = place.role.rank >= MemberRole.ADMIN.rank
        known = await self.in_thread(self.known_of, site)
        path = f"/sites/{site.domain}"
        self.show_dashboard(
            site,
            {
                "role": str(place.role),
                "user_id": login.user_id,
                "share": None,
                "is_embedded": False,
                "sites": [each.domain for each in others[:MOST_SITES_IN_MENU]],
                **known,
                "links": {
                    "install": f"{path}/install" if changes_site or not place.is_guest else None,
                    "settings": f"{path}/settings" if changes_site else None,
                    "reports": None if place.is_guest else f"{path}/settings/reports",
                    "overview": "/sites",
                },
            },
        )


class ShareHandler(DashboardPage):
    """`/share/<slug>`: the dashboard for whoever has the link, and the form for its password."""

    access = PUBLIC

    async def get(self, slug: str) -> None:
        """The dashboard, or the form."""
        link, site = await self._found(slug)
        cookie = self.get_cookie(self.cookie_name(f"{SHARE_COOKIE}_{link.share_link_id}"))
        if not is_open(self.app_context.services.secret_key, link, cookie):
            self.show("share_password.html", domain=site.domain)
            return
        known = await self.in_thread(self.known_of, site)
        self.show_dashboard(
            site,
            {
                "role": None,
                "user_id": None,
                "share": link.slug,
                "is_embedded": self.get_query_argument("embed", "") == "true",
                "sites": [],
                **known,
                "links": {"install": None, "settings": None, "reports": None, "overview": None},
            },
        )

    @rate_limit("10/m", "60/h")
    async def post(self, slug: str) -> None:
        """Take the password; the cookie then says that it was known."""
        link, site = await self._found(slug)
        password = self.form("password")["password"]
        if not await self.in_thread(is_password, link.password_hash, password):
            error = FormError("password", "This is not the password of this link.")
            self.show("share_password.html", domain=site.domain, error=error)
            return
        name = self.cookie_name(f"{SHARE_COOKIE}_{link.share_link_id}")
        self.set_cookie(name, share_cookie(self.app_context.services.secret_key, link))
        self.redirect(self.request.uri or f"/share/{slug}", status=303)

    async def _found(self, slug: str) -> tuple[ShareLink, Site]:
        """The link and its site, with the frames that may hold it. Raises `HTTPError` 404."""
        found = await self.in_thread(self._find, slug)
        if found is None or found[1].state in GONE_STATES:
            raise HTTPError(404, "This link is not valid any more. Ask whoever gave it to you for another.")
        if len(found[1].embed_origins) > 0 and await self.in_thread(self._may_embed, found[1].account_id):
            ancestors = " ".join(found[1].embed_origins)
            policy = self.CONTENT_SECURITY_POLICY.replace("frame-ancestors 'none'", f"frame-ancestors {ancestors}")
            self.set_header("Content-Security-Policy", policy)
            # It knows no list of origins; browsers that know frame-ancestors ignore it (CSP3, 6.4.2.1).
            self.clear_header("X-Frame-Options")
        return found

    def _find(self, slug: str) -> tuple[ShareLink, Site] | None:
        with reading(self.app_context.engine) as session:
            return find_share_link(session, slug)

    def _may_embed(self, account_id: int) -> bool:
        with reading(self.app_context.engine) as session:
            return has_feature(session, self.app_context.settings, account_id, Feature.EMBEDDING)

    async def look_for_login(self) -> None:
        """Who is logged in makes no difference here: the page says the same to everybody."""


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`; after the routes of a site's other pages, since a domain may have a path."""
    given = {"app_context": app_context}
    return [
        (r"/sites/(?P<domain>[^?]+)", SiteDashboardHandler, given),
        (r"/share/([A-Za-z0-9_-]{1,64})", ShareHandler, given),
    ]
