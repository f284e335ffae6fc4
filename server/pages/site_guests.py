"""Guests of one site: inviting them, the link that they accept by, and leaving again. `server.accounts.guests` has the
rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session
from tornado.web import HTTPError

from server.accounts.access import SEES_SITE, by_method, member
from server.accounts.errors import FormError, NotThere
from server.accounts.guests import (
    MEANINGS,
    accept_guest_as_new,
    accept_guest_as_user,
    change_guest_role,
    invite_guest,
    leave_site,
    list_guests,
    look_at_guest_invitation,
    remove_guest,
)
from server.app_database import reading
from server.clock import now_ms
from server.handler import AppContext
from server.models import GuestRole, MemberRole, Site
from server.pages.joining import InvitationPage
from server.pages.page import PageHandler
from server.pages.site_settings import Change, SettingsPage
from server.rate_limit import rate_limit
from server.site_transfer import open_offer


def read_people(session: Session, site: Site) -> dict[str, Any]:
    """What `settings_people.html` shows beside the site."""
    return {
        "offer": open_offer(session, site.site_id, now_ms()),
        "guests": list_guests(session, site.site_id, now_ms()),
        "guest_roles": GuestRole,
        "meanings": MEANINGS,
    }


class GuestsHandler(SettingsPage):
    """`/sites/<domain>/settings/people/guests`: the page about people, with the forms about guests."""

    access = by_method(GET=member(MemberRole.ADMIN), POST=member(MemberRole.ADMIN))
    template = "settings_people.html"
    tab = "/people"

    def changes(self) -> Mapping[str, Change]:
        """See the base."""
        return {"invite": self._invite, "guest-role": self._change_role, "remove": self._remove}

    async def _invite(self, site: Site, actor: int) -> tuple[str, str]:
        email, role = self.form("guest_email")["guest_email"], self._role
        services = self.app_context.services
        await self._count_invitation()
        try:
            _, is_new = await self.in_thread(invite_guest, services, site.site_id, email, role, actor, now_ms())
        except FormError as refused:
            raise FormError("guest_email", refused.message) from None
        if not is_new:
            raise FormError("guest_email", "This person is in the list already.")
        return site.domain, "invited"

    @rate_limit("20/m", "100/h")
    async def _count_invitation(self) -> None:
        """Each is a mail to somebody."""

    async def _change_role(self, site: Site, actor: int) -> tuple[str, str]:
        services = self.app_context.services
        await self.in_thread(change_guest_role, services, site.site_id, self._guest_id, self._role, actor, now_ms())
        return site.domain, "role"

    async def _remove(self, site: Site, actor: int) -> tuple[str, str]:
        services = self.app_context.services
        await self.in_thread(remove_guest, services, site.site_id, self._guest_id, actor, now_ms())
        return site.domain, "guest-removed"

    def read(self) -> dict[str, Any]:
        """See the base."""
        assert self.site is not None
        with reading(self.app_context.engine) as session:
            return read_people(session, self.site)

    @property
    def _role(self) -> GuestRole:
        try:
            return GuestRole(self.form("role")["role"])
        except ValueError:
            raise HTTPError(400, "A guest is viewer or editor.") from None

    @property
    def _guest_id(self) -> int:
        number = self.form("guest_id")["guest_id"]
        if not number.isdecimal() or len(number) > 9:
            raise HTTPError(400, "A guest is named by number.")
        return int(number)


class GuestInvitationHandler(InvitationPage):
    """`/guests/accept`: for people with a login, and for new ones."""

    path = "/guests/accept"

    async def look(self) -> dict[str, Any]:
        """See the base."""
        offer = await self.follow(look_at_guest_invitation)
        lead = f"You were invited as {offer.role}, with the address {offer.email}: you may {MEANINGS[offer.role]}."
        return {"offer": offer, "title": f"See {offer.domain}", "lead": lead, "verb": "Accept"}

    async def accept_as_user(self, user_id: int) -> None:
        """See the base."""
        domain = await self.follow(accept_guest_as_user, user_id)
        self.redirect(f"/sites/{domain}", status=303)

    async def accept_as_new(self, name: str, password: str) -> None:
        """See the base."""
        user_id, domain = await self.follow(accept_guest_as_new, name, password)
        await self.log_in(user_id)
        self.redirect(f"/sites/{domain}", status=303)


class LeaveSiteHandler(PageHandler):
    """`/sites/<domain>/settings/leave`: a guest may at any time; members leave the account instead."""

    access = by_method(POST=SEES_SITE)

    async def post(self, domain: str) -> None:
        """Leave."""
        login, _ = self.member
        assert self.site is not None
        services, site = self.app_context.services, self.site
        try:
            await self.in_thread(leave_site, services, site.site_id, login.user_id, now_ms())
        except NotThere:
            raise HTTPError(404, "You are no guest of this site.") from None
        self.done("/sites", "guest-left")


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    site = r"/sites/(?P<domain>[^?]+)/settings"
    return [
        (site + r"/people/guests", GuestsHandler, given),
        (site + r"/leave", LeaveSiteHandler, given),
        (r"/guests/accept", GuestInvitationHandler, given),
    ]
