"""Sites: the overview, adding one, and how much of one is stored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from clickhouse_driver.errors import Error as ClickHouseError
from tornado.web import HTTPError

from server.accounts.access import SIGNED_IN, key, member
from server.accounts.errors import FormError
from server.accounts.guests import guest_sites
from server.accounts.sessions import AccountPlace
from server.app_database import reading
from server.embedded import EmbeddedUnavailable
from server.handler import AppContext, BaseHandler
from server.models import MemberRole, Scope, Site
from server.pages.built_assets import entry
from server.pages.page import PageHandler
from server.rate_limit import rate_limit
from server.sites import GONE_STATES, SiteError, add_site, deleted_sites_of_accounts, find_site, sites_of_accounts

log = logging.getLogger(__name__)


class SitesHandler(PageHandler):
    """`/sites`: the sites of every account that one belongs to, and those that one is a guest of."""

    access = SIGNED_IN
    template = "sites.html"

    def capacity_places(self) -> Sequence[AccountPlace]:
        """All of them."""
        return () if self.login is None else self.login.places

    async def get(self) -> None:
        """The page."""
        assert self.login is not None
        places = self.login.places
        numbers = [place.account_id for place in places]
        sites: list[Site] = await self.in_thread(sites_of_accounts, self.app_context.engine, numbers)
        gone: list[Site] = await self.in_thread(deleted_sites_of_accounts, self.app_context.engine, numbers)
        groups = [(place, [site for site in sites if site.account_id == place.account_id]) for place in places]
        invited_to: list[Site] = await self.in_thread(self._guest_sites)
        if len(places) == 1:
            self.place = places[0]
        may_restore = {place.account_id for place in places if place.role.rank >= MemberRole.ADMIN.rank}
        deleted = [site for site in gone if site.account_id in may_restore]
        self.show(groups=groups, invited_to=invited_to, deleted=deleted, entry=entry("src/overview.ts"))

    def _guest_sites(self) -> list[Site]:
        assert self.login is not None
        with reading(self.app_context.engine) as session:
            return guest_sites(session, self.login.user_id)


class NewSiteHandler(PageHandler):
    """`/accounts/<id>/sites/new`"""

    access = member(MemberRole.ADMIN)
    template = "site_new.html"
    is_open_to_stand_ins = True

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
        self.redirect(f"/sites/{site.domain}/install", status=303)


class CountHandler(BaseHandler):
    """`GET /api/count?site=<domain>`: how many events of a site are stored, to holders of a key of its account."""

    access = key(Scope.STATS_READ)

    @rate_limit("600/m")
    async def get(self) -> None:
        """Answer with counts by kind of event."""
        site = await self.in_thread(find_site, self.app_context.engine, self.get_query_argument("site"))
        if site is None or site.state in GONE_STATES or site.account_id != self.key_account_id:
            raise HTTPError(404, "This account has no such site.")
        try:
            counts = await self.in_thread(self.app_context.count, site.site_id)
        except (OSError, EOFError, EmbeddedUnavailable, ClickHouseError) as error:
            log.warning("a count was not answered", extra={"reason": type(error).__name__})
            raise HTTPError(503, "The event store does not answer; try again in a moment.") from None
        self.write_json({"site": site.domain, **counts})


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [
        (r"/sites", SitesHandler, given),
        (r"/accounts/(?P<account_id>[0-9]{1,9})/sites/new", NewSiteHandler, given),
        (r"/api/count", CountHandler, given),
    ]
