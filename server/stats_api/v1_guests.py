"""`/api/v1/sites/guests`: who sees one site without being a member, as Plausible's Sites API knows guests.

As there, asking for a guest who is there changes nothing, not even the role, and removing one who is not is no error.
Plausible's pages say `status` since 2025 and said `accepted` before: both are there.
"""

from __future__ import annotations

from typing import Any

from server.accounts.access import by_method
from server.accounts.guests import (
    GuestLine,
    find_guest,
    guest_lines,
    guests_of,
    invite_guest,
    remove_guest,
)
from server.accounts.users import clean_email
from server.app_database import reading
from server.clock import now_ms
from server.models import Guest, GuestRole
from server.rate_limit import rate_limit
from server.stats_api.api_handler import ApiError
from server.stats_api.cursors import PageAsked, page_of
from server.stats_api.v1_body import SITES_KEY, SitesApiHandler


def _shown(line: GuestLine) -> dict[str, Any]:
    status = "accepted" if line.is_accepted else "invited"
    return {"email": line.email, "role": str(line.role), "status": status, "accepted": line.is_accepted}


class GuestsHandler(SitesApiHandler):
    """`/api/v1/sites/guests`"""

    access = by_method(GET=SITES_KEY, PUT=SITES_KEY)

    async def get(self) -> None:
        """A site's guests and open invitations, page by page."""
        asked = self.page_asked
        site = await self.own_site(self.field({}, "site_id"))
        guests, meta = await self.in_thread(self._page, site.site_id, asked)
        self.write_json({"guests": guests, "meta": meta})

    async def put(self) -> None:
        """The guest or open invitation of this address; an invitation is sent when there is neither."""
        fields = self.fields()
        site = await self.own_site(self.field(fields, "site_id"))
        name = self.field(fields, "role")
        if name not in list(GuestRole):
            raise ApiError(400, "role is viewer or editor.")
        given = self.field(fields, "email")
        email = await self.carry_out(lambda: clean_email(given))
        line = await self.in_thread(self._find, site.site_id, email)
        if line is None:
            await self._count_invitation()
            services, role = self.app_context.services, GuestRole(name)
            line = await self.carry_out(lambda: invite_guest(services, site.site_id, email, role, None, now_ms())[0])
        self.write_json(_shown(line))

    @rate_limit("30/m", "300/h")
    async def _count_invitation(self) -> None:
        """Each is a mail to somebody."""

    def _find(self, site_id: int, email: str) -> GuestLine | None:
        with reading(self.app_context.engine) as session:
            return find_guest(session, site_id, email, now_ms())

    def _page(self, site_id: int, asked: PageAsked) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        with reading(self.app_context.engine) as session:
            guests, meta = page_of(session, guests_of(site_id, now_ms()), Guest.guest_id, asked)
            return [_shown(line) for line in guest_lines(session, guests)], meta


class GuestHandler(SitesApiHandler):
    """`DELETE /api/v1/sites/guests/<email>`"""

    async def delete(self, email: str) -> None:
        """Close the site to this guest at once, or take the invitation back. The person's login stays."""
        site = await self.own_site(self.field(self.fields(), "site_id"))
        services = self.app_context.services

        def work() -> None:
            with reading(services.engine) as session:
                line = find_guest(session, site.site_id, email.strip().lower(), now_ms())
            if line is not None:
                remove_guest(services, site.site_id, line.guest_id, None, now_ms())

        await self.carry_out(work)
        self.write_json({"deleted": True})
