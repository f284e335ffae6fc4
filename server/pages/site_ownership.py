"""Whose a site is, and its end: handing it over, resetting it, deleting it and taking that back. Owners alone may."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tornado.web import HTTPError

from server.accounts.access import SIGNED_IN, by_method, member
from server.accounts.errors import LinkInvalid, NotAllowed
from server.app_database import reading
from server.clock import now_ms
from server.handler import AppContext
from server.models import MemberRole, Site
from server.pages.joining import DEAD_LINK
from server.pages.page import PageHandler
from server.pages.site_counting import CountingHandler
from server.pages.site_guests import read_people
from server.pages.site_settings import Change, GeneralHandler, SettingsPage, VisibilityHandler
from server.rate_limit import rate_limit
from server.site_deletion import DELETION_GRACE_MS, ask_for_reset, delete_site, is_being_reset, restore_site
from server.site_transfer import Offer, accept_offer, look_at_offer, offer_site, revoke_offer

OWNERS = by_method(GET=member(MemberRole.ADMIN), POST=member(MemberRole.OWNER))


class PeopleHandler(SettingsPage):
    """`/sites/<domain>/settings/people`: who sees the site, and handing it over to another account.

    The forms about guests go to `server.pages.site_guests`.
    """

    access = OWNERS
    template = "settings_people.html"
    tab = "/people"

    def changes(self) -> Mapping[str, Change]:
        """See the base."""
        return {"offer": self._offer, "revoke": self._revoke}

    async def _offer(self, site: Site, actor: int) -> tuple[str, str]:
        email = self.form("email")["email"]
        await self.in_thread(offer_site, self.app_context.services, site.site_id, email, actor, now_ms())
        return site.domain, "offered"

    async def _revoke(self, site: Site, actor: int) -> tuple[str, str]:
        await self.in_thread(revoke_offer, self.app_context.services, site.site_id, actor)
        return site.domain, "offer-revoked"

    def read(self) -> dict[str, Any]:
        """See the base."""
        assert self.site is not None
        with reading(self.app_context.engine) as session:
            return read_people(session, self.site)


class DeletionHandler(SettingsPage):
    """`/sites/<domain>/settings/deletion`: the one page that a site has while it is being deleted."""

    access = OWNERS
    template = "settings_deletion.html"
    tab = "/deletion"
    shows_deleted_sites = True

    def changes(self) -> Mapping[str, Change]:
        """See the base."""
        return {"reset": self._reset, "delete": self._delete, "restore": self._restore}

    async def _reset(self, site: Site, actor: int) -> tuple[str, str]:
        typed = self.form("reset_domain")["reset_domain"]
        await self.in_thread(ask_for_reset, self.app_context.services, site.site_id, typed, actor)
        return site.domain, "figures-reset"

    async def _delete(self, site: Site, actor: int) -> tuple[str, str]:
        typed = self.form("delete_domain")["delete_domain"]
        await self.in_thread(delete_site, self.app_context.services, site.site_id, typed, actor)
        return site.domain, "deleting"

    async def _restore(self, site: Site, actor: int) -> tuple[str, str]:
        await self.in_thread(restore_site, self.app_context.services, site.site_id, actor)
        return site.domain, "restored"

    def read(self) -> dict[str, Any]:
        """See the base."""
        assert self.site is not None
        with reading(self.app_context.engine) as session:
            return {
                "is_being_reset": is_being_reset(session, self.site.site_id),
                "destroyed_at_ms": self.site.deleted_at_ms + DELETION_GRACE_MS,
            }


class AcceptHandler(PageHandler):
    """`/transfers/accept`: take a site that somebody offered. The link works for the person it was sent to alone."""

    access = by_method(GET=SIGNED_IN, POST=SIGNED_IN)
    template = "transfer.html"

    @rate_limit("30/m")
    async def get(self) -> None:
        """The offer, and the accounts that may take it."""
        self.show(offer=await self._look(), token=self._token)

    @rate_limit("10/m")
    async def post(self) -> None:
        """Take it."""
        assert self.login is not None
        number = self.form("account_id")["account_id"]
        if not number.isdecimal() or len(number) > 9:
            raise HTTPError(400, "Choose the account that the site goes to.")
        services, login = self.app_context.services, self.login
        try:
            domain: str = await self.in_thread(
                accept_offer, services, self._token, login.user_id, int(number), now_ms()
            )
        except LinkInvalid:
            raise HTTPError(410, DEAD_LINK) from None
        except NotAllowed as refused:
            raise HTTPError(403, str(refused)) from None
        await self.in_thread(self.app_context.announce)
        self.done(f"/sites/{domain}/settings/people", "taken")

    @property
    def _token(self) -> str:
        return self.get_argument("token", "")

    async def _look(self) -> Offer:
        assert self.login is not None
        try:
            offer: Offer = await self.in_thread(
                look_at_offer, self.app_context.services, self._token, self.login.user_id, now_ms()
            )
        except LinkInvalid:
            raise HTTPError(410, f"{DEAD_LINK} Or it was sent to another address than {self.login.email}.") from None
        return offer


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`: all pages of a site's settings."""
    given = {"app_context": app_context}
    site = r"/sites/(?P<domain>[^?]+)/settings"
    return [
        (site, GeneralHandler, given),
        (site + r"/visibility", VisibilityHandler, given),
        (site + r"/counting", CountingHandler, given),
        (site + r"/people", PeopleHandler, given),
        (site + r"/deletion", DeletionHandler, given),
        (r"/transfers/accept", AcceptHandler, given),
    ]
