"""The outbox: where mails go without an SMTP server, one `.eml` file each, for the staff page and any mail program.

Files hold links that open accounts: the folder is 0700, each file 0600, and only the newest `OUTBOX_MAX_MAILS` stay. A
file appears whole or not at all. Its name orders it by time and is the same at every attempt.
"""

from __future__ import annotations

import email
import os
import re
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default as parsing_policy
from pathlib import Path

from server.config import Settings
from server.mail.transport import MailDeferred, OutgoingMail

OUTBOX_MAX_MAILS = 200

_NAME = re.compile(r"\d{13}-\d{1,19}\.eml")


class OutboxMailMissing(FileNotFoundError):
    """There is no such mail in the outbox; it may have made room for newer ones."""


@dataclass(frozen=True)
class OutboxMail:
    """A mail in the outbox. `name` is what `read_outbox` takes."""

    name: str
    at_ms: int
    to_address: str
    subject: str
    text: str
    html: str


def outbox_dir(settings: Settings) -> Path:
    """The folder."""
    return settings.data_dir / "outbox"


class OutboxTransport:
    """Writes mails into the folder."""

    def __init__(self, folder: Path, max_mails: int = OUTBOX_MAX_MAILS) -> None:
        self._folder = folder
        self._max_mails = max_mails

    def send(self, mail: OutgoingMail) -> None:
        """Write a mail. Raises `MailDeferred` when the disk does not take it."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            path = self._folder / f"{mail.created_at_ms:013d}-{mail.mail_id}.eml"
            # One name per process; the folder's names decide what is a mail.
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(mail.content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            for name in _names(self._folder)[self._max_mails :]:
                (self._folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise MailDeferred(f"{type(error).__name__}: {error.strerror}") from error


def list_outbox(settings: Settings, limit: int = OUTBOX_MAX_MAILS) -> list[OutboxMail]:
    """The newest mails, newest first. Blocks."""
    mails = []
    for name in _names(outbox_dir(settings))[:limit]:
        try:
            mails.append(read_outbox(settings, name))
        except OutboxMailMissing:
            continue  # it made room meanwhile
    return mails


def read_outbox(settings: Settings, name: str) -> OutboxMail:
    """One mail. Raises `OutboxMailMissing`, also for what is no name of a mail. Blocks."""
    if not _NAME.fullmatch(name):
        raise OutboxMailMissing("that is no name of a mail")
    try:
        content = (outbox_dir(settings) / name).read_bytes()
    except FileNotFoundError:
        raise OutboxMailMissing("there is no such mail") from None
    message = email.message_from_bytes(content, EmailMessage, policy=parsing_policy)
    return OutboxMail(
        name=name,
        at_ms=int(name.partition("-")[0]),
        to_address=str(message["To"]),
        subject=str(message["Subject"]),
        text=_part(message, "plain"),
        html=_part(message, "html"),
    )


def _names(folder: Path) -> list[str]:
    try:
        return sorted((name for name in os.listdir(folder) if _NAME.fullmatch(name)), key=_order, reverse=True)
    except FileNotFoundError:
        return []


def _order(name: str) -> tuple[int, int]:
    created_at_ms, _, mail_id = name.removesuffix(".eml").partition("-")
    return int(created_at_ms), int(mail_id)


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    # A mail's lines end as the network wants it.
    return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""
