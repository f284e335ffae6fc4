"""The channel of a visit of which an export says source, referrer and campaign: by the rules of live hits."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from urllib.parse import urlencode

import orjson

from rust_ext import PastEvents, channels
from server.imports.past_events import RECORD_HIT
from server.imports.rules import SALT_BYTES, ImportRules

# rust_ext/ingest/src/record.rs
_CHANNEL_OFFSET = 43

# Only the address decides; an agent of people keeps the event from being a bot's.
_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

# What no rule of the site is to keep out.
_TAKES_ALL = {
    "allowed_hostnames": [],
    "drop_bot_mask": 0,
    "spam_filter": False,
    "blocked_networks": [],
    "blocked_countries": [],
    "blocked_paths": [],
}

_REMEMBERED = 50_000

# Names that are no hosts: the core knows them by these.
_SHORT = {"hacker news": "hn"}


class ChannelFinder:
    """See the module."""

    def __init__(self, core: PastEvents, rules: ImportRules) -> None:
        self._core = core
        self._rules = rules
        self._names = dict(channels())
        open_rules = replace(rules, site={**rules.site, **_TAKES_ALL})
        core.apply_snapshot(open_rules.snapshot(bytes(SALT_BYTES), rules.newest_ms, rules.newest_ms))
        self.channel_of = lru_cache(_REMEMBERED)(self._channel_of)

    def _channel_of(self, source: str, referrer: str, medium: str, campaign: str) -> str:
        """The channel's name as stored. A source by its name decides as `utm_source` does."""
        query = {"utm_source": _SHORT.get(source.lower(), source), "utm_medium": medium, "utm_campaign": campaign}
        given = urlencode({name: value for name, value in query.items() if value})
        entry = {
            "n": "pageview",
            "d": self._rules.site["public_id"],
            "u": f"https://{self._rules.domain}/?{given}",
            "r": f"https://{referrer}" if referrer and "://" not in referrer else referrer,
            "user_agent": _AGENT,
        }
        try:
            _, payload = self._core.judge(orjson.dumps(entry), self._rules.newest_ms, self._rules.account_id)
        except ValueError:
            payload = b""
        if payload[:1] != bytes([RECORD_HIT]):
            return "referral" if source or referrer else "direct"
        return self._names[payload[_CHANNEL_OFFSET]]
