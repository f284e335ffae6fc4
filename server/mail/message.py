"""A mail as it travels: from its content to the bytes of RFC 5322, the same at every attempt.

Invariants:
- the Message-ID is made once, when the mail is queued, and everything else follows from it and the row: whoever gets a
  mail twice gets the same bytes;
- a header has one line: `EmailMessage` refuses line ends, and so does `checked_headers` before anything is queued.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import parseaddr

import orjson

from server.mail.rendering import Rendered

_HEADER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,75}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{1,900}")

# Ours, or of those that carry the parts.
_TAKEN = re.compile(
    r"(from|sender|reply-to|to|cc|bcc|subject|date|message-id|mime-version|auto-submitted|content-.*|return-path"
    r"|received|dkim-signature|resent-.*)",
    re.IGNORECASE,
)


class HeaderRefused(ValueError):
    """An extra header of a mail is malformed, or one that Footfall sets itself. Nothing was queued."""


@dataclass(frozen=True)
class Body:
    """What is sealed in the row until the mail is sent."""

    message_id: str
    text: str
    html: str
    headers: dict[str, str] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    """PNGs in base64, by the content id that the HTML names after `cid:`."""

    def to_json(self) -> bytes:
        """For sealing."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_json(cls, content: bytes) -> Body:
        """What `to_json` made."""
        return cls(**orjson.loads(content))


def new_body(
    rendered: Rendered, headers: Mapping[str, str], from_email: str, images: Mapping[str, bytes] | None = None
) -> Body:
    """A body with a Message-ID of its own. `images`: PNGs by content id. Raises `HeaderRefused`."""
    domain = parseaddr(from_email)[1].rpartition("@")[2]
    return Body(
        message_id=f"<{secrets.token_hex(16)}@{domain}>",
        text=rendered.text,
        html=rendered.html,
        headers=checked_headers(headers),
        images={name: base64.b64encode(png).decode() for name, png in (images or {}).items()},
    )


def checked_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The extra headers, such as List-Unsubscribe, as given. Raises `HeaderRefused`."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or _TAKEN.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise HeaderRefused(f"the header {name!r} cannot be added to a mail")
    return dict(headers)


def build(body: Body, *, subject: str, to_address: str, from_email: str, created_at_ms: int) -> EmailMessage:
    """The message: text and HTML as alternatives, the images beside the HTML (RFC 2387)."""
    name, address = parseaddr(from_email)
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(display_name=name, addr_spec=address)
    message["To"] = Address(addr_spec=to_address)
    message["Subject"] = subject
    message["Date"] = datetime.fromtimestamp(created_at_ms / 1000, UTC)
    message["Message-ID"] = body.message_id
    # RFC 3834: nobody answers an automatic mail automatically. Exchange asks for a header of its own.
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    for header, value in body.headers.items():
        message[header] = value
    # Readable on the way everywhere, without 8BITMIME and without lines that are too long.
    message.set_content(body.text, cte="quoted-printable")
    message.add_alternative(body.html, subtype="html", cte="quoted-printable")
    message.set_boundary(_boundary(body, ""))
    if body.images:
        *_, html = message.iter_parts()
        assert isinstance(html, MIMEPart)
        for name, png in body.images.items():
            # Inline, and without a file name: programs that list attachments do not list it.
            html.add_related(base64.b64decode(png), "image", "png", cid=f"<{name}>", disposition="inline")
        html.set_boundary(_boundary(body, "images"))
    return message


def _boundary(body: Body, what: str) -> str:
    return "=_" + hashlib.sha256(f"{body.message_id}{what}".encode()).hexdigest()[:32]
