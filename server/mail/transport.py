"""Where a finished mail goes: an SMTP server, or the outbox folder. And how that can fail.

| error | means | the mail |
|---|---|---|
| `MailRefused` | the server will not take this mail for this recipient | has failed; the others go on |
| `MailDeferred` | the server cannot be reached, is busy, or is set up wrongly | is tried again later |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class MailRefused(Exception):
    """A permanent refusal (5xx) of the recipient or the content: a bounce. The text is the server's."""


class MailDeferred(Exception):
    """The mail was not taken this time. The text says why and may name the server, never a secret."""


@dataclass(frozen=True)
class OutgoingMail:
    """A mail to one address."""

    mail_id: int
    created_at_ms: int
    from_address: str
    to_address: str
    content: bytes


class Transport(Protocol):
    """What sends mails. For any thread."""

    def send(self, mail: OutgoingMail) -> None:
        """Hand a mail over. Raises `MailRefused`, `MailDeferred`."""
