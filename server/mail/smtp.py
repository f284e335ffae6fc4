"""Mail through an SMTP server (RFC 5321), with the standard library's client.

Invariants:
- a mail leaves in clear only to this machine, or when the URL says `?starttls=never`; a server without STARTTLS gets
  nothing, and its certificate is verified;
- one connection carries one mail, so a refused recipient stops nobody else's;
- once the server has taken the mail nothing can fail any more: how it says goodbye does not matter.
"""

from __future__ import annotations

import contextlib
import ipaddress
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote, urlsplit

from server.mail.transport import MailDeferred, MailRefused, OutgoingMail

SMTP_TIMEOUT_S = 30.0
"""For each step: connecting, and each answer. RFC 5321 allows minutes; a mail can be tried again."""

# RFC 8314 and RFC 6409.
SMTPS_PORT = 465
SUBMISSION_PORT = 587

MAX_REPLY_CHARS = 300


class Security(Enum):
    """How a connection is protected."""

    TLS = "tls"
    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True)
class SmtpServer:
    """What `smtp_url` says."""

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = ""


def smtp_server(url: str) -> SmtpServer:
    """The server of a checked `smtp_url`."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "smtps":
        security = Security.TLS
    elif parts.query == "starttls=never" or _is_loopback(host):
        security = Security.NONE
    else:
        security = Security.STARTTLS
    return SmtpServer(
        host=host,
        port=parts.port or (SMTPS_PORT if security is Security.TLS else SUBMISSION_PORT),
        security=security,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


class SmtpTransport:
    """Sends mails to one server. `own_name` is what we say in EHLO."""

    def __init__(
        self,
        server: SmtpServer,
        own_name: str,
        *,
        timeout_s: float = SMTP_TIMEOUT_S,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._server = server
        self._own_name = own_name
        self._timeout_s = timeout_s
        self._tls = tls

    def send(self, mail: OutgoingMail) -> None:
        """Hand a mail over. Raises `MailRefused`, `MailDeferred`."""
        try:
            client = self._connect()
        except (smtplib.SMTPException, OSError) as error:
            raise MailDeferred(_reason(error)) from error
        try:
            self._prepare(client)
            client.sendmail(mail.from_address, [mail.to_address], mail.content)
        except smtplib.SMTPRecipientsRefused as error:
            code, reply = error.recipients[mail.to_address]
            raise _judged(code, reply) from error
        except smtplib.SMTPDataError as error:
            raise _judged(error.smtp_code, error.smtp_error) from error
        except (smtplib.SMTPException, OSError) as error:
            # A refused sender or login is the operator's to mend: the mail waits for that.
            raise MailDeferred(_reason(error)) from error
        finally:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                client.quit()
            client.close()

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        name, timeout_s = self._own_name, self._timeout_s
        if server.security is Security.TLS:
            return smtplib.SMTP_SSL(server.host, server.port, name, timeout=timeout_s, context=self._tls())
        return smtplib.SMTP(server.host, server.port, name, timeout=timeout_s)

    def _prepare(self, client: smtplib.SMTP) -> None:
        client.ehlo_or_helo_if_needed()
        if self._server.security is Security.STARTTLS:
            client.starttls(context=self._tls())
        if self._server.user:
            client.login(self._server.user, self._server.password)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _judged(code: int, reply: bytes | str) -> Exception:
    words = f"{code} {_text(reply)}"
    return MailRefused(words) if 500 <= code < 600 else MailDeferred(words)


def _reason(error: BaseException) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__}: {error.smtp_code} {_text(error.smtp_error)}"
    return f"{type(error).__name__}: {error}"[:MAX_REPLY_CHARS]


def _text(reply: bytes | str) -> str:
    words = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return " ".join(words.split())[:MAX_REPLY_CHARS]
