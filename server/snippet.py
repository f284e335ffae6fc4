"""The lines that a user copies: the snippet for a page, and the `curl` lines that send a hit and read it back."""

from __future__ import annotations

from html import escape
from urllib.parse import urlsplit

from server.config import Settings
from server.config.front import EVENT_PATH

# The file in the data folder that holds the API key of the first start's `curl` line.
LOCAL_KEY_NAME = "local_key"

LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))

# A hit from curl's own agent would be counted as a bot.
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def snippet(settings: Settings, domain: str, *, base_url: str | None = None, respects_gpc: bool = False) -> str:
    """What goes into a page's head. `base_url`: where the script is, if not at the public address.

    Where Footfall itself is on this machine only, the pages that it can count are here too: then the script is told to
    count on localhost.
    """
    base = settings.snippet_base if base_url is None else base_url
    attributes = [f'data-domain="{escape(domain)}"']
    if settings.event_path != EVENT_PATH:
        attributes.append(f'data-api="{escape(settings.event_path)}"')
    if respects_gpc:
        attributes.append("data-gpc")
    if urlsplit(base).hostname in LOOPBACK_NAMES:
        attributes.append("data-local")
    return f'<script defer {" ".join(attributes)} src="{escape(base + settings.script_path)}"></script>'


def send_line(settings: Settings, domain: str) -> str:
    """A command that sends one page view."""
    body = f'{{"n":"pageview","u":"http://{domain}/hello","d":"{domain}"}}'
    return f"curl -i -A '{_BROWSER}' -d '{body}' {settings.snippet_base}/api/event"


def read_line(settings: Settings, domain: str) -> str:
    """A command that reads the stored counts back."""
    key = f"$(cat {settings.data_dir / LOCAL_KEY_NAME})"
    return f'curl -H "Authorization: Bearer {key}" "{settings.snippet_base}/api/count?site={domain}"'
