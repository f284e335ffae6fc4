"""Backups: where they go, the key that they are encrypted with, how long they are kept."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import urlsplit

from pydantic import BaseModel, field_validator

from server.config.setting import checked_url, setting

BACKUP_KEY_BYTES = 32
_BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")


class BackupSettings(BaseModel):
    """Group `backup`."""

    backup_target: str = setting(
        "",
        "backup",
        "where backups go, a place of this installation alone; empty: none are made",
        "empty, the absolute path of a folder, or s3://bucket/prefix without credentials",
        hidden="password",
    )
    backup_key: str = setting(
        "",
        "backup",
        "encrypts backups before they leave; `footfall backup key` makes one. Whoever loses it has lost every backup",
        "empty, or 32 bytes in base64",
        hidden="whole",
    )
    backup_key_file: str = setting(
        "", "backup", "file with the key, instead of the key itself", "empty, or the path of a file"
    )
    backup_s3_endpoint_url: str = setting(
        "",
        "backup",
        "address of a store that speaks S3; empty: Amazon's",
        "empty, or an http:// or https:// URL without credentials",
        hidden="password",
    )
    backup_s3_region: str = setting(
        "", "backup", "region of the bucket; empty: as AWS's own variables and files say", "empty, or a region's name"
    )
    backup_s3_access_key: str = setting(
        "",
        "backup",
        "access key of S3; empty: as AWS's own variables, files and machine roles say",
        "empty, or an access key with its secret key",
        hidden="whole",
    )
    backup_s3_secret_key: str = setting(
        "", "backup", "the secret of that key", "empty, or the secret of the access key", hidden="whole"
    )
    backup_keep_days: int = setting(
        30,
        "backup",
        "days after which a backup is removed; so long the figures of deleted sites and accounts are still in one",
        "a whole number from 1 to 3650",
        ge=1,
        le=3_650,
    )
    backup_keep_count: int = setting(
        60,
        "backup",
        "backups that are kept at most; the oldest are removed first",
        "a whole number from 1 to 1000",
        ge=1,
        le=1_000,
    )
    backup_safety_hours: int = setting(
        24,
        "backup",
        "age before which nothing is removed that no backup refers to, as it may be part of one that is being made",
        "a whole number from 1 to 720",
        ge=1,
        le=720,
    )

    @field_validator("backup_target")
    @classmethod
    def _target(cls, value: str) -> str:
        if value.startswith("s3://"):
            # A bucket is named in messages and logs: nothing secret may stand before it.
            if not _BUCKET.fullmatch(urlsplit(value).netloc):
                raise ValueError("no bucket")
        elif value and not value.startswith("/"):
            raise ValueError("not such a place")
        return value

    @field_validator("backup_key")
    @classmethod
    def _backup_key(cls, value: str) -> str:
        if value:
            decoded_key(value)
        return value

    @field_validator("backup_s3_endpoint_url")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        if "@" in urlsplit(value).netloc:
            raise ValueError("credentials have settings of their own")
        return checked_url(value, ("http", "https"))


def decoded_key(text: str) -> bytes:
    """The 32 bytes that a text in base64 says. Raises ValueError."""
    try:
        key = base64.b64decode(text.strip(), altchars=b"-_" if set(text) & set("-_") else None, validate=True)
    except binascii.Error:
        raise ValueError("not base64") from None
    if len(key) != BACKUP_KEY_BYTES:
        raise ValueError("not 32 bytes")
    return key
