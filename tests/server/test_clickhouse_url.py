"""Addresses: what is allowed, and errors that say so."""

from __future__ import annotations

import pytest

from server.clickhouse_url import ClickHouseAddress, ClickHouseUrlError, parse_clickhouse_url


def test_the_shortest_url() -> None:
    assert parse_clickhouse_url("clickhouse://db") == (ClickHouseAddress(hosts=(("db", 9000),)),)


def test_credentials_replicas_shards_and_options() -> None:
    one, two = parse_clickhouse_url(
        "clickhouse://me:p%40ss@a1:9001,a2|[::1]:9002,b2/stats?secure=1&verify=0&ca_file=/ca.pem&connect_timeout_s=2"
    )
    assert one.hosts == (("a1", 9001), ("a2", 9440))
    assert two.hosts == (("::1", 9002), ("b2", 9440))
    assert (one.user, one.password, one.database) == ("me", "p@ss", "stats")
    assert (one.secure, one.verify, one.ca_file, one.connect_timeout_s) == (True, False, "/ca.pem", 2.0)


def test_secure_by_scheme() -> None:
    assert parse_clickhouse_url("clickhouses://db")[0].secure


def test_the_password_is_never_shown() -> None:
    address = parse_clickhouse_url("clickhouse://me:secret@db")[0]
    assert "secret" not in f"{address} {address!r}"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://db", "scheme is 'http', allowed: clickhouse:// or clickhouses://"),
        ("clickhouse://", "host is empty"),
        ("clickhouse://a,,b", "host is empty"),
        ("clickhouse://a:0", "port of a is '0', allowed: 1 to 65535"),
        ("clickhouse://a:port", "port of a is 'port'"),
        ("clickhouse://[::1", "malformed"),
        ("clickhouse://a/x;y", "database is"),
        ("clickhouse://a?compress=1", "unknown option 'compress', allowed: secure"),
        ("clickhouse://a?secure=yes", "secure is 'yes', allowed: 0 or 1"),
        ("clickhouse://a?send_receive_timeout_s=0", "allowed: over 0"),
    ],
)
def test_errors_name_the_allowed(url: str, message: str) -> None:
    with pytest.raises(ClickHouseUrlError, match=message):
        parse_clickhouse_url(url)
