"""Every setting of Footfall: a typed environment variable `FOOTFALL_<NAME>` with a default.

Invariants:
- one field is one setting: default, meaning and allowed values stand together, and `footfall config` prints them;
- units are part of the name (`_ms`, `_s`, `_bytes`, `_rows`);
- a wrong value raises `SettingError`, whose text is one line naming the setting, the value and what is allowed
  (the command line turns it into exit code 2); a secret's value is never part of that line;
- settings are frozen: what may change while running is `BatchSettings` alone (see `server.batch_settings`).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "FOOTFALL_"

# An empty variable means the default, so trusting nobody needs a word.
NO_PROXIES = "none"

# Names with our prefix that are no settings of ours: Kubernetes writes service links for a Service named `footfall`,
# and the build, the tests and the crash suite read a switch each.
_FOREIGN_NAMES = re.compile(r"FOOTFALL_(SERVICE_.*|PORT_\d+_.*|SKIP_SERVICES|CRASH_ROUNDS|CARGO_PROFILE|CHECKED)")


class Role(StrEnum):
    """What the processes of this `serve` do."""

    ALL = "all"
    COLLECT = "collect"
    WEB = "web"


class Durability(StrEnum):
    """What the answer to a hit promises: it survives the process, or the loss of power too."""

    PROCESS = "process"
    POWER = "power"


class SettingError(ValueError):
    """A setting has a value that is not allowed. `str()` is the one line to show; nothing was started yet."""

    def __init__(self, name: str, value: str, allowed: str) -> None:
        super().__init__(f"{name}={value} is not allowed: expected {allowed}")
        self.name = name
        self.value = value
        self.allowed = allowed


def _setting(default: object, group: str, meaning: str, allowed: str, *, secret: bool = False, **limits: Any) -> Any:
    """A field that carries what `footfall config` and the error line say about it."""
    extra: dict[str, Any] = {"group": group, "allowed": allowed, "secret": secret}
    return Field(default=default, description=meaning, json_schema_extra=extra, **limits)


class BatchSettings(BaseModel):
    """The settings that may change while running: how hits are gathered into batches."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # A batch is one INSERT: fewer rows cost ClickHouse parts, more cost memory while a block is built.
    batch_max_rows: int = _setting(
        100_000,
        "batches",
        "rows in a segment before it is sealed",
        "a whole number from 1 to 1000000",
        ge=1,
        le=1_000_000,
    )
    batch_max_bytes: int = _setting(
        24 * 1024 * 1024,
        "batches",
        "bytes in a segment before it is sealed",
        "a whole number from 65536 to 268435456",
        ge=64 * 1024,
        le=256 * 1024 * 1024,
    )
    batch_max_age_ms: int = _setting(
        1000,
        "batches",
        "age of a segment before it is sealed; a fleet multiplies it by its pods: at most 2 INSERTs/s per shard",
        "a whole number from 50 to 600000",
        ge=50,
        le=600_000,
    )
    spool_max_bytes: int = _setting(
        4 * 1024 * 1024 * 1024,
        "batches",
        "bytes the spool of one process may hold; beyond it hits are answered 503",
        "a whole number of at least 1048576",
        ge=1024 * 1024,
    )
    durability: Durability = _setting(
        Durability.PROCESS,
        "batches",
        "what an answered hit survives: a killed process, or the loss of power",
        "process or power",
    )
    flush_parallelism: int = _setting(
        1, "batches", "INSERTs under way at once per process", "a whole number from 1 to 16", ge=1, le=16
    )


