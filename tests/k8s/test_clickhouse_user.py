"""The user that the small overlay and the compose file make in ClickHouse may do what Footfall does, and no more.

A real server gets the user from the overlay's own file. Its password comes from the environment, as in a pod.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from server.clickhouse_tcp import BlockConnection
from server.config import load_settings
from server.embedded import find_engine, wait_until_ready
from server.loopback_port import free_port
from server.store import open_store
from tests.k8s.built import K8S
from tests.services.clickhouse import CHECKOUT

USERS = K8S / "apps/footfall/overlays/single/clickhouse/users.xml"
PASSWORD = "made up for a test"

# The embedded server's own program, with the overlay's user beside its own.
SERVE = """
import sys
from server import embedded_child
user = sys.argv.pop(1).replace("{", "{{").replace("}", "}}")
embedded_child.CONFIG = embedded_child.CONFIG.replace("</default></users>", "</default>" + user + "</users>")
sys.exit(embedded_child.main())
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the server is, as the user."""
    home = tmp_path_factory.mktemp("clickhouse")
    engine = find_engine(os.environ.get("FOOTFALL_CHDB_LIBRARY", ""))
    (user,) = re.findall(r"<footfall>.*</footfall>", USERS.read_text(), re.DOTALL)
    port = free_port()
    child = subprocess.Popen(
        [sys.executable, "-c", SERVE, user, f"--home={home}", f"--port={port}", f"--{engine.kind}={engine.path}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=CHECKOUT,
        env={**os.environ, "CLICKHOUSE_PASSWORD_SHA256": hashlib.sha256(PASSWORD.encode()).hexdigest()},
    )
    try:
        wait_until_ready(home)
        yield f"clickhouse://footfall:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/footfall"
    finally:
        child.kill()
        child.wait(10)
        assert child.stdin is not None
        child.stdin.close()


@pytest.fixture(scope="module")
def connection(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockConnection]:
    """A connection to the migrated tables."""
    with open_store(load_settings(clickhouse_url=url, data_dir=tmp_path_factory.mktemp("data"))) as store:
        assert store.migrate()
        connection = store.connection()
        yield connection
        connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events WHERE site_id = 1",
        "ALTER TABLE events APPLY DELETED MASK",
        "KILL QUERY WHERE query_id = 'nobody'",
        "SYSTEM STOP TTL MERGES footfall.events",
        "SYSTEM START TTL MERGES footfall.events",
        "CREATE TABLE footfall.kept (x Int8) ENGINE = MergeTree ORDER BY x",
        "DROP TABLE IF EXISTS footfall.kept SYNC",
    ],
)
def test_it_may_do_what_footfall_does(connection: BlockConnection, statement: str) -> None:
    connection.command(statement)


@pytest.mark.parametrize("table", ["parts", "mutations", "processes", "columns", "merges"])
def test_it_may_see_how_the_server_is(connection: BlockConnection, table: str) -> None:
    assert connection.select(f"SELECT count() FROM system.{table}", {})


@pytest.mark.parametrize(
    "statement", ["CREATE DATABASE others", "CREATE USER somebody", "SYSTEM SHUTDOWN", "DROP TABLE system.users"]
)
def test_it_may_do_no_more(connection: BlockConnection, statement: str) -> None:
    with pytest.raises(Exception, match="Not enough privileges"):
        connection.command(statement)
