"""Blocks through TLS: stored when the certificate is vouched for, refused with a clear verdict when it is not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.clickhouse_tcp import BlockConnection, Target
from server.clickhouse_url import ClickHouseAddress, parse_clickhouse_url
from server.retry import Verdict, classify
from tests.reference.driver_block import block_frames
from tests.services.tls import TlsEndpoint, tls_in_front_of

COLUMNS = (("n", "UInt32"), ("s", "LowCardinality(String)"))
ROWS = 200_000


@pytest.fixture
def endpoint(store_address: ClickHouseAddress, tmp_path: Path) -> Iterator[TlsEndpoint]:
    with tls_in_front_of(store_address.hosts[0], tmp_path) as made:
        yield made


def insert(address: ClickHouseAddress) -> None:
    """Several MiB, so that writes are split and partly done."""
    connection = BlockConnection(address)
    try:
        connection.command("CREATE TABLE t (n UInt32, s LowCardinality(String)) ENGINE = MergeTree ORDER BY n")
        frames = block_frames(COLUMNS, [[i * 2_654_435_761 % 2**32 for i in range(ROWS)], ["a", "b"] * (ROWS // 2)])
        connection.insert_block(Target("t", COLUMNS), frames, token="t", query_id="tls")
        assert connection.select("SELECT count() FROM t") == [(ROWS,)]
    finally:
        connection.close()


def test_a_certificate_that_the_ca_file_vouches_for(store_address: ClickHouseAddress, endpoint: TlsEndpoint) -> None:
    (address,) = parse_clickhouse_url(
        f"clickhouses://127.0.0.1:{endpoint.port}/{store_address.database}?ca_file={endpoint.ca_file}"
    )
    insert(address)


def test_verification_can_be_turned_off(store_address: ClickHouseAddress, endpoint: TlsEndpoint) -> None:
    (address,) = parse_clickhouse_url(
        f"clickhouse://127.0.0.1:{endpoint.port}/{store_address.database}?secure=1&verify=0"
    )
    insert(address)


def test_an_unknown_certificate_is_refused(endpoint: TlsEndpoint) -> None:
    (address,) = parse_clickhouse_url(f"clickhouses://127.0.0.1:{endpoint.port}")
    with pytest.raises(Exception, match="certificate verify failed") as caught:
        insert(address)
    failure = classify(caught.value)
    assert (failure.verdict, failure.label) == (Verdict.SCHEMA, "tls_certificate")


def test_another_name_than_the_certificates_is_refused(endpoint: TlsEndpoint) -> None:
    (address,) = parse_clickhouse_url(f"clickhouses://localhost:{endpoint.port}?ca_file={endpoint.ca_file}")
    with pytest.raises(Exception, match="certificate verify failed") as caught:
        insert(address)
    assert classify(caught.value).label == "tls_certificate"


def test_plain_text_to_a_tls_port_fails_and_is_retriable(
    store_address: ClickHouseAddress, endpoint: TlsEndpoint
) -> None:
    plain = dataclasses.replace(
        store_address, hosts=(("127.0.0.1", endpoint.port),), connect_timeout_s=1.0, send_receive_timeout_s=1.0
    )
    with pytest.raises((OSError, EOFError, Exception)) as caught:
        insert(plain)
    assert classify(caught.value).verdict is Verdict.RETRY
