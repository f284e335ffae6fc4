"""A real SMTP server on a free loopback port, which takes mails, refuses them, is busy, or drops connections."""

from __future__ import annotations

import asyncio
import contextlib
import email
import ssl
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default as parsing_policy
from pathlib import Path
from typing import Any, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from server.loopback_port import free_port
from tests.services.tls import make_certificate

USER, PASSWORD = "postman", "pass word/1"


@dataclass(frozen=True)
class ReceivedMail:
    """A mail as it came."""

    from_address: str
    to_addresses: list[str]
    was_encrypted: bool
    was_authenticated: bool
    message: EmailMessage


@dataclass
class SmtpServer:
    """What the server does, and what came. A test may change it while the server runs."""

    port: int = 0
    ca_file: Path = Path()
    mails: list[ReceivedMail] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Recipient → answer to RCPT, such as "550 5.1.1 no such user"."""
    sender_answers: deque[str] = field(default_factory=deque)
    """Answers to the next MAIL commands; empty ones accept."""
    answers: deque[str] = field(default_factory=deque)
    """Answers to the next DATA commands; "drop" ends the connection instead of answering."""
    connections: int = 0

    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Count connections."""
        self.connections += 1
        session.host_name = hostname
        return responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take the sender, or give the next answer."""
        answer = self.sender_answers.popleft() if self.sender_answers else ""
        if not answer:
            envelope.mail_from = address
        return answer or "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient, or refuse it."""
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keep the mail, or give the next answer."""
        answer = self.answers.popleft() if self.answers else ""
        assert isinstance(server.transport, asyncio.Transport)
        if answer == "drop":
            server.transport.abort()
            return "421 gone"
        if answer:
            return answer
        assert isinstance(envelope.content, bytes)
        self.mails.append(
            ReceivedMail(
                from_address=str(envelope.mail_from),
                to_addresses=list(envelope.rcpt_tos),
                was_encrypted=server.transport.get_extra_info("ssl_object") is not None,
                was_authenticated=bool(session.authenticated),
                message=email.message_from_bytes(envelope.content, EmailMessage, policy=parsing_policy),
            )
        )
        return "250 taken"


@contextlib.contextmanager
def running_smtp(
    folder: Path, tls: Literal["none", "starttls", "implicit"] = "none", *, wants_login: bool = False
) -> Iterator[SmtpServer]:
    """A server that lives inside the `with`. Its certificate is of 127.0.0.1; `ca_file` vouches for it."""
    state = SmtpServer(port=free_port())
    options: dict[str, Any] = {}
    if tls != "none":
        state.ca_file, key_file = make_certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(state.ca_file, key_file)
        options["tls_context" if tls == "starttls" else "ssl_context"] = context
    if wants_login:
        options |= {"authenticator": _authenticate, "auth_required": True, "auth_require_tls": tls == "starttls"}
    controller = Controller(state, hostname="127.0.0.1", port=state.port, **options)
    controller.start()
    state.mails.clear()
    state.connections = 0
    try:
        yield state
    finally:
        controller.stop()


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
    is_right = isinstance(data, LoginPassword) and data == LoginPassword(USER.encode(), PASSWORD.encode())
    # Not handled: the server itself is to answer a refusal.
    return AuthResult(success=is_right, handled=False)
