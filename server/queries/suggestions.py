"""Says what is allowed where an unknown name was given, and which one was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from server.queries.errors import UnknownValue


def unknown_value(field: str, what: str, given: object, allowed: Iterable[str]) -> UnknownValue:
    """The error that lists what is allowed."""
    names = [str(name) for name in allowed]
    text = str(given)[:100]
    close = difflib.get_close_matches(text, names, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    return UnknownValue(field, f"invalid {what} {text!r}.{meant} Allowed: {', '.join(names)}")
