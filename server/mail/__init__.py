"""Mail: rendered from templates, queued with the caller's transaction, sent by tasks.

    with writing(engine) as session:
        mailer.queue(session, "ann@example.com", "reset_password", name="Ann", link=link, expires_in="1 hour")

| module | what |
|---|---|
| `rendering`, `templates/` | what mails say; `TEMPLATES` is what each needs |
| `message` | how one is built |
| `mailer` | `Mailer`: the rows, the tasks, and what becomes of a mail |
| `transport`, `smtp`, `outbox` | where it goes |
"""

from __future__ import annotations

from server.mail.mailer import Mailer, QueuedMail, send_test, watch_mails
from server.mail.message import HeaderRefused
from server.mail.outbox import OUTBOX_MAX_MAILS, OutboxMail, OutboxMailMissing, list_outbox, outbox_dir, read_outbox
from server.mail.rendering import TEMPLATES, ContextMismatch, LinkRefused, UnknownTemplate
from server.mail.transport import MailDeferred, MailRefused

__all__ = [
    "OUTBOX_MAX_MAILS",
    "TEMPLATES",
    "ContextMismatch",
    "HeaderRefused",
    "LinkRefused",
    "MailDeferred",
    "MailRefused",
    "Mailer",
    "OutboxMail",
    "OutboxMailMissing",
    "QueuedMail",
    "UnknownTemplate",
    "list_outbox",
    "outbox_dir",
    "read_outbox",
    "send_test",
    "watch_mails",
]
