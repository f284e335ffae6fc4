"""`/api/v1/sites`: Plausible's Sites API, as far as it is about sites and their share links.

Numbers and `deleted` are numbers and truth values, as Plausible's service sends them, not the texts that its pages
print. Changes by a key have no person in the audit log; the account is named.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from server.accounts.access import by_method
from server.accounts.errors import FormError
from server.accounts.share_links import add_share_link, list_share_links
from server.app_database import reading, writing
from server.clock import now_ms
from server.models import Account, ShareLink, Site
from server.queries.errors import QueryFailed, QueryRefused
from server.queries.event_reader import Ticket
from server.queries.filter_values import PROP_NAMES
from server.queries.parsing import parse_date_range
from server.site_changes import change_timezone, rename_site
from server.site_deletion import delete_site
from server.sites import GONE_STATES, SiteError, add_site
from server.stats_api.api_handler import ApiError
from server.stats_api.cursors import PageAsked, page_of
from server.stats_api.stats import Stats
from server.stats_api.v1_body import SITES_KEY, SitesApiHandler

PROPERTIES_SINCE = "30d"
MOST_PROPERTIES = 100
LONGEST_PROPERTY_BYTES = 300
"""Of a name, as the ingest core takes it: `prop_key_bytes` in rust_ext/ingest/src/payload."""


def _shown(site: Site) -> dict[str, Any]:
    return {"domain": site.domain, "timezone": site.timezone}


async def properties_of(stats: Stats, site: Site) -> list[str]:
    """Names of the custom properties of the last 30 days, the most used first; none while the event store is away."""

    def names() -> list[str]:
        facts = stats.engine.site_facts(site, now_ms())
        range_ = parse_date_range(PROPERTIES_SINCE, facts)
        found = stats.engine.suggestions(facts, range_, PROP_NAMES, limit=MOST_PROPERTIES, ticket=Ticket())
        return [str(each["value"]) for each in found]

    try:
        return await stats.run(names)
    except (QueryFailed, QueryRefused):
        return []


class SiteListHandler(SitesApiHandler):
    """`/api/v1/sites`"""

    access = by_method(GET=SITES_KEY, POST=SITES_KEY)

    async def get(self) -> None:
        """The account's sites, page by page."""
        asked = self.page_asked
        team = self.get_query_argument("team_id", "")
        await self.limit_rate()
        sites, meta = await self.in_thread(self._page, asked, team)
        self.write_json({"sites": sites, "meta": meta})

    async def post(self) -> None:
        """A new site."""
        fields = self.fields()
        domain = self.field(fields, "domain")
        timezone = str(fields.get("timezone") or "Etc/UTC")
        account_id = self.key_account_id
        assert account_id is not None
        if fields.get("team_id") not in (None, "", str(account_id)):
            raise ApiError(404, "This API key belongs to another team.")
        await self.limit_rate()
        try:
            site = await self.in_thread(add_site, self.app_context.engine, domain, timezone, account_id)
        except SiteError as refused:
            raise ApiError(400, f"{refused.field}: {refused}") from None
        await self.in_thread(self.app_context.announce)
        self.write_json(_shown(site))

    def _page(self, asked: PageAsked, team: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        theirs = select(Site).where((Site.account_id == self.key_account_id) & Site.state.not_in(GONE_STATES))
        if team and team != str(self.key_account_id):
            theirs = theirs.where(Site.site_id.is_(None))
        with reading(self.app_context.engine) as session:
            sites, meta = page_of(session, theirs, Site.site_id, asked)
        return [_shown(site) for site in sites], meta


class SiteItemHandler(SitesApiHandler):
    """`/api/v1/sites/<domain>`"""

    access = by_method(GET=SITES_KEY, PUT=SITES_KEY, DELETE=SITES_KEY)

    async def get(self, domain: str) -> None:
        """One site, with the custom properties of the last 30 days; none while the event store is away."""
        site = await self.own_site(domain)
        self.write_json({**_shown(site), "custom_properties": await properties_of(self.app_context.stats, site)})

    async def put(self, domain: str) -> None:
        """Another domain, another time zone."""
        fields = self.fields()
        site = await self.own_site(domain)
        if not fields.get("domain") and not fields.get("timezone"):
            raise ApiError(400, "The parameter domain is needed.")
        engine = self.app_context.engine
        shown = _shown(site)
        if fields.get("timezone"):
            shown["timezone"] = timezone = str(fields["timezone"])
            await self.carry_out(lambda: change_timezone(engine, site.site_id, timezone, None))
        if fields.get("domain"):
            wanted = self.field(fields, "domain")
            shown["domain"] = await self.carry_out(lambda: rename_site(engine, site.site_id, wanted, None))
        await self.in_thread(self.app_context.announce)
        self.write_json(shown)

    async def delete(self, domain: str) -> None:
        """Gone at once; destroyed in two days, until when an owner may take it back."""
        site = await self.own_site(domain)
        services = self.app_context.services
        await self.carry_out(lambda: delete_site(services, site.site_id, site.domain, None))
        await self.in_thread(self.app_context.announce)
        self.write_json({"deleted": True})


class TeamsHandler(SitesApiHandler):
    """`GET /api/v1/sites/teams`: the account of the key."""

    async def get(self) -> None:
        """One team."""
        await self.limit_rate()
        name = await self.in_thread(self._name)
        team = {"id": str(self.key_account_id), "name": name, "api_available": True}
        self.write_json({"teams": [team], "meta": {"after": None, "before": None, "limit": self.page_asked.limit}})

    def _name(self) -> str:
        assert self.key_account_id is not None
        with reading(self.app_context.engine) as session:
            return session.get_one(Account, self.key_account_id).name


class SharedLinksHandler(SitesApiHandler):
    """`PUT /api/v1/sites/shared-links`"""

    async def put(self) -> None:
        """The link of this name; made when there is none."""
        fields = self.fields()
        site = await self.own_site(self.field(fields, "site_id"))
        name = self.field(fields, "name")
        link = await self.carry_out(lambda: self._find_or_add(site, name))
        base = self.app_context.settings.snippet_base
        self.write_json({"name": link.name, "url": f"{base}/share/{link.slug}"})

    def _find_or_add(self, site: Site, name: str) -> ShareLink:
        with writing(self.app_context.engine) as session:
            # The site's row stands for its links: of two that look for a name at once, one waits.
            if session.get(Site, site.site_id, with_for_update=True) is None:
                raise FormError("site_id", "This site is gone.")
            found = next((link for link in list_share_links(session, site.site_id) if link.name == name), None)
            return found or add_share_link(session, site, name, "", None)


class CustomPropsHandler(SitesApiHandler):
    """`/api/v1/sites/custom-props`

    Plausible shows the properties of a list; here every property of an event is kept and shown, so asking for one
    changes nothing, and none can be taken off a list.
    """

    access = by_method(GET=SITES_KEY, PUT=SITES_KEY)

    async def get(self) -> None:
        """Those that came lately."""
        site = await self.own_site(self.field({}, "site_id"))
        names = await properties_of(self.app_context.stats, site)
        self.write_json({"custom_properties": [{"property": name} for name in names]})

    async def put(self) -> None:
        """Whether events may carry it: any name that is short enough."""
        fields = self.fields()
        await self.own_site(self.field(fields, "site_id"))
        if len(self.field(fields, "property").encode()) > LONGEST_PROPERTY_BYTES:
            raise ApiError(400, f"property: a name may have {LONGEST_PROPERTY_BYTES} bytes.")
        self.write_json({"created": True})
