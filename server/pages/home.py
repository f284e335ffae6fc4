"""The start page: what Footfall is, or what to do first; and a page that carries the first site's snippet."""

from __future__ import annotations

from typing import Any

from server.accounts.access import PUBLIC
from server.accounts.users import has_users
from server.app_database import reading
from server.billing.plans import PLANS
from server.billing.prices import advertised_prices
from server.demo.rows import find_demo_link
from server.handler import AppContext
from server.pages.page import PageHandler
from server.sites import list_sites
from server.snippet import send_line, snippet

# How many snippets the start page shows; further ones are in `footfall sites list`.
HOME_PAGE_SITES = 5

# Pages that are the same for everybody: a release or a price is seen within minutes.
PUBLIC_CACHE_CONTROL = "public, max-age=300"

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


class HomeHandler(PageHandler):
    """`/`: while nobody has an account, what to do next; then what Footfall is, the same for everybody.

    Only a server that this machine alone can reach names its sites to strangers.
    """

    access = PUBLIC
    template = "landing.html"

    async def get(self) -> None:
        """Show the page; whoever is logged in goes to their sites."""
        # Who is logged in is led elsewhere, so no cache may give them the page of strangers.
        self.set_header("Vary", "Cookie")
        if await self.find_login() is not None:
            self.redirect("/sites")
            return
        is_new, domains, demo_link = await self.in_thread(self._read)
        settings = self.app_context.settings
        if is_new:
            first = domains[0] if domains else settings.first_site_domain
            self.show(
                "home.html",
                snippets=[(domain, snippet(settings, domain)) for domain in domains],
                send_line=send_line(settings, first) if domains else "",
            )
            return
        self.set_header("Cache-Control", PUBLIC_CACHE_CONTROL)
        self.show(
            is_sign_up_open=not settings.invite_only,
            demo_link=demo_link,
            plans=PLANS,
            prices=await self.in_thread(advertised_prices, self.app_context.services),
            snippet=snippet(settings, "example.com"),
        )

    def _read(self) -> tuple[bool, list[str], str | None]:
        engine = self.app_context.engine
        with reading(engine) as session:
            is_new = not has_users(session)
        if not is_new:
            return False, [], find_demo_link(engine)
        if self.app_context.settings.host not in LOOPBACK_HOSTS:
            return True, [], None
        return True, [site.domain for site in list_sites(engine)[:HOME_PAGE_SITES]], None


class DemoHandler(PageHandler):
    """`/demo`: a page that carries the snippet of the first site."""

    access = PUBLIC
    template = "demo.html"

    def get(self) -> None:
        """Show the page."""
        settings = self.app_context.settings
        self.show(domain=settings.first_site_domain, script_path=settings.script_path, event_path=settings.event_path)


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [(r"/", HomeHandler, given), (r"/demo(?:/[a-z0-9-]+)?", DemoHandler, given)]