class Settings(BatchSettings, BaseSettings):
    """All settings, read once from the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    data_dir: Path = _setting(
        Path(".footfall"),
        "process",
        "folder of the spool, the quarantine and the embedded stores",
        "a folder this user may write to",
    )
    role: Role = _setting(
        Role.ALL, "process", "what the processes do: take hits, show pages, or both", "all, collect or web"
    )
    processes: int = _setting(1, "process", "processes that share the port", "a whole number from 1 to 64", ge=1, le=64)
    stop_grace_s: float = _setting(
        20.0,
        "process",
        "seconds a stopping process may spend on open requests and on flushing",
        "a number from 0 to 3600",
        ge=0,
        le=3600,
    )
    log_level: str = _setting(
        "info", "process", "least severe log line that is written", "debug, info, warning or error"
    )
    secret_key: str = _setting(
        "",
        "process",
        "encrypts the saved salts; empty: made at first start in the data folder. A fleet shares one",
        "empty, or at least 32 characters",
        secret=True,
    )

    host: str = _setting(
        "127.0.0.1", "front", "address that takes hits and shows pages", "an IP address or a host name"
    )
    port: int = _setting(
        8000, "front", "port that takes hits and shows pages", "a whole number from 1 to 65535", ge=1, le=65535
    )
    internal_host: str = _setting("127.0.0.1", "front", "address of /metrics", "an IP address or a host name")
    internal_port: int = _setting(
        8001,
        "front",
        "port of /metrics; /healthz and /readyz answer there too",
        "a whole number from 1 to 65535",
        ge=1,
        le=65535,
    )
    public_url: str = _setting(
        "",
        "front",
        "address of this server as browsers see it, for the snippet; empty: http://localhost:<port>",
        "empty, or an http(s) URL",
    )
    # A proxy on this machine, and `footfall replay`: whoever can connect from here can read the spool anyway.
    trusted_proxies: str = _setting(
        "127.0.0.0/8,::1/128",
        "front",
        "addresses or networks of proxies whose forwarded header is believed",
        "none, or IP addresses or networks, separated by commas, such as 10.0.0.0/8,127.0.0.1",
    )
    forwarded_header: str = _setting(
        "X-Forwarded-For", "front", "header in which a trusted proxy names the client", "the name of one HTTP header"
    )
    proxy_protocol: bool = _setting(
        False, "front", "trusted proxies open each connection with a PROXY protocol line", "true or false"
    )
    endpoint_aliases: str = _setting(
        "",
        "front",
        "further paths that take hits, against ad blockers",
        "pairs of path=endpoint, separated by commas, such as /px/e=/api/event; endpoints are /api/event, /api/send, "
        "/api/batch and /hit.gif",
    )
    script_path: str = _setting(
        "/js/footfall.js",
        "front",
        "path of the tracker script",
        "a path that starts with / and ends in .js",
        pattern=r"^/[A-Za-z0-9/_.~-]*\.js$",
    )
    max_connections: int = _setting(
        20_000,
        "front",
        "open connections per process; further ones are answered 503",
        "a whole number from 16 to 1000000",
        ge=16,
        le=1_000_000,
    )
    rate_per_address_per_second: int = _setting(
        0,
        "front",
        "hits per second taken from one address per process; 0: no limit",
        "a whole number from 0 to 1000000",
        ge=0,
        le=1_000_000,
    )
    agent_cache_entries: int = _setting(
        16_384,
        "front",
        "parsed user agents remembered per process",
        "a whole number from 16 to 1000000",
        ge=16,
        le=1_000_000,
    )

    clickhouse_url: str = _setting(
        "",
        "stores",
        "where events go; empty: an embedded ClickHouse beside serve",
        "empty, or clickhouse://user:password@host:9000/database (?secure=1 for TLS)",
        secret=True,
    )
    chdb_library: str = _setting(
        "",
        "stores",
        "libchdb.so for the embedded ClickHouse; empty: clickhouse on PATH, else the library that npm installed",
        "empty, or the path of a file",
    )
    cluster: str = _setting(
        "",
        "stores",
        "ClickHouse cluster: tables become Replicated and Distributed",
        "empty, or a cluster name of letters, digits, _ and -",
    )
    shards: int = _setting(
        1, "stores", "ClickHouse shards that hits are spread over", "a whole number from 1 to 1024", ge=1, le=1024
    )
    app_database_url: str = _setting(
        "",
        "stores",
        "sites, keys and salts; empty: SQLite in the data folder",
        "empty, postgresql://user:password@host/database or sqlite:///path",
        secret=True,
    )
    redis_url: str = _setting(
        "",
        "stores",
        "pushes changes between processes at once; empty: they are seen within a second",
        "empty, redis:// or rediss:// URL",
        secret=True,
    )
    batch_settings_file: str = _setting(
        "",
        "batches",
        "mounted file that overrides the batch settings while running",
        "empty, or the path of a file of `name: value` lines or JSON",
    )
    first_site_domain: str = _setting(
        "localhost", "process", "domain of the site that the first start makes", "a domain name"
    )

    @field_validator("data_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        # Children have working folders of their own.
        return value.absolute()

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("unknown level")
        return value.lower()

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: str) -> str:
        if value and len(value) < 32:
            raise ValueError("too short")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        if value.strip().lower() == NO_PROXIES:
            return NO_PROXIES
        return ",".join(str(ipaddress.ip_network(entry, strict=False)) for entry in _entries(value))

    @field_validator("forwarded_header")
    @classmethod
    def _header_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
            raise ValueError("not a header name")
        return value

    @field_validator("endpoint_aliases")
    @classmethod
    def _aliases(cls, value: str) -> str:
        for entry in _entries(value):
            path, _, endpoint = entry.partition("=")
            if not re.fullmatch(r"/[A-Za-z0-9/_.~-]+", path) or endpoint not in HIT_ENDPOINTS:
                raise ValueError("not path=endpoint")
        return value

    @field_validator("cluster")
    @classmethod
    def _cluster_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-]*", value):
            raise ValueError("not a cluster name")
        return value

    @field_validator("clickhouse_url")
    @classmethod
    def _clickhouse(cls, value: str) -> str:
        # Several shards and replicas may be named, which no general URL parser takes apart.
        if value and not re.match(r"clickhouses?://[^/]", value):
            raise ValueError("not such a URL")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str) -> str:
        return _checked_url(value, ("redis", "rediss", "unix"))

    @field_validator("public_url")
    @classmethod
    def _public(cls, value: str) -> str:
        return _checked_url(value, ("http", "https")).rstrip("/")

    @field_validator("app_database_url")
    @classmethod
    def _app_database(cls, value: str) -> str:
        if value.startswith("sqlite:///") and len(value) > len("sqlite:///"):
            return value
        return _checked_url(value, ("postgresql", "postgres", "postgresql+psycopg"))

    @property
    def spool_root(self) -> Path:
        """One folder per process stands in it."""
        return self.data_dir / "spool"

    @property
    def quarantine_dir(self) -> Path:
        """Segments and damaged ranges that the store refused for good."""
        return self.data_dir / "quarantine"

    @property
    def snippet_base(self) -> str:
        """The public address without a trailing slash."""
        return self.public_url or f"http://localhost:{self.port}"

    @property
    def batch(self) -> BatchSettings:
        """The batch settings as the environment has them: where the live reload starts from."""
        return BatchSettings(**{name: getattr(self, name) for name in BatchSettings.model_fields})

    @property
    def trusted_networks(self) -> list[str]:
        """The networks of trusted proxies, in CIDR notation."""
        return [] if self.trusted_proxies == NO_PROXIES else _entries(self.trusted_proxies)

    @property
    def aliases(self) -> dict[str, str]:
        """Further hit paths and the endpoint that each stands for."""
        pairs = (entry.partition("=") for entry in _entries(self.endpoint_aliases))
        return {path: endpoint for path, _, endpoint in pairs}

    GROUPS: ClassVar[tuple[str, ...]] = ("process", "front", "batches", "stores")


# Connections that may wait to be accepted while a process starts or stalls; the kernel's own limit (somaxconn) is 4096.
LISTEN_BACKLOG = 4096

HIT_ENDPOINTS = ("/api/event", "/api/send", "/api/batch", "/hit.gif")


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
    """The value as it may be shown: passwords in URLs and keys become `***`."""
    if not value or not _extra(Settings.model_fields[field])["secret"]:
        return value
    try:
        parts = urlsplit(value)
        if not parts.scheme or field == "secret_key":
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


def _entries(value: str) -> list[str]:
    return [entry.strip() for entry in value.split(",") if entry.strip()]


def _checked_url(value: str, schemes: tuple[str, ...]) -> str:
    if value:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not (parts.hostname or parts.path):
            raise ValueError("not such a URL")
        _ = parts.port  # raises for a port that is no number
    return value
