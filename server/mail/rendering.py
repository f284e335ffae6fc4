"""Turns a template and its context into subject, text and HTML.

`templates/<name>.txt` begins with its subject line, `templates/<name>.html` stands in `layout.html`. Both are Tornado
templates; in HTML everything is escaped. What a mail needs is in `TEMPLATES`, and a mail with anything else is refused.

Invariants:
- no value can add a header or a line: control characters and those that turn the reading direction become spaces;
- a name that somebody chose, and any text in a list, is no link: nobody sends a link of his own through our mails;
- a link leads to http or https.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tornado.template import Loader

from server.clock import time_text

TEMPLATES_DIR = Path(__file__).with_name("templates")

TEMPLATES: Mapping[str, frozenset[str]] = {
    name: frozenset(names.split())
    for name, names in {
        "test": "",
        "confirm_email": "link expires_in",
        "already_registered": "login_link reset_link",
        "reset_password": "name link expires_in",
        "change_email": "name link expires_in",
        "email_change_notice": "name login_link",
        "invitation": "inviter account_name role link expires_in",
        "guest_invitation": "inviter site_name may link expires_in",
        "site_offer": "inviter site_name account_name link expires_in",
        "plan_changed": "name account_name plan former_plan monthly_events reason billing_link",
        "account_deletion": "name account_name what sentence deletion_link",
        "account_destroyed": "name account_name sentence",
        "payment_failed": "name account_name plan until billing_link",
        "site_report": (
            "site_name period is_partial visitors figures pages sources vitals days chart_text why "
            "dashboard_link footer_label footer_link"
        ),
        "confirm_reports": "inviter account_name site_name kinds link expires_in",
        "traffic_alert": "site_name headline explanation at_ms dashboard_link footer_label footer_link",
        "staff_report": "day figures drops failures admin_link",
        "capacity_warning": "name account_name plan counted_events monthly_events outlook usage_link billing_link",
        "capacity_depleted": "name account_name plan counted_events monthly_events outlook usage_link billing_link",
        "new_login": "name at_ms device country sessions_link reset_link",
        "password_changed": "name login_link reset_link",
        "two_factor_changed": "name state reset_link",
        "blocked": "name account_name state reason",
        "announcement": "heading announcement why",
        "alert": "kind summary detail at_ms repeated is_urgent",
    }.items()
}
"""Each template and what it is rendered with. All get `public_url` and `time`: of `at_ms`, or of queueing."""

# The width of the column.
MAX_SUBJECT_CHARS = 300

# Long enough for any name; a longer one is a text that somebody wants to send through us.
MAX_VALUE_CHARS = 300

# The only value of several lines; it is ours.
_MULTILINE = frozenset(("detail",))
_LISTED = "listed"
_NAMES = frozenset(("name", "inviter", "account_name", "site_name", "device", _LISTED))

# Control characters, line and paragraph separators, and marks that change the reading direction.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
_UNSEEN_BUT_LINES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")
# What mail programs take for the joint of an address.
_JOINT = re.compile(r"(?<=\S)([.:@/])(?=\S)")
_WORD_JOINER = "\u2060"

_TEXTS = Loader(str(TEMPLATES_DIR), autoescape=None)
_PAGES = Loader(str(TEMPLATES_DIR), autoescape="xhtml_escape")


class UnknownTemplate(KeyError):
    """There is no such template. A programming error; nothing was queued."""


class ContextMismatch(TypeError):
    """A template lacks a value, or got one that it does not know. A programming error; nothing was queued."""


class LinkRefused(ValueError):
    """A link in a mail is not http or https. Nothing was queued."""


@dataclass(frozen=True)
class Rendered:
    """A mail's content."""

    subject: str
    text: str
    html: str


def render(template: str, context: Mapping[str, object], public_url: str, now_ms: int) -> Rendered:
    """Render a mail. Raises `UnknownTemplate`, `ContextMismatch`, `LinkRefused`."""
    try:
        expected = TEMPLATES[template]
    except KeyError:
        raise UnknownTemplate(f"there is no mail template {template!r}") from None
    if context.keys() != expected:
        missing, unexpected = sorted(expected - context.keys()), sorted(context.keys() - expected)
        raise ContextMismatch(f"mail template {template!r}: missing {missing}, unexpected {unexpected}")
    values = {name: _cleaned(name, value) for name, value in context.items()}
    values |= {"public_url": public_url, "time": _time_text(values.get("at_ms", now_ms))}
    text = _TEXTS.load(f"{template}.txt").generate(**values).decode()
    first, _, rest = text.partition("\n")
    subject = _UNSEEN.sub(" ", first.removeprefix("Subject:")).strip()[:MAX_SUBJECT_CHARS]
    html = _PAGES.load(f"{template}.html").generate(subject=subject, **values).decode()
    return Rendered(subject, rest.strip() + "\n", html)


def cleaned_lines(text: str) -> str:
    """A text of several lines without control characters and marks that turn the reading direction."""
    return _UNSEEN_BUT_LINES.sub(" ", text)


def _time_text(at_ms: object) -> str:
    """A time as mails say it. Raises `ContextMismatch` for what is no time."""
    if not isinstance(at_ms, int):
        raise ContextMismatch("at_ms of a mail is a whole number of milliseconds")
    return time_text(at_ms)


def _cleaned(name: str, value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _cleaned(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        # Rows of a table: pages and sources are called what a visitor's browser said.
        return [_cleaned(_LISTED, each) for each in value]
    if not isinstance(value, str):
        return value
    if name.endswith("link"):
        if urlsplit(value).scheme not in ("http", "https") or _UNSEEN.search(value) or " " in value:
            raise LinkRefused(f"{name} of a mail is no http(s) link")
        return value
    if name in _MULTILINE:
        return cleaned_lines(value)
    cleaned = _UNSEEN.sub(" ", value).strip()[:MAX_VALUE_CHARS]
    return _JOINT.sub(rf"\1{_WORD_JOINER}", cleaned) if name in _NAMES else cleaned
