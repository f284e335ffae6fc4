"""The lines that a user copies: the snippet for a page, and the `curl` lines that send a hit and read it back."""

from __future__ import annotations

from html import escape

from server.config import Settings

# The file in the data folder that holds the API key of the first start's `curl` line.
LOCAL_KEY_NAME = "local_key"

# A hit from curl's own agent would be counted as a bot.
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def snippet(settings: Settings, domain: str) -> str:
    """What goes into a page's head."""
    source = settings.snippet_base + settings.script_path
    return f'<script defer data-domain="{escape(domain)}" src="{escape(source)}"></script>'


def send_line(settings: Settings, domain: str) -> str:
    """A command that sends one page view."""
    body = f'{{"n":"pageview","u":"http://{domain}/hello","d":"{domain}"}}'
    return f"curl -i -A '{_BROWSER}' -d '{body}' {settings.snippet_base}/api/event"


def read_line(settings: Settings, domain: str) -> str:
    """A command that reads the stored counts back."""
    key = f"$(cat {settings.data_dir / LOCAL_KEY_NAME})"
    return f'curl -H "Authorization: Bearer {key}" "{settings.snippet_base}/api/count?site={domain}"'
