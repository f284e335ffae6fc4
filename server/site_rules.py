"""What a site keeps out: networks, countries, paths, foreign hostnames, bots. The ingest core works by it.

Each list is kept as the core reads it (rust_ext/ingest/src/blocks, snapshot.rs): an entry that the core could not read
must not pass here, because a snapshot is taken whole or not at all; a property test holds that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address, ip_network

from sqlalchemy import Engine

from rust_ext import bot_reasons
from server.accounts.audit_log import Action
from server.accounts.errors import FormError
from server.countries import country_names
from server.site_changes import changing, log

# A lookup among 10,000 networks takes 14 comparisons; the snapshot carries them as text, some 200 kB for such a site.
MOST_NETWORKS = 10_000

# Each pattern is compared with each hit's path.
MOST_PATHS = 50
LONGEST_PATH_BYTES = 500
"""`PATTERN_MAX_BYTES` in rust_ext/ingest/src/blocks/paths.rs."""
LONGEST_MIDDLE_STEPS = 63
"""`MIDDLE_MAX_STEPS` there: bytes and stars from the first star to the last."""

MOST_HOSTNAMES = 100

# A person's IPv6 address changes within the network of their line, which is a /64 (RFC 4291, RFC 8981).
V6_LINE_PREFIX = 64

_HOSTNAME = re.compile(r"(\*\.)?(?=[^*]{1,253}$)[^\s/:*?#@]+(\.[^\s/:*?#@]+)*")
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


@dataclass(frozen=True)
class BotReason:
    """Why an agent is called a bot: its bit in masks, and what people are told."""

    bit: int
    name: str
    meaning: str


_BOT_MEANINGS = {
    "isbot_pattern": "The agent looks like a bot (isbot's patterns)",
    "crawler_list": "It is a known crawler (crawler-user-agents)",
    "uap_spider": "It is a known spider (uap-core)",
    "agent_is_empty": "It names no browser at all",
    "headless": "It is a headless or driven browser",
    "webdriver": "The browser says that a program drives it (navigator.webdriver)",
    "data_centre": "It comes from a data centre",
    "http_library": "It is an HTTP library or a command-line client",
    "generic_word": "It calls itself bot, crawler, monitor or the like",
}


@cache
def bot_filters() -> tuple[BotReason, ...]:
    """Every reason of the core. One that is new there is named as it is."""
    return tuple(BotReason(bit, name, _BOT_MEANINGS.get(name, name)) for bit, name in bot_reasons())


def change_networks(engine: Engine, site_id: int, text: str, actor: int | None) -> None:
    """Keep out these networks and no others. Raises `FormError` at `networks`."""
    _change_list(engine, site_id, "blocked_networks", parse_networks(text), actor)


def block_address(engine: Engine, site_id: int, address: str, actor: int | None) -> None:
    """Keep out the line of this address besides. Raises `FormError` at `networks` when there is no more room."""
    network = line_of(address)
    with changing(engine, site_id) as (session, site):
        if network not in site.blocked_networks:
            if len(site.blocked_networks) >= MOST_NETWORKS:
                raise FormError("networks", f"At most {MOST_NETWORKS:,} networks.")
            site.blocked_networks = [*site.blocked_networks, network]
        log(session, site, Action.SITE_RULES, actor, blocked_networks=len(site.blocked_networks))


def change_countries(engine: Engine, site_id: int, codes: Sequence[str], actor: int | None) -> None:
    """Keep out these countries and no others. Raises `FormError` at `countries`."""
    unknown = sorted(set(codes) - country_names().keys())
    if unknown:
        raise FormError("countries", f"{unknown[0]!r} is not the code of a country.")
    _change_list(engine, site_id, "blocked_countries", sorted(set(codes)), actor)


def change_paths(engine: Engine, site_id: int, text: str, actor: int | None) -> None:
    """Keep out hits of these pages and no others. Raises `FormError` at `paths`."""
    _change_list(engine, site_id, "blocked_paths", parse_paths(text), actor)


def change_hostnames(engine: Engine, site_id: int, text: str, actor: int | None) -> None:
    """Take hits from pages of these hosts alone; from any host when there are none. Raises `FormError`."""
    _change_list(engine, site_id, "allowed_hostnames", parse_hostnames(text), actor)


def change_bot_filter(engine: Engine, site_id: int, names: Sequence[str], spam_filter: bool, actor: int | None) -> None:
    """Drop bots that are known by these reasons; others are stored with theirs. Names that nobody knows do nothing."""
    mask = sum(reason.bit for reason in bot_filters() if reason.name in names)
    with changing(engine, site_id) as (session, site):
        if mask == sum(reason.bit for reason in bot_filters()):
            mask = 0xFFFF  # everything means reasons that are yet to come as well
        site.drop_bot_mask, site.spam_filter = mask, spam_filter
        log(session, site, Action.SITE_RULES, actor, drop_bot_mask=mask, spam_filter=spam_filter)


def line_of(address: str) -> str:
    """The network that stands for one person's line: the IPv4 address, or the /64 of an IPv6 address."""
    parsed = ip_address(address.partition("%")[0])
    mapped = getattr(parsed, "ipv4_mapped", None)
    if mapped is not None:
        parsed = mapped
    return str(ip_network(f"{parsed}/{V6_LINE_PREFIX if parsed.version == 6 else 32}", strict=False))


