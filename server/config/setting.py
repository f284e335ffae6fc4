"""What a setting consists of: a typed default, group, meaning and what is allowed; and the error of a wrong one."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

PREFIX = "FOOTFALL_"


class SettingError(ValueError):
    """A setting has a value that is not allowed. `str()` is the one line to show; nothing was started yet."""

    def __init__(self, name: str, value: str, allowed: str) -> None:
        shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in value)
        super().__init__(f"{name}={shown} is not allowed: expected {allowed}")
        self.name = name
        self.value = value
        self.allowed = allowed


def setting(
    default: object,
    group: str,
    meaning: str,
    allowed: str,
    *,
    hidden: Literal["", "password", "whole"] = "",
    **limits: Any,
) -> Any:
    """A field that carries what `footfall config` and the error line say about it.

    `hidden`: what of the value is never shown: the password in a URL, or all of it.
    """
    extra: dict[str, Any] = {"group": group, "allowed": allowed, "hidden": hidden}
    return Field(default=default, description=meaning, json_schema_extra=extra, repr=not hidden, **limits)


def entries(value: str) -> list[str]:
    """The entries of a value that lists several, separated by commas."""
    return [entry.strip() for entry in value.split(",") if entry.strip()]


def checked_url(value: str, schemes: tuple[str, ...]) -> str:
    """The value if it is empty or a URL of one of the schemes. Raises ValueError."""
    if value:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not (parts.hostname or parts.path):
            raise ValueError("not such a URL")
        _ = parts.port  # raises for a port that is no number
    return value
