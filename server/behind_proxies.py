"""Who sent a request that came through proxies, for the web process, by the rules of `rust_ext`'s `client_address`.

A header counts only when the peer itself is a trusted proxy. Of a list (`X-Forwarded-For`) the client is the rightmost
entry that is no trusted proxy; an entry that is no address ends the walk. Another header (`CF-Connecting-IP`) counts
when it occurs once and is an address. `X-Forwarded-Proto`'s last entry says whether the browser spoke TLS.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, cast

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)

from server.config import Settings

Address = IPv4Address | IPv6Address


class ProxyTrust:
    """Whose word about the client is believed, and where it stands."""

    def __init__(self, networks: list[str], header: str) -> None:
        # As in the core: IPv4 stands among IPv6 as IPv4-mapped.
        self._networks = [_mapped_network(text) for text in networks]
        self._header = header
        self._is_list = header.lower().endswith("forwarded-for")

    def client(self, peer: str, headers: HTTPHeaders) -> tuple[str, str | None]:
        """The client's address, and the protocol it spoke if a trusted proxy says so."""
        peer_address = _parse(peer)
        if peer_address is None or not self._is_trusted(peer_address):
            return peer, None
        values = headers.get_list(self._header)
        client = self._rightmost_untrusted(peer_address, values) if self._is_list else _single(values) or peer_address
        protocol = (headers.get_list("X-Forwarded-Proto") or [""])[-1].rpartition(",")[2].strip().lower()
        return str(client), protocol if protocol in ("http", "https") else None

    def _rightmost_untrusted(self, peer: Address, values: list[str]) -> Address:
        client = peer
        for entry in reversed([entry.strip() for value in values for entry in value.split(",")]):
            if not entry:
                continue  # RFC 9110, 5.6.1: empty list elements are ignored
            address = _parse(entry)
            if address is None:
                break
            client = address
            if not self._is_trusted(address):
                break
        return client

    def _is_trusted(self, address: Address) -> bool:
        mapped = IPv6Address(f"::ffff:{address}") if isinstance(address, IPv4Address) else address
        return any(mapped in network for network in self._networks)


class BehindProxies(HTTPServerConnectionDelegate):
    """An application whose requests know their client."""

    def __init__(self, application: HTTPServerConnectionDelegate, settings: Settings) -> None:
        self._application = application
        self._trust = ProxyTrust(settings.trusted_networks, settings.forwarded_header)

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """One request."""
        return _Request(self._application.start_request(server_conn, request_conn), request_conn, self._trust)

    def on_close(self, server_conn: object) -> None:
        """The connection is gone."""
        self._application.on_close(server_conn)


class _Request(HTTPMessageDelegate):
    """Passes everything on; the connection's context speaks of the client from the headers to the end."""

    def __init__(self, delegate: HTTPMessageDelegate, connection: HTTPConnection, trust: ProxyTrust) -> None:
        self._delegate = delegate
        self._context = cast(Any, connection).context
        self._trust = trust
        self._peer = (self._context.remote_ip, self._context.protocol)

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        client, protocol = self._trust.client(self._context.remote_ip, headers)
        self._context.remote_ip = client
        self._context.protocol = protocol or self._context.protocol
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._delegate.finish()
        self._restore()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()
        self._restore()

    def _restore(self) -> None:
        # The next request of the connection may be another client's. The request has copied what it needs.
        self._context.remote_ip, self._context.protocol = self._peer


def _mapped_network(text: str) -> IPv6Network:
    network = ip_network(text)
    if isinstance(network, IPv6Network):
        return network
    return IPv6Network(f"::ffff:{network.network_address}/{96 + network.prefixlen}")


def _single(values: list[str]) -> Address | None:
    return _parse(values[0].strip()) if len(values) == 1 else None


# As proxies write an address: [IPv6] with or without a port, IPv4 with a port. Everything else is read as it is.
_WITH_BRACKETS_OR_PORT = re.compile(r"\[(?P<v6>[^]]*)\](?::[0-9]+)?|(?P<v4>[0-9.]+):[0-9]+")


def _parse(text: str) -> Address | None:
    dressed = _WITH_BRACKETS_OR_PORT.fullmatch(text)
    try:
        address = ip_address((dressed["v6"] or dressed["v4"]) if dressed else text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
