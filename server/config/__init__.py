"""Every setting of Footfall: a typed environment variable `FOOTFALL_<NAME>` with a default.

Each group of settings is a module; `Settings` is all of them. Invariants:
- one field is one setting: default, meaning and allowed values stand together, and `footfall config` prints them;
- units are part of the name (`_ms`, `_s`, `_bytes`, `_rows`);
- a wrong value raises `SettingError`, whose text is one line naming the setting, the value and what is allowed
  (the command line turns it into exit code 2); a secret's value is never part of that line;
- settings are frozen: what may change while running is `BatchSettings` alone (see `server.batch_settings`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

from server.config.accounts import AccountSettings, Env
from server.config.backup import BackupSettings
from server.config.batch import BatchFileSettings, BatchSettings, Durability
from server.config.billing import BillingSettings, Interval, PlanLimits
from server.config.front import HIT_ENDPOINTS, LISTEN_BACKLOG, NO_PROXIES, FrontSettings
from server.config.imports import ImportSettings
from server.config.messages import MessageSettings, checked_address
from server.config.process import ProcessSettings, Role
from server.config.setting import PREFIX, SettingError
from server.config.stores import StoreSettings

# and the build, the tests and the crash suite read a switch each.
_FOREIGN_NAMES = re.compile(r"FOOTFALL_(SERVICE_.*|PORT_\d+_.*|SKIP_SERVICES|CRASH_ROUNDS|CARGO_PROFILE|CHECKED)")


class Settings(
    ProcessSettings,
    FrontSettings,
    BatchSettings,
    BatchFileSettings,
    StoreSettings,
    AccountSettings,
    BillingSettings,
    ImportSettings,
    BackupSettings,
    MessageSettings,
    BaseSettings,
):
    """All settings, read once from the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    GROUPS: ClassVar[tuple[str, ...]] = (
        "process",
        "front",
        "batches",
        "stores",
        "accounts",
        "billing",
        "imports",
        "backup",
        "mail",
        "alerts",
        "monitoring",
    )

    @property
    def batch(self) -> BatchSettings:
        """The batch settings as the environment has them: where the live reload starts from."""
        return BatchSettings(**{name: getattr(self, name) for name in BatchSettings.model_fields})


@dataclass(frozen=True)
class SettingLine:
    """One setting as `footfall config` shows it; secrets are masked."""

    group: str
    name: str
    value: str
    default: str
    meaning: str
    allowed: str


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process. `overrides` are command-line options; they win over the environment.

    Raises `SettingError` for the first wrong value.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0])
        allowed = str(_extra(Settings.model_fields[field])["allowed"])
        raise SettingError(PREFIX + field.upper(), masked(field, str(first["input"])), allowed) from None


def child_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a child process loads equal settings."""
    ours = {PREFIX + name.upper(): str(getattr(settings, name)) for name in Settings.model_fields}
    return {**{name: value for name, value in environ.items() if name not in ours}, **ours}


def unknown_names(environ: Mapping[str, str]) -> Iterator[str]:
    """A line for each environment variable with our prefix that is no setting: most likely a typing error."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known and not _FOREIGN_NAMES.fullmatch(name):
            near = get_close_matches(name, known, n=1)
            yield f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")


def setting_lines(settings: Settings) -> Iterator[SettingLine]:
    """Every setting with its current value, in the order of `Settings.GROUPS`."""
    fields = sorted(Settings.model_fields.items(), key=lambda item: Settings.GROUPS.index(_extra(item[1])["group"]))
    for name, field in fields:
        extra = _extra(field)
        yield SettingLine(
            group=extra["group"],
            name=PREFIX + name.upper(),
            value=masked(name, str(getattr(settings, name))),
            default=str(field.default),
            meaning=field.description or "",
            allowed=extra["allowed"],
        )


def masked(field: str, value: str) -> str:
    """The value as it may be shown: secrets, and passwords in URLs, become `***`."""
    hidden = _extra(Settings.model_fields[field])["hidden"]
    if not value or not hidden:
        return value
    try:
        parts = urlsplit(value)
        if hidden == "whole" or not (parts.scheme or value.startswith("/")):
            return "***"
        netloc = parts.netloc
        if parts.password is not None:
            user, _, host = netloc.rpartition("@")
            netloc = f"{user.partition(':')[0]}:***@{host}"
        return urlunsplit(parts._replace(netloc=netloc, query="***" if "password" in parts.query else parts.query))
    except ValueError:
        return "***"


def _extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


__all__ = [
    "HIT_ENDPOINTS",
    "LISTEN_BACKLOG",
    "NO_PROXIES",
    "PREFIX",
    "BatchSettings",
    "Durability",
    "Env",
    "Interval",
    "PlanLimits",
    "Role",
    "SettingError",
    "SettingLine",
    "Settings",
    "checked_address",
    "child_environment",
    "load_settings",
    "masked",
    "setting_lines",
    "unknown_names",
]
