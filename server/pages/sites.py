"""Sites: the overview, adding one, and the page that waits for the first hit."""

from __future__ import annotations

import logging
from typing import Any

from clickhouse_driver.errors import Error as ClickHouseError
from tornado.web import HTTPError

from server.accounts.access import SIGNED_IN, key, member
from server.accounts.errors import FormError
from server.embedded import EmbeddedUnavailable
from server.handler import AppContext, BaseHandler
from server.models import MemberRole, Scope, Site
from server.pages.page import PageHandler
from server.rate_limit import rate_limit
from server.sites import SiteError, add_site, find_site, sites_of_accounts
from server.snippet import snippet

log = logging.getLogger(__name__)


class SitesHandler(PageHandler):
    """`/sites`: the sites of every account that one belongs to."""

    access = SIGNED_IN
    template = "sites.html"

    async def get(self) -> None:
        """The page."""
        assert self.login is not None
        places = self.login.places
        numbers = [place.account_id for place in places]
        sites: list[Site] = await self.in_thread(sites_of_accounts, self.app_context.engine, numbers)
        groups = [(place, [site for site in sites if site.account_id == place.account_id]) for place in places]
        if len(places) == 1:
            self.place = places[0]
        self.show(groups=groups)


class NewSiteHandler(PageHandler):
    """`/accounts/<id>/sites/new`"""

    access = member(MemberRole.ADMIN)
    template = "site_new.html"

    def get(self, account_id: str) -> None:
        """The form."""
        self.show(domain="", timezone="")

    @rate_limit("20/m", "100/h")
    async def post(self, account_id: str) -> None:
        """Add the site."""
        login, place = self.member
        given = self.form("domain", "timezone")
        engine = self.app_context.engine
        try:
            site = await self.in_thread(
                lambda: add_site(
                    engine, given["domain"], given["timezone"] or "UTC", place.account_id, actor=login.user_id
                )
            )
        except SiteError as refused:
            error = FormError(refused.field, str(refused))
            self.show(domain=given["domain"], timezone=given["timezone"], error=error)
            return
        await self.in_thread(self.app_context.announce)
        self.redirect(f"/sites/{site.domain}", status=303)


class SiteHandler(PageHandler):
    """`/sites/<domain>`: the snippet, and whether hits arrive."""

    access = member(MemberRole.VIEWER)
    template = "site.html"

    def get(self, domain: str) -> None:
        """The page; a script asks for the first hit."""
        assert self.site is not None
        self.show(snippet=snippet(self.app_context.settings, self.site.domain))


class StoredCount(BaseHandler):
    """The base of what answers how many events of a site are stored."""

    async def answer_count(self, site: Site) -> None:
        """Answer with counts by kind of event. 503 while the event store does not answer."""
        try:
            counts = await self.in_thread(self.app_context.count, site.site_id)
        except (OSError, EOFError, EmbeddedUnavailable, ClickHouseError) as error:
            log.warning("a count was not answered: %s", type(error).__name__)
            raise HTTPError(503, "The event store does not answer; try again in a moment.") from None
        self.write_json({"site": site.domain, **counts})


class FirstHitHandler(StoredCount):
    """`GET /api/sites/<domain>/count`: what the page of a new site asks every two seconds."""

    access = member(MemberRole.VIEWER)

    async def get(self, domain: str) -> None:
        """Answer with counts by kind of event."""
        assert self.site is not None
        await self.answer_count(self.site)


class CountHandler(StoredCount):
    """`GET /api/count?site=<domain>`: how many events of a site are stored, to holders of a key of its account."""

    access = key(Scope.STATS_READ)

    @rate_limit("600/m")
    async def get(self) -> None:
        """Answer with counts by kind of event."""
        site = await self.in_thread(find_site, self.app_context.engine, self.get_query_argument("site"))
        if site is None or site.account_id != self.key_account_id:
            raise HTTPError(404, "This account has no such site.")
        await self.answer_count(site)


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/sites", SitesHandler, given),
        (r"/accounts/(?P<account_id>[0-9]{1,9})/sites/new", NewSiteHandler, given),
        (r"/sites/(?P<domain>[^?]+)", SiteHandler, given),
        (r"/api/sites/(?P<domain>[^?]+)/count", FirstHitHandler, given),
        (r"/api/count", CountHandler, given),
    ]
