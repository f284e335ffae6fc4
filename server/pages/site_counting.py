"""What of a site is counted: the rules that the ingest core keeps out hits by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.accounts.access import CHANGES_SITE, by_method
from server.countries import country_names
from server.models import Site
from server.pages.site_settings import Change, SettingsPage
from server.site_changes import change_privacy, change_sampling
from server.site_rules import (
    block_address,
    bot_filters,
    change_bot_filter,
    change_countries,
    change_hostnames,
    change_networks,
    change_paths,
    line_of,
)


class CountingHandler(SettingsPage):
    """`/sites/<domain>/settings/counting`"""

    access = by_method(GET=CHANGES_SITE, POST=CHANGES_SITE)
    is_open_to_stand_ins = True
    template = "settings_counting.html"
    tab = "/counting"

    def changes(self) -> Mapping[str, Change]:
        """See the base."""
        return {
            "networks": self._networks,
            "my_address": self._my_address,
            "hostnames": self._hostnames,
            "countries": self._countries,
            "paths": self._paths,
            "bots": self._bots,
            "gpc": self._privacy,
            "sampling": self._sampling,
        }

    async def _networks(self, site: Site, actor: int) -> tuple[str, str]:
        text = self.form("networks")["networks"]
        await self.in_thread(change_networks, self.app_context.engine, site.site_id, text, actor)
        return site.domain, "kept"

    async def _my_address(self, site: Site, actor: int) -> tuple[str, str]:
        address = self.request.remote_ip or ""
        await self.in_thread(block_address, self.app_context.engine, site.site_id, address, actor)
        return site.domain, "my-address"

    async def _hostnames(self, site: Site, actor: int) -> tuple[str, str]:
        text = self.form("hostnames")["hostnames"]
        await self.in_thread(change_hostnames, self.app_context.engine, site.site_id, text, actor)
        return site.domain, "kept"

    async def _countries(self, site: Site, actor: int) -> tuple[str, str]:
        codes = self.get_body_arguments("country")
        await self.in_thread(change_countries, self.app_context.engine, site.site_id, codes, actor)
        return site.domain, "kept"

    async def _paths(self, site: Site, actor: int) -> tuple[str, str]:
        text = self.form("paths")["paths"]
        await self.in_thread(change_paths, self.app_context.engine, site.site_id, text, actor)
        return site.domain, "kept"

    async def _bots(self, site: Site, actor: int) -> tuple[str, str]:
        names, spam = self.get_body_arguments("bot"), bool(self.form("spam_filter")["spam_filter"])
        await self.in_thread(change_bot_filter, self.app_context.engine, site.site_id, names, spam, actor)
        return site.domain, "kept"

    async def _privacy(self, site: Site, actor: int) -> tuple[str, str]:
        respects_gpc = bool(self.form("respects_gpc")["respects_gpc"])
        await self.in_thread(change_privacy, self.app_context.engine, site.site_id, respects_gpc, actor)
        return site.domain, "gpc" if respects_gpc else "kept"

    async def _sampling(self, site: Site, actor: int) -> tuple[str, str]:
        every = self.form("sample_every")["sample_every"]
        await self.in_thread(change_sampling, self.app_context.engine, site.site_id, every, actor)
        return site.domain, "kept"

    def read(self) -> dict[str, Any]:
        """See the base."""
        assert self.site is not None
        line = line_of(self.request.remote_ip or "")
        blocked = set(self.site.blocked_countries)
        return {
            "countries": country_names(),
            "blocked_names": [name for code, name in country_names().items() if code in blocked],
            "bots": bot_filters(),
            "my_line": line.removesuffix("/32"),
            "is_my_line_blocked": line in self.site.blocked_networks,
        }
