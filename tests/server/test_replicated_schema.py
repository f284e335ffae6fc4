"""The cluster form's tables, made as replicas against a real ZooKeeper.

The embedded engine has no listener for other servers, so a replica of it can be created but neither written to nor
altered, and it takes no `ON CLUSTER`: each CREATE is sent without that clause. Replicas that follow each other need
real servers: `k8s/replica-failover.sh`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_driver.errors import ServerException

from server.clickhouse_tcp import BlockConnection
from server.migrate import CLOSED_TABLES, SchemaForm, create_database, migrations
from tests.services.clickhouse import ClickHouseServer
from tests.services.zookeeper import running_zookeeper

FORM = SchemaForm(cluster="stats")
TABLE_IS_READ_ONLY = 242

# Without ON CLUSTER there is no identifier that two replicas would share, so the path is made of names.
CONFIG = """<clickhouse>
  <zookeeper><node><host>127.0.0.1</host><port>{zookeeper_port}</port></node></zookeeper>
  <macros><shard>01</shard><replica>a</replica></macros>
  <default_replica_path>/clickhouse/tables/{{shard}}/{{database}}/{{table}}</default_replica_path>
  <default_replica_name>{{replica}}</default_replica_name>
  <remote_servers><stats><shard><internal_replication>true</internal_replication>
    <replica><host>127.0.0.1</host><port>{port}</port></replica></shard></stats></remote_servers>
</clickhouse>
"""


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[BlockConnection]:
    """To a server that keeps its replicas' state in a ZooKeeper of its own."""
    with running_zookeeper(tmp_path / "zookeeper") as zookeeper_port:
        server = ClickHouseServer(tmp_path / "clickhouse")
        more = server.home / "config.d"
        more.mkdir(parents=True)
        (more / "cluster.xml").write_text(CONFIG.format(zookeeper_port=zookeeper_port, port=server.port))
        server.start()
        create_database(server.address, SchemaForm())
        opened = BlockConnection(server.address)
        try:
            yield opened
        finally:
            opened.close()
            server.stop()


def test_each_table_is_made_as_a_replica(connection: BlockConnection) -> None:
    statements = [text for migration in migrations() for text in migration.statements(FORM)]
    for statement in statements:
        if statement.startswith("CREATE"):
            connection.command(statement.replace(FORM.on_cluster, ""))
    replicas: dict[str, str] = dict(connection.select("SELECT table, replica_path FROM system.replicas"))
    assert replicas == {
        f"{table}_local": f"/clickhouse/tables/01/footfall/{table}_local/replicas/a"
        for table in ("events", "ledger", *CLOSED_TABLES)
    }
    distributed = connection.select("SELECT name FROM system.tables WHERE engine = 'Distributed'")
    assert {name for (name,) in distributed} == {"events", "ledger", *CLOSED_TABLES}
    with pytest.raises(ServerException) as refused:
        connection.command("ALTER TABLE events_local ADD COLUMN added_later UInt8")
    assert refused.value.code == TABLE_IS_READ_ONLY, "see above: then migrations could run here as well"
