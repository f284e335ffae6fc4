"""The two Python servers with an application that stores: rows collected in memory, inserted every second.

They are what one would write instead of Footfall's collector, without anything that it derives of a hit; see
`bench.peers.batching_application`. The servers are configured as in `bench.peers.answering`.
"""

from __future__ import annotations

import os

from bench.peers.answering import GranianRsgi, ServerPeer, Uvicorn
from bench.peers.clickhouse_inserts import RowsInClickHouse


class Batching(RowsInClickHouse, ServerPeer):
    """Answers from memory."""

    stores = True

    def start(self) -> None:
        """Its table first."""
        self.create_table()
        super().start()

    def environment(self) -> dict[str, str]:
        """Where the application stores."""
        return {**os.environ, "CLICKHOUSE_HTTP_PORT": str(self.store.http_port), "HITS_TABLE": self.name}


class UvicornBatching(Batching, Uvicorn):
    """On uvicorn."""

    name = "uvicorn_batching"
    form = f"{Uvicorn.form}, clickhouse-connect every second"
    application = "bench.peers.batching_application:asgi"


class GranianBatching(Batching, GranianRsgi):
    """On Granian."""

    name = "granian_batching"
    form = f"{GranianRsgi.form}, clickhouse-connect every second"
    application = "bench.peers.batching_application:rsgi"
