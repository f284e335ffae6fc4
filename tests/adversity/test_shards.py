"""Two shards, each a ClickHouse of its own: one is killed under load, and nothing is lost, doubled or sent elsewhere.

A visitor's hits belong to one shard. What is sealed for a shard that is away waits in the spool, also over a crash of
its process, while the other shard goes on. Reading, and `footfall audit`, see both through Distributed tables.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.config import load_settings
from server.store import configured_store
from tests.adversity.exactly_once import assert_audit_holds, assert_exactly_once, stored_paths, wait_until_drained
from tests.adversity.kept_clickhouse import KeptClickHouse
from tests.adversity.load import RememberingLoad, wait_for_acknowledged
from tests.services.footfall import FootfallServer
from tests.services.waiting import wait_until

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]

CLUSTER = "stats"
DOMAIN = "localhost"
HITS = 400


def describe_cluster(servers: list[KeptClickHouse]) -> None:
    """Tell each server of both, as an operator does in `remote_servers`."""
    shards = "".join(
        f"<shard><replica><host>127.0.0.1</host><port>{server.port}</port></replica></shard>" for server in servers
    )
    for server in servers:
        folder = server.home / "config.d"
        folder.mkdir(parents=True)
        text = f"<clickhouse><remote_servers><{CLUSTER}>{shards}</{CLUSTER}></remote_servers></clickhouse>"
        (folder / "shards.xml").write_text(text)


@pytest.fixture
def shards(tmp_path: Path) -> Iterator[list[KeptClickHouse]]:
    servers = [KeptClickHouse(tmp_path / f"clickhouse-{number}") for number in range(2)]
    describe_cluster(servers)
    with ExitStack() as stack:
        yield [stack.enter_context(server) for server in servers]


def ask(address: ClickHouseAddress, question: str) -> list[tuple[object, ...]]:
    connection = BlockConnection(address)
    try:
        return connection.select(question)
    finally:
        connection.close()


def rows(address: ClickHouseAddress) -> int:
    return int(str(ask(address, "SELECT count() FROM events_local")[0][0]))


def waiting(footfall: FootfallServer) -> int:
    """Sealed segments in the spool."""
    return len(list((footfall.data_dir / "spool").rglob("*.seg")))


def test_a_killed_shard_loses_and_doubles_nothing(tmp_path: Path, shards: list[KeptClickHouse]) -> None:
    lasting, killed = shards
    url = f"clickhouse://127.0.0.1:{lasting.port}|127.0.0.1:{killed.port}/{lasting.database}"
    footfall = FootfallServer(
        tmp_path / "data",
        clickhouse_url=url,
        cluster=CLUSTER,
        cluster_replicated="false",
        shards="2",
        batch_max_age_ms="100",
        first_site_domain=DOMAIN,
        role="collect",
    )
    footfall.start()
    load = RememberingLoad(footfall.port, DOMAIN, visitors=50)
    try:
        wait_until(lambda: "ClickHouse is ready" in footfall.log_path.read_text())
        wait_for_acknowledged(load, HITS)
        wait_until(lambda: min(rows(server.address) for server in shards) > 0)
        killed.kill()
        before, away_since_s = rows(lasting.address), time.monotonic()
        wait_for_acknowledged(load, HITS)
        wait_until(lambda: rows(lasting.address) > before and waiting(footfall) >= 5)
        # The segments of the absent shard are bound to it wherever they are: their process dies as well.
        for process in footfall.collect_processes():
            process.kill()
        wait_for_acknowledged(load, HITS)
        held, away_s = waiting(footfall), time.monotonic() - away_since_s
        killed.start()
        wait_for_acknowledged(load, HITS)
        load.stop()
        wait_until_drained(footfall)
        back_s = time.monotonic() - away_since_s - away_s
        locally = [ask(server.address, "SELECT path, count() FROM events_local GROUP BY path") for server in shards]
        stored = stored_paths(lasting.address)
        assert stored == stored_paths(killed.address), "Distributed tables give the same whomever one asks"
        assert stored.total() == sum(rows(server.address) for server in shards)
        assert not {path for path, _ in locally[0]} & {path for path, _ in locally[1]}
        batches = [ask(server.address, "SELECT DISTINCT batch_id FROM events_local") for server in shards]
        assert not set(batches[0]) & set(batches[1]), "a segment was sent to two shards"
        assert_exactly_once(load, stored)
        assert_audit_holds(footfall, stored.total())
        assert load.refused == 0
        print(
            f"{len(load.acknowledged)} acknowledged, {load.refused} refused; {len(load.unanswered)} unanswered when "
            f"the process was killed; the shard was away for {away_s:.1f} s, {held} segments waited, drained "
            f"{back_s:.1f} s after its return; rows {[rows(server.address) for server in shards]}"
        )
        assert_commands_reach_every_shard(shards, url)
    finally:
        load.stop()
        footfall.kill()


def assert_commands_reach_every_shard(shards: list[KeptClickHouse], url: str) -> None:
    """What destruction, closing and imports say to all nodes of a cluster."""
    settings = load_settings(clickhouse_url=url, cluster=CLUSTER, cluster_replicated=False, shards=2)
    store = configured_store(settings)
    connection = store.connection()
    try:
        where = f"DELETE FROM {store.form.events} {store.form.on_cluster} WHERE site_id > 0"
        connection.command(where, lightweight_deletes_sync=2)
    finally:
        connection.close()
    assert [rows(server.address) for server in shards] == [0, 0]
