"""Who may read a site's figures: members, guests, API keys with `stats:read` of its account, holders of a share link.

A request names its credentials in this order: `Authorization: Bearer`, else the share link's slug in the header
`X-Footfall-Share` or the query parameter `share`, else the login's cookie. Whoever is not let in gets 404, as if the
site did not exist.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tornado.web import HTTPError

from server.accounts.access import READER, Access
from server.accounts.keys import key_hash
from server.accounts.share_links import find_share_link, is_open
from server.app_database import reading
from server.billing.plans import Feature
from server.handler import BaseHandler
from server.models import Scope, ShareLink, Site
from server.sites import GONE_STATES, find_site

SHARE_HEADER = "X-Footfall-Share"
SHARE_COOKIE = "footfall_share"


@dataclass(frozen=True)
class Reader:
    """Who reads: one of the three is set."""

    user_id: int | None = None
    key_account_id: int | None = None
    share_link_id: int | None = None


class NobodyAdmitted(RuntimeError):
    """A handler was about to answer without having called `admit_reader`. A programming error; nothing was sent."""


class ReaderHandler(BaseHandler):
    """The base of handlers that answer with a site's figures. They call `admit_reader` before anything else."""

    access: ClassVar[Access | Mapping[str, Access]] = READER

    reader: Reader | None = None

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> Future[None]:
        """End the answer. Raises `NobodyAdmitted` rather than answer somebody who was not asked who they are."""
        if self.reader is None and self.get_status() < 400 and self.request.method != "OPTIONS":
            raise NobodyAdmitted(type(self).__name__)
        return super().finish(chunk)

    async def admit_reader(self, domain: str) -> Site:
        """The site, when the caller may read it and its plan has this; sets `reader`. Raises `HTTPError` 401 to 404."""
        site = await self._admit_reader(domain)
        if self.reader is not None and self.reader.key_account_id is not None:
            await self.need_feature(Feature.STATS_API)
        await self.need_plan_features()
        return site

    async def _admit_reader(self, domain: str) -> Site:
        key = self.bearer_key
        if key is not None:
            return await self._admit_reader_key(key, domain)
        slug = self.request.headers.get(SHARE_HEADER) or self.get_query_argument("share", "")
        if slug:
            return await self._admit_share_link(slug, domain)
        login = await self.need_login()
        site = await self.in_thread(find_site, self.app_context.engine, domain)
        place = None
        if site is not None and site.state not in GONE_STATES:
            place = login.place(site.account_id) or await self.find_guest_place(login, site)
        if site is None or place is None:
            raise HTTPError(404, "There is no such site, or you are neither a member of its account nor a guest.")
        self.reader = Reader(user_id=login.user_id)
        self.place, self.site = place, site
        return site

    async def _admit_reader_key(self, key: str, domain: str) -> Site:
        holder = self.app_context.key_holder(key_hash(key))
        if holder is None:
            raise HTTPError(401, "This API key is not valid, or was ended.")
        if Scope.STATS_READ not in holder.scopes:
            raise HTTPError(403, f"This API key lacks the scope {Scope.STATS_READ}.")
        site = await self.in_thread(find_site, self.app_context.engine, domain)
        if site is None or site.state in GONE_STATES or site.account_id != holder.account_id:
            raise HTTPError(404, "The account of this API key has no such site.")
        self.reader = Reader(key_account_id=holder.account_id)
        self.site = site
        return site

    async def _admit_share_link(self, slug: str, domain: str) -> Site:
        found = await self.in_thread(self._find_share_link, slug)
        if found is None or found[1].domain != domain.strip().lower():
            raise HTTPError(404, "This link is not valid any more.")
        link, site = found
        cookie = self.get_cookie(self.cookie_name(f"{SHARE_COOKIE}_{link.share_link_id}"))
        if not is_open(self.app_context.services.secret_key, link, cookie):
            raise HTTPError(401, "This link needs its password.")
        self.reader = Reader(share_link_id=link.share_link_id)
        self.site = site
        return site

    def _find_share_link(self, slug: str) -> tuple[ShareLink, Site] | None:
        with reading(self.app_context.engine) as session:
            return find_share_link(session, slug)

    def rate_key(self) -> str:
        """An API key has limits of its own, wherever it is used from."""
        key = self.bearer_key
        return f"key {key_hash(key)}" if key is not None else super().rate_key()
