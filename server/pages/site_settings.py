"""A site's settings: its name and time zone, who may see it, what is counted, whose it is, and its end.

Six pages, one per matter. Each form names what it changes in `change`; what a person typed stays in its field when it
is refused. Every change is written to the audit log by what carries it out, and every process is told at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tornado.web import HTTPError

from server.accounts.access import CHANGES_SITE, by_method, member
from server.accounts.errors import FormError, NotAllowed, NotThere
from server.accounts.sessions import AccountPlace
from server.accounts.share_links import add_share_link, list_share_links, remove_share_link
from server.app_database import reading, writing
from server.clock import now_ms
from server.models import MemberRole, ShareLink, Site
from server.pages.page import PageHandler
from server.rate_limit import rate_limit
from server.site_changes import change_embedding, change_timezone, rename_site
from server.site_zones import Zones, zone_names, zones_of


@dataclass(frozen=True)
class Tab:
    """One of the pages: the end of its path, its name, and to whom it is shown. The routes say who gets in."""

    path: str
    name: str
    role: MemberRole = MemberRole.ADMIN
    is_for_guests: bool = False

    def is_shown_to(self, place: AccountPlace) -> bool:
        """Whether somebody with this place has it in their row of tabs."""
        return place.role.rank >= self.role.rank and (self.is_for_guests or not place.is_guest)


TABS = (
    Tab("/settings", "General", is_for_guests=True),
    Tab("/settings/visibility", "Visibility", is_for_guests=True),
    Tab("/settings/counting", "Counting", is_for_guests=True),
    Tab("/settings/reports", "Reports", MemberRole.VIEWER),
    Tab("/settings/people", "People"),
    Tab("/settings/deletion", "Reset, delete"),
    Tab("/install", "Installation", MemberRole.VIEWER, is_for_guests=True),
    Tab("/imports", "Imports"),
)

Change = Callable[[Site, int], Awaitable[tuple[str, str]]]
"""Carries a form out for (site, user); (the site's domain afterwards, what to say)."""


class SettingsPage(PageHandler):
    """The base of the six. `tab` is the end of the path; `changes` says which form is carried out by what."""

    access = by_method(GET=member(MemberRole.ADMIN), POST=member(MemberRole.ADMIN))
    tab: ClassVar[str]

    async def get(self, domain: str) -> None:
        """The page."""
        await self.show_settings()

    @rate_limit("60/m", "600/h")
    async def post(self, domain: str) -> None:
        """Carry out the form that `change` names."""
        login, _ = self.member
        assert self.site is not None
        change = self.changes().get(self.form("change")["change"])
        if change is None:
            raise HTTPError(400, "This form is of another release: load the page again.")
        try:
            name, said = await change(self.site, login.user_id)
        except FormError as error:
            await self.show_settings(error=error)
            return
        except NotThere:
            raise HTTPError(404, "That is not here any more.") from None
        except NotAllowed as refused:
            raise HTTPError(403, str(refused)) from None
        await self.in_thread(self.app_context.announce)
        self.done(f"/sites/{name}/settings{self.tab}", said)

    def changes(self) -> Mapping[str, Change]:
        """By the value of `change`."""
        raise NotImplementedError

    async def show_settings(self, error: FormError | None = None) -> None:
        """Render the page."""
        values = await self.in_thread(self.read)
        _, place = self.member
        tabs = [tab for tab in TABS if tab.is_shown_to(place)]
        self.show(error=error, tab=f"/settings{self.tab}", tabs=tabs, typed=self._typed(error), **values)

    def read(self) -> dict[str, Any]:
        """What the page shows beside the site. Blocks."""
        return {}

    def _typed(self, error: FormError | None) -> Callable[[str, str], str]:
        def typed(name: str, kept: str) -> str:
            """What stands in a field: what was typed when that was refused, else what is kept."""
            return kept if error is None else self.get_body_argument(name, kept, strip=False)

        return typed


class GeneralHandler(SettingsPage):
    """`/sites/<domain>/settings`: name and time zone."""

    access = by_method(GET=CHANGES_SITE, POST=CHANGES_SITE)
    is_open_to_stand_ins = True
    template = "settings_general.html"
    tab = ""

    def changes(self) -> Mapping[str, Change]:
        """See the base."""
        return {"domain": self._rename, "timezone": self._change_timezone}

    async def _rename(self, site: Site, actor: int) -> tuple[str, str]:
        domain = self.form("domain")["domain"]
        return await self.in_thread(rename_site, self.app_context.engine, site.site_id, domain, actor), "site-renamed"

    async def _change_timezone(self, site: Site, actor: int) -> tuple[str, str]:
        timezone = self.form("timezone")["timezone"]
        await self.in_thread(change_timezone, self.app_context.engine, site.site_id, timezone, actor)
        return site.domain, "timezone"

    def read(self) -> dict[str, Any]:
        """See the base."""
        assert self.site is not None
        with reading(self.app_context.engine) as session:
            zones: Zones = zones_of(session, self.site)
        is_known_twice = self.site.former_domain and self.site.former_domain_until_ms > now_ms()
        return {
            "zones": zones,
            "timezones": zone_names(),
            "former_domain": self.site.former_domain if is_known_twice else "",
        }


class VisibilityHandler(SettingsPage):
    """`/sites/<domain>/settings/visibility`: share links, and where they may be embedded."""

    access = by_method(GET=CHANGES_SITE, POST=CHANGES_SITE)
    is_open_to_stand_ins = True
    template = "settings_visibility.html"
    tab = "/visibility"

    def changes(self) -> Mapping[str, Change]:
        """See the base."""
        return {"share": self._share, "unshare": self._unshare, "embedding": self._embed}

    async def _share(self, site: Site, actor: int) -> tuple[str, str]:
        given = self.form("name", "password")

        def add() -> None:
            with writing(self.app_context.engine) as session:
                add_share_link(session, site, given["name"], given["password"], actor)

        await self.in_thread(add)
        return site.domain, "shared"

    async def _unshare(self, site: Site, actor: int) -> tuple[str, str]:
        number = self.form("share_link_id")["share_link_id"]
        if not number.isdecimal() or len(number) > 9:
            raise HTTPError(400, "A link is named by number.")

        def remove() -> None:
            with writing(self.app_context.engine) as session:
                remove_share_link(session, site, int(number), actor)

        await self.in_thread(remove)
        return site.domain, "unshared"

    async def _embed(self, site: Site, actor: int) -> tuple[str, str]:
        origins = self.form("origins")["origins"]
        await self.in_thread(change_embedding, self.app_context.engine, site.site_id, origins, actor)
        return site.domain, "kept"

    def read(self) -> dict[str, Any]:
        """See the base."""
        assert self.site is not None
        with reading(self.app_context.engine) as session:
            links: list[ShareLink] = list(list_share_links(session, self.site.site_id))
        return {"links": links, "base": self.app_context.settings.snippet_base}
