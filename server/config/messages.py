"""Whom Footfall tells what: mail, alerts, monitors of jobs, error tracking."""

from __future__ import annotations

from email.errors import HeaderParseError
from email.headerregistry import Address
from email.utils import parseaddr
from urllib.parse import urlsplit

from pydantic import BaseModel, field_validator

from server.config.setting import checked_url, entries, setting


class MessageSettings(BaseModel):
    """Groups `mail`, `alerts` and `monitoring`."""

    default_from_email: str = setting(
        "Footfall <footfall@localhost>",
        "mail",
        "sender of every mail",
        "an address, such as Footfall <hello@example.com>",
    )
    smtp_url: str = setting(
        "",
        "mail",
        "server that takes mail; empty: mails become files in the folder `outbox` of the data folder",
        "empty, smtp://user:password@host:587 (STARTTLS, unless host is this machine or ?starttls=never follows) or "
        "smtps://user:password@host:465",
        hidden="password",
    )

    alert_emails: str = setting("", "alerts", "addresses that get every alert", "mail addresses, separated by commas")
    slack_webhook_url: str = setting(
        "", "alerts", "Slack incoming webhook that gets every alert", "empty, or an http(s) URL", hidden="whole"
    )
    sms_webhook_url: str = setting(
        "",
        "alerts",
        'webhook that gets urgent alerts as {"text": "…"}, for a text message',
        "empty, or an http(s) URL",
        hidden="whole",
    )
    alert_repeat_s: int = setting(
        3600,
        "alerts",
        "seconds in which the same alert is counted instead of sent again",
        "a whole number from 60 to 604800",
        ge=60,
        le=604_800,
    )

    monitor_ping_url: str = setting(
        "",
        "monitoring",
        "job runs are reported to <this>/<job>, /start and /fail, as healthchecks.io takes them",
        "empty, or an http(s) URL such as https://hc-ping.com/<ping key>",
        hidden="whole",
    )
    monitor_api_url: str = setting(
        "https://healthchecks.io",
        "monitoring",
        "where `footfall jobs monitors` makes a check for each job",
        "an http(s) URL",
    )
    monitor_api_key: str = setting(
        "", "monitoring", "key of that API; empty: checks are not made", "empty, or a key", hidden="whole"
    )
    sentry_dsn: str = setting(
        "", "monitoring", "Sentry project that gets errors; empty: none", "empty, or a DSN", hidden="whole"
    )
    sentry_traces_sample_rate: float = setting(
        0.008, "monitoring", "share of requests traced in Sentry", "a number from 0 to 1", ge=0, le=1
    )

    @field_validator("default_from_email")
    @classmethod
    def _sender(cls, value: str) -> str:
        name, address = parseaddr(value)
        checked_address(address)
        if "\n" in value or "\r" in value or (name and f"<{address}>" not in value):
            raise ValueError("not a sender")
        return value

    @field_validator("alert_emails")
    @classmethod
    def _addresses(cls, value: str) -> str:
        return ",".join(checked_address(entry) for entry in entries(value))

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, value: str) -> str:
        checked_url(value, ("smtp", "smtps"))
        if value and (not urlsplit(value).hostname or urlsplit(value).query not in ("", "starttls=never")):
            raise ValueError("not such a URL")
        return value

    @field_validator("slack_webhook_url", "sms_webhook_url", "monitor_ping_url", "monitor_api_url", "sentry_dsn")
    @classmethod
    def _web(cls, value: str) -> str:
        return checked_url(value, ("http", "https")).rstrip("/")

    @property
    def alert_addresses(self) -> list[str]:
        """Who gets alerts by mail."""
        return entries(self.alert_emails)


def checked_address(value: str) -> str:
    """A bare mail address, as given. Raises ValueError for anything else.

    RFC 5321 limits: 254 characters in all. What a quoted local part allows beyond a dot-atom is refused: no provider
    gives such an address out, and it would need escaping everywhere.
    """
    try:
        address = Address(addr_spec=value)
    except (HeaderParseError, IndexError) as error:
        raise ValueError("not a mail address") from error
    is_plain = value.isascii() and not any(sign in value for sign in '"(),:;<>[]\\ \t\r\n')
    if not is_plain or not address.username or not address.domain or len(value) > 254:
        raise ValueError("not a mail address")
    return value
