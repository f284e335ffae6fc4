"""Where a login comes from, in words: "Firefox on Windows" and a country. The address itself goes no further."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import rust_ext
from rust_ext import Agents

# A handful of logins a minute need no more.
_CACHE_ENTRIES = 64


@dataclass(frozen=True)
class Device:
    """`country` is ISO 3166-1 alpha-2, or empty when the address tells none."""

    text: str
    country: str


def describe(agent: str, address: str) -> Device:
    """The device of a request."""
    browser, _, system, _, _, _ = _agents().parse(agent.encode("utf-8", "replace"))
    try:
        country = _agents().country(address) or ""
    except ValueError:
        country = ""
    return Device(f"{browser or 'Unknown browser'} on {system or 'unknown system'}"[:100], country)


def country_name(code: str) -> str:
    """What a country is called in English, from Unicode's CLDR; the code itself when it has no name."""
    # Imported here: it reads its data at the first use.
    from babel import Locale

    names: Mapping[str, str] = Locale("en").territories
    return names.get(code, code) if code else "unknown country"


@cache
def _agents() -> Agents:
    # Read at the first login: most processes never see one.
    return Agents(str(Path(rust_ext.__file__).with_name("rules.pack")), cache_entries=_CACHE_ENTRIES)
