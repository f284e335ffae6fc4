"""Where ClickHouse is: the `clickhouse_url` setting as one address per shard.

    clickhouse://user:password@host:9000,replica:9000/footfall?secure=1&ca_file=/etc/ca.pem

Replicas of one shard are separated by commas, shards by `|`; everything else (user, database, TLS) holds for all of
them. Without `|` there is one address, and every shard number is stored there. An error names what is wrong and what is
allowed, and never repeats the password.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

DEFAULT_PORT = 9000
"""ClickHouse's own default for its native protocol."""
DEFAULT_SECURE_PORT = 9440
"""The same inside TLS."""
DEFAULT_DATABASE = "footfall"
"""Ours alone, so that tables called `events` never meet someone else's."""
CONNECT_TIMEOUT_S = 5.0
"""A host that does not answer a SYN in 5 s is down; the next replica is tried."""
SEND_RECEIVE_TIMEOUT_S = 60.0
"""Longest silence inside one INSERT. A 100,000-row block takes well under 1 s; a server busy with merges, several."""


class ClickHouseUrlError(ValueError):
    """`clickhouse_url` cannot be used. Permanent: raised at start, nothing was consumed."""


@dataclass(frozen=True, slots=True)
class ClickHouseAddress:
    """One shard's replicas and how to speak to them."""

    hosts: tuple[tuple[str, int], ...]
    database: str = DEFAULT_DATABASE
    user: str = "default"
    password: str = field(default="", repr=False)
    secure: bool = False
    verify: bool = True
    ca_file: str | None = None
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    send_receive_timeout_s: float = SEND_RECEIVE_TIMEOUT_S
    other_shards: tuple[ClickHouseAddress, ...] = ()
    """Where shards are servers of their own: what is marked for every shard goes to these, too."""

    def __str__(self) -> str:
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        return f"{'clickhouses' if self.secure else 'clickhouse'}://{hosts}/{self.database}"


AddressSource = Callable[[], ClickHouseAddress]
"""Asked before every connect: the embedded server may come back on another port."""


def parse_clickhouse_url(url: str) -> tuple[ClickHouseAddress, ...]:
    """The addresses of the shards that `url` names, in shard order."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ClickHouseUrlError(f"malformed: {error}") from None
    if parts.scheme not in ("clickhouse", "clickhouses"):
        raise ClickHouseUrlError(f"scheme is {parts.scheme or 'missing'!r}, allowed: clickhouse:// or clickhouses://")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    secure = _flag("secure", options.pop("secure", "1" if parts.scheme == "clickhouses" else "0"))
    verify = _flag("verify", options.pop("verify", "1"))
    ca_file = options.pop("ca_file", "") or None
    connect_timeout_s = _seconds("connect_timeout_s", options.pop("connect_timeout_s", str(CONNECT_TIMEOUT_S)))
    send_receive_timeout_s = _seconds(
        "send_receive_timeout_s", options.pop("send_receive_timeout_s", str(SEND_RECEIVE_TIMEOUT_S))
    )
    if options:
        raise ClickHouseUrlError(
            f"unknown option {min(options)!r}, allowed: secure, verify, ca_file, connect_timeout_s, "
            "send_receive_timeout_s"
        )
    credentials, _, shards = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    database = unquote(parts.path.strip("/")) or DEFAULT_DATABASE
    if not database.replace("_", "").isalnum():
        raise ClickHouseUrlError(f"database is {database!r}, allowed: letters, digits and _")
    default_port = DEFAULT_SECURE_PORT if secure else DEFAULT_PORT
    return tuple(
        ClickHouseAddress(
            hosts=tuple(_host(host, default_port) for host in replicas.split(",")),
            database=database,
            user=unquote(user) or "default",
            password=unquote(password),
            secure=secure,
            verify=verify,
            ca_file=ca_file,
            connect_timeout_s=connect_timeout_s,
            send_receive_timeout_s=send_receive_timeout_s,
        )
        for replicas in shards.split("|")
    )


def _host(text: str, default_port: int) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]` or `[v6]:port`."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
        well_formed = bool(bracket) and (not rest or rest.startswith(":"))
    else:
        host, _, port = text.partition(":")
        well_formed = True
    if not host or not well_formed:
        raise ClickHouseUrlError("a host is empty or malformed, allowed: host, host:port, [v6]:port")
    if not port:
        return host, default_port
    if not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ClickHouseUrlError(f"port of {host} is {port!r}, allowed: 1 to 65535")
    return host, int(port)


def _flag(name: str, text: str) -> bool:
    if text not in ("0", "1", "false", "true"):
        raise ClickHouseUrlError(f"{name} is {text!r}, allowed: 0 or 1")
    return text in ("1", "true")


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds <= 3_600.0:
        raise ClickHouseUrlError(f"{name} is {text!r}, allowed: over 0, at most 3600")
    return seconds
