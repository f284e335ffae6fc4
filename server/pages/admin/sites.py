"""`/admin/sites`: finding a site; its page, and blocking it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from server.accounts.blocks import block_of_account, block_of_site, block_site, unblock_site
from server.accounts.errors import FormError, NotThere
from server.accounts.names import names_of
from server.accounts.search import find_sites
from server.clock import now_ms
from server.handler import AppContext
from server.models import Account, AuditEntry, Site
from server.pages.admin.staff_page import StaffPage, unknown_form
from server.rate_limit import rate_limit
from server.sites import GONE_STATES

LOG_ROWS = 20


class SitesHandler(StaffPage):
    """`/admin/sites`"""

    template = "admin/sites.html"
    room = "/admin/sites"

    async def get(self) -> None:
        """The list, or what was looked for."""
        text, before = self.text("q").strip(), self.number("before")
        self.show(q=text, found=await self.read(lambda session: find_sites(session, text, before)), before=before)


class SiteHandler(StaffPage):
    """`/admin/sites/<number>`"""

    template = "admin/site.html"
    room = "/admin/sites"

    async def get(self, site_number: str) -> None:
        """The page."""
        await self._show(int(site_number))

    @rate_limit("60/m")
    async def post(self, site_number: str) -> None:
        """Block or unblock."""
        site_id, given = int(site_number), self.form("change", "reason")
        work = {"block": block_site, "unblock": unblock_site}.get(given["change"])
        services, actor, now = self.app_context.services, self.staff_id, now_ms()
        try:
            if work is None:
                raise unknown_form()
            await self.carry_out(lambda session: work(session, services, site_id, given["reason"], actor, now))
        except FormError as error:
            await self._show(site_id, error)
            return
        await self.tell_fronts()
        self.done(f"/admin/sites/{site_id}", f"{given['change']}ed")

    async def _show(self, site_id: int, error: FormError | None = None) -> None:
        shown = await self.read(lambda session: _read(session, site_id))
        self.show(**shown, error=error, typed=self.form("reason")["reason"])


def _read(session: Session, site_id: int) -> dict[str, Any]:
    site = session.get(Site, site_id)
    if site is None:
        raise NotThere("site")
    # The log names sites by domain; a destroyed one has lost it.
    ours = (AuditEntry.account_id == site.account_id) & (AuditEntry.target == site.domain)
    entries = session.execute(select(AuditEntry).where(ours).order_by(AuditEntry.entry_id.desc()).limit(LOG_ROWS))
    found = entries.scalars().all()
    return {
        "row": site,
        "account": session.get(Account, site.account_id),
        "block": block_of_site(session, site_id),
        "account_block": block_of_account(session, site.account_id),
        "is_gone": site.state in GONE_STATES,
        "entries": found,
        "names": names_of(session, [n for entry in found for n in (entry.actor_user_id, entry.stand_in_user_id)]),
    }


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [(r"/admin/sites", SitesHandler, given), (r"/admin/sites/([0-9]{1,9})", SiteHandler, given)]
