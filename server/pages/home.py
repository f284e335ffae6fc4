"""The start page, and a page that carries the first site's snippet."""

from __future__ import annotations

from typing import Any

from server.accounts.access import PUBLIC
from server.accounts.users import has_users
from server.app_database import reading
from server.handler import AppContext
from server.pages.page import PageHandler
from server.sites import list_sites
from server.snippet import send_line, snippet

# How many snippets the start page shows; further ones are in `footfall sites list`.
HOME_PAGE_SITES = 5

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


class HomeHandler(PageHandler):
    """`/`: what to do next. Only a server that this machine alone can reach names its sites to strangers."""

    access = PUBLIC
    template = "home.html"

    async def get(self) -> None:
        """Show the page; whoever is logged in goes to their sites."""
        if await self.find_login() is not None:
            self.redirect("/sites")
            return
        settings = self.app_context.settings
        is_new, domains = await self.in_thread(self._read)
        first = domains[0] if domains else settings.first_site_domain
        self.show(
            is_new=is_new,
            is_sign_up_open=not settings.invite_only,
            snippets=[(domain, snippet(settings, domain)) for domain in domains],
            send_line=send_line(settings, first) if domains else "",
        )

    def _read(self) -> tuple[bool, list[str]]:
        engine = self.app_context.engine
        with reading(engine) as session:
            is_new = not has_users(session)
        if self.app_context.settings.host not in LOOPBACK_HOSTS:
            return is_new, []
        return is_new, [site.domain for site in list_sites(engine)[:HOME_PAGE_SITES]]


class DemoHandler(PageHandler):
    """`/demo`: a page that carries the snippet of the first site."""

    access = PUBLIC
    template = "demo.html"

    def get(self) -> None:
        """Show the page."""
        settings = self.app_context.settings
        self.show(domain=settings.first_site_domain, script_path=settings.script_path)


def routes(app_context: AppContext) -> list[Any]:
    """For `make_application`."""
    given = {"app_context": app_context}
    return [(r"/", HomeHandler, given), (r"/demo(?:/[a-z0-9-]+)?", DemoHandler, given)]
