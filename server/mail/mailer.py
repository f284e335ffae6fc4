"""Queues mails and sends them: a row, a task, one recipient.

A mail is rendered when it is queued, so a wrong template fails where it is called. Its body waits encrypted in the row,
since it may carry a link that opens an account, and is erased once the mail was sent or has failed.

| `mails.state` | body | task |
|---|---|---|
| queued | sealed | waits, runs or will be tried again |
| sent | – | succeeded |
| failed, refused by the server | – | succeeded: a bounce is no fault of ours |
| failed, given up | – | failed or cancelled |
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parseaddr
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from prometheus_client import Counter
from sqlalchemy import Engine, Update, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from server.app_database import reading, writing
from server.config import Settings, checked_address
from server.mail.message import Body, build, new_body
from server.mail.outbox import OutboxTransport, outbox_dir
from server.mail.rendering import render
from server.mail.smtp import SmtpTransport, smtp_server
from server.mail.transport import MailDeferred, MailRefused, OutgoingMail, Transport
from server.metrics import REGISTRY
from server.models import Mail
from server.sealing import SealBroken, seal, unseal
from server.tasks import GivenUp, TaskFailed, TaskQueue, TaskRun, task

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)

MAILS = Counter("footfall_mails", "Attempts to send a mail, by outcome", ["outcome"], registry=REGISTRY)

# Half a day of a mail server's outage: 30 s, 1, 2, 4 … 128 minutes, then every four hours.
SEND_ATTEMPTS = 12
FIRST_DELAY_S = 30.0
LONGEST_DELAY_S = 4 * 3600.0

# Ten steps of a conversation, each with its time limit.
SEND_DEADLINE_S = 300.0

# What became of a mail is written so often, with so long between.
END_ATTEMPTS = 5
END_PAUSE_S = 0.5

# What a page's debug panel is told at most.
MAX_WATCHED = 50

MAX_ERROR_CHARS = 500
_SEALED_FOR = "mail"


@dataclass(frozen=True)
class QueuedMail:
    """A mail that was queued while somebody watched."""

    mail_id: int
    template: str
    subject: str


_WATCHED: ContextVar[list[QueuedMail] | None] = ContextVar("footfall_queued_mails", default=None)


def watch_mails() -> list[QueuedMail]:
    """A list that the mails of this context are added to, also those of threads that run in a copy of it."""
    mails: list[QueuedMail] = []
    _WATCHED.set(mails)
    return mails


class Mailer:
    """Queues and sends mails. For any thread."""

    def __init__(
        self,
        settings: Settings,
        secret_key: str,
        tasks: TaskQueue,
        *,
        transport: Transport | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._settings = settings
        self._secret_key = secret_key
        self._tasks = tasks
        self._transport = transport or configured_transport(settings)
        self._pause = pause

    def queue(
        self,
        session: Session,
        to_address: str,
        template: str,
        *,
        headers: Mapping[str, str] | None = None,
        images: Mapping[str, bytes] | None = None,
        **context: object,
    ) -> int:
        """Queue a mail to one address in the caller's transaction; its number. It is sent after the commit.

        `headers`: further ones, such as List-Unsubscribe. `images`: PNGs by the content id that the template shows.
        Raises ValueError for what is no mail address, `UnknownTemplate`, `ContextMismatch`, `LinkRefused`,
        `HeaderRefused`; then nothing is queued.
        """
        checked_address(to_address)
        now_ms = self._tasks.now_ms()
        rendered = render(template, context, self._settings.snippet_base, now_ms)
        body = new_body(rendered, headers or {}, self._settings.default_from_email, images)
        mail = Mail(to_address=to_address, template=template, subject=rendered.subject, created_at_ms=now_ms)
        session.add(mail)
        session.flush()
        mail.body_sealed = seal(self._secret_key, _SEALED_FOR, body.to_json(), _owner(mail.mail_id))
        # No alert about a mail that was to bring one.
        kind = "mail.send_alert" if template == "alert" else "mail.send"
        self._tasks.enqueue(session, kind, arguments={"mail_id": mail.mail_id})
        watched = _WATCHED.get()
        if watched is not None and len(watched) < MAX_WATCHED:
            watched.append(QueuedMail(mail.mail_id, template, rendered.subject))
        return mail.mail_id

    def send(self, engine: Engine, mail_id: int) -> None:
        """Send a queued mail and record what became of it; nothing when it was sent already, or is gone.

        Raises `MailDeferred` when it is to be tried again, `TaskFailed` when its body cannot be opened.
        """
        with reading(engine) as session:
            mail = session.get(Mail, mail_id)
        if mail is None or mail.state != "queued" or mail.body_sealed is None:
            return
        try:
            content = unseal(self._secret_key, _SEALED_FOR, mail.body_sealed, _owner(mail_id))
        except SealBroken:
            raise TaskFailed("the mail was sealed with another secret key") from None
        message = build(
            Body.from_json(content),
            subject=mail.subject,
            to_address=mail.to_address,
            from_email=self._settings.default_from_email,
            created_at_ms=mail.created_at_ms,
        )
        outgoing = OutgoingMail(
            mail_id=mail_id,
            created_at_ms=mail.created_at_ms,
            from_address=parseaddr(self._settings.default_from_email)[1],
            to_address=mail.to_address,
            content=message.as_bytes(),
        )
        try:
            self._transport.send(outgoing)
        except MailRefused as error:
            self._end(engine, mail_id, "failed", str(error))
            MAILS.labels("refused").inc()
            log.warning("a mail was refused for good", extra={"mail_id": mail_id, "template": mail.template})
        except MailDeferred as error:
            with writing(engine) as session:
                session.execute(_queued(mail_id).values(error=_fit(str(error))))
            MAILS.labels("deferred").inc()
            raise
        else:
            self._end(engine, mail_id, "sent", "")
            MAILS.labels("sent").inc()

    def _end(self, engine: Engine, mail_id: int, state: str, error: str) -> None:
        # What has left must not leave again because the app database is away for a moment.
        for attempt in range(END_ATTEMPTS):
            try:
                with writing(engine) as session:
                    session.execute(_ended(mail_id, state, error, self._tasks.now_ms()))
                return
            except SQLAlchemyError:
                if attempt == END_ATTEMPTS - 1:
                    raise
                self._pause(END_PAUSE_S)


def configured_transport(settings: Settings) -> Transport:
    """The SMTP server of the settings, otherwise the outbox."""
    if settings.smtp_url:
        own_name = urlsplit(settings.snippet_base).hostname or "localhost"
        return SmtpTransport(smtp_server(settings.smtp_url), own_name)
    return OutboxTransport(outbox_dir(settings))


def send_test(services: Services, to_address: str) -> int:
    """Queue the test mail; its number. Blocks."""
    with writing(services.engine) as session:
        return services.mailer.queue(session, to_address, "test")


def _give_up(session: Session, given_up: GivenUp) -> None:
    """The task will not be tried again: the mail has failed. What the server said last is kept."""
    mail_id = given_up.arguments["mail_id"]
    said = session.execute(select(Mail.error).where(Mail.mail_id == mail_id)).scalar()
    error = f"given up: {given_up.reason}" + (f"; {said}" if said else "")
    session.execute(_ended(mail_id, "failed", error, given_up.at_ms))


@task(
    "mail.send",
    attempts=SEND_ATTEMPTS,
    first_delay_s=FIRST_DELAY_S,
    longest_delay_s=LONGEST_DELAY_S,
    deadline_s=SEND_DEADLINE_S,
    on_given_up=_give_up,
)
def send_mail(run: TaskRun, *, mail_id: int) -> None:
    """Send one mail."""
    run.services.mailer.send(run.services.engine, mail_id)


@task(
    "mail.send_alert",
    attempts=SEND_ATTEMPTS,
    first_delay_s=FIRST_DELAY_S,
    longest_delay_s=LONGEST_DELAY_S,
    deadline_s=SEND_DEADLINE_S,
    alerts=False,
    on_given_up=_give_up,
)
def send_alert_mail(run: TaskRun, *, mail_id: int) -> None:
    """Send one mail that brings an alert. Its failure is logged, and raises no further alert."""
    run.services.mailer.send(run.services.engine, mail_id)


def _queued(mail_id: int) -> Update:
    return update(Mail).where(Mail.mail_id == mail_id, Mail.state == "queued")


def _ended(mail_id: int, state: str, error: str, now_ms: int) -> Update:
    return _queued(mail_id).values(state=state, error=_fit(error), body_sealed=None, ended_at_ms=now_ms)


def _owner(mail_id: int) -> str:
    return f"mail {mail_id}"


def _fit(error: str) -> str:
    # PostgreSQL takes no NUL in a text.
    return error.replace("\0", "")[:MAX_ERROR_CHARS]