def parse_networks(text: str) -> list[str]:
    """Addresses and networks, one or more a line, as they are kept. Raises `FormError` at `networks`."""

    def read(entry: str) -> str:
        # ipaddress takes zones of interfaces and netmasks behind the slash, which the core does not.
        address, slash, prefix = entry.partition("/")
        if "%" in address or (slash and not (prefix.isascii() and prefix.isdecimal())):
            raise ValueError
        return str(ip_network(entry, strict=False))

    return _parse(text, read, "networks", "a network, such as 192.0.2.0/24 or 2001:db8::/32", MOST_NETWORKS)


def parse_paths(text: str) -> list[str]:
    """Path patterns, one a line, as they are kept: decoded as stored paths are. Raises `FormError` at `paths`."""

    def read(entry: str) -> str:
        path = _ESCAPES.sub(_decoded, entry)
        first, last = path.find("*"), path.rfind("*")
        steps = re.sub(r"\*+", "*", path[first : last + 1]).encode() if first >= 0 else b""
        is_short = len(path.encode()) <= LONGEST_PATH_BYTES and len(steps) <= LONGEST_MIDDLE_STEPS
        if not path.startswith(("/", "*")) or "?" in path or not path.isprintable() or not is_short:
            raise ValueError
        return path

    return _parse(text, read, "paths", "a path without ? and its query, such as /admin/**", MOST_PATHS)


def parse_hostnames(text: str) -> list[str]:
    """Hostnames, one or more a line, a star for all subdomains. Raises `FormError` at `hostnames`."""

    def read(entry: str) -> str:
        hostname = entry.lower().rstrip(".")
        if not hostname.startswith("*."):
            hostname = hostname.removeprefix("www.")
        if not _HOSTNAME.fullmatch(hostname) or not hostname.isprintable():
            raise ValueError
        return hostname

    return _parse(text, read, "hostnames", "a hostname, such as example.com or *.example.com", MOST_HOSTNAMES)


def _change_list(engine: Engine, site_id: int, column: str, entries: list[str], actor: int | None) -> None:
    with changing(engine, site_id) as (session, site):
        setattr(site, column, entries)
        log(session, site, Action.SITE_RULES, actor, **{column: len(entries)})


def _parse(text: str, read: Callable[[str], str], field: str, expected: str, most: int) -> list[str]:
    """Each entry once, in the order given."""
    found: dict[str, None] = {}
    entries = text.splitlines() if field == "paths" else re.split(r"[\s,]+", text)
    for entry in filter(None, map(str.strip, entries)):
        try:
            found[read(entry)] = None
        except ValueError:
            raise FormError(field, f"{entry[:100]!r} is not {expected}.") from None
    if len(found) > most:
        raise FormError(field, f"At most {most:,} entries; these are {len(found):,}.")
    return list(found)


def _decoded(escapes: re.Match[str]) -> str:
    """Percent-encoding undone where the core undoes it (rust_ext/ingest/src/url.rs): not for what changes a meaning."""
    codes = escapes[0].split("%")[1:]
    raw = b"".join(f"%{code}".encode() if _is_kept(int(code, 16)) else bytes.fromhex(code) for code in codes)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return escapes[0]


def _is_kept(byte: int) -> bool:
    # A star besides: decoded, it would be one of the pattern's.
    return byte < 0x20 or byte == 0x7F or chr(byte) in "/?#%*"
