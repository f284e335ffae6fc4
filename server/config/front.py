"""The public and the internal port, proxies, and what the front limits."""

from __future__ import annotations

import ipaddress
import re

from pydantic import BaseModel, field_validator

from server.config.setting import checked_url, entries, setting

# An empty variable means the default, so trusting nobody needs a word.
NO_PROXIES = "none"

# Connections that may wait to be accepted while a process starts or stalls; the kernel's own limit (somaxconn) is 4096.
LISTEN_BACKLOG = 4096

EVENT_PATH = "/api/event"
HIT_ENDPOINTS = (EVENT_PATH, "/api/send", "/api/batch", "/hit.gif")


class FrontSettings(BaseModel):
    """Group `front`."""

    host: str = setting("127.0.0.1", "front", "address that takes hits and shows pages", "an IP address or a host name")
    port: int = setting(
        8000, "front", "port that takes hits and shows pages", "a whole number from 1 to 65535", ge=1, le=65535
    )
    internal_host: str = setting("127.0.0.1", "front", "address of /metrics", "an IP address or a host name")
    internal_port: int = setting(
        8001,
        "front",
        "port of /metrics; /healthz and /readyz answer there too",
        "a whole number from 1 to 65535",
        ge=1,
        le=65535,
    )
    public_url: str = setting(
        "",
        "front",
        "address of this server as browsers see it, for the snippet; empty: http://localhost:<port>",
        "empty, or an http(s) URL",
    )
    # A proxy on this machine, and `footfall replay`: whoever can connect from here can read the spool anyway.
    trusted_proxies: str = setting(
        "127.0.0.0/8,::1/128",
        "front",
        "addresses or networks of proxies whose forwarded header is believed",
        "none, or IP addresses or networks, separated by commas, such as 10.0.0.0/8,127.0.0.1",
    )
    forwarded_header: str = setting(
        "X-Forwarded-For", "front", "header in which a trusted proxy names the client", "the name of one HTTP header"
    )
    proxy_protocol: bool = setting(
        False, "front", "trusted proxies open each connection with a PROXY protocol line", "true or false"
    )
    endpoint_aliases: str = setting(
        "",
        "front",
        "further paths that take hits, against ad blockers",
        "pairs of path=endpoint, separated by commas, such as /px/e=/api/event; endpoints are /api/event, /api/send, "
        "/api/batch and /hit.gif",
    )
    script_path: str = setting(
        "/js/footfall.js",
        "front",
        "path of the tracker script",
        "a path that starts with / and ends in .js",
        pattern=r"^/[A-Za-z0-9/_.~-]*\.js$",
    )
    max_connections: int = setting(
        20_000,
        "front",
        "open connections per process; further ones are answered 503",
        "a whole number from 16 to 1000000",
        ge=16,
        le=1_000_000,
    )
    rate_per_address_per_second: int = setting(
        0,
        "front",
        "hits per second taken from one address per process; 0: no limit",
        "a whole number from 0 to 1000000",
        ge=0,
        le=1_000_000,
    )
    agent_cache_entries: int = setting(
        16_384,
        "front",
        "parsed user agents remembered per process",
        "a whole number from 16 to 1000000",
        ge=16,
        le=1_000_000,
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        if value.strip().lower() == NO_PROXIES:
            return NO_PROXIES
        return ",".join(str(ipaddress.ip_network(entry, strict=False)) for entry in entries(value))

    @field_validator("forwarded_header")
    @classmethod
    def _header_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
            raise ValueError("not a header name")
        return value

    @field_validator("endpoint_aliases")
    @classmethod
    def _aliases(cls, value: str) -> str:
        for entry in entries(value):
            path, _, endpoint = entry.partition("=")
            if not re.fullmatch(r"/[A-Za-z0-9/_.~-]+", path) or endpoint not in HIT_ENDPOINTS:
                raise ValueError("not path=endpoint")
        return value

    @field_validator("public_url")
    @classmethod
    def _public(cls, value: str) -> str:
        return checked_url(value, ("http", "https")).rstrip("/")

    @property
    def snippet_base(self) -> str:
        """The public address without a trailing slash."""
        return self.public_url or f"http://localhost:{self.port}"

    @property
    def trusted_networks(self) -> list[str]:
        """The networks of trusted proxies, in CIDR notation."""
        return [] if self.trusted_proxies == NO_PROXIES else entries(self.trusted_proxies)

    @property
    def aliases(self) -> dict[str, str]:
        """Further hit paths and the endpoint that each stands for."""
        pairs = (entry.partition("=") for entry in entries(self.endpoint_aliases))
        return {path: endpoint for path, _, endpoint in pairs}

    @property
    def event_path(self) -> str:
        """Where the tracker sends its hits: the first alias of /api/event, if there is one."""
        return next((path for path, endpoint in self.aliases.items() if endpoint == EVENT_PATH), EVENT_PATH)
