"""ClickHouse fed directly over HTTP: every hit is one INSERT of one row in JSONEachRow.

| peer | how ClickHouse makes batches of rows |
|---|---|
| `async_insert_wait` | `async_insert`, waiting, as its documentation recommends: answers come once a row is in a part |
| `async_insert_no_wait` | `async_insert` without waiting: answers come from memory |
| `buffer_table` | the engine Buffer in front, flushed after a second as our segments are; answers from memory |
| `insert_each` | not at all: a row is a part, merged later |

The limits of asynchronous inserts are the default ones: 10 MiB, and a time that adapts between 50 and 200 ms. libchdb
knows the setting but has no queue for it, every INSERT is carried out at once; so the first two need a `clickhouse`
program on PATH and are absent otherwise (a probe asks the server's own counter). A client that waits for a flush sends
nothing meanwhile, so the waiting form has 256 connections: with 64 it would show the number of clients, not of hits.

The row holds what the hit says: the keys of our tracker's beacon, plus the address and the agent, which would otherwise
be in headers that ClickHouse does not read. Nothing is derived of them: no country, browser, channel or visitor. The
table is a MergeTree by site and time with types as its documentation recommends for such values.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode
from urllib.request import urlopen

import orjson

from bench.peers.clickhouse_store import ClickHouseStore
from bench.peers.peer import HOST, AbsentError, Peer
from bench.traffic import Hit, event_body

# What a server chooses on one core; with the machine's cores a row of its own costs a third more.
ONE_CORE = {"max_threads": 1, "max_insert_threads": 1, "input_format_parallel_parsing": 0}

COLUMNS = """
    time DateTime64(3) DEFAULT now64(3), d LowCardinality(String), n LowCardinality(String), u String, r String,
    v UInt8, l String, q UInt16, sw UInt16, sh UInt16, tz LowCardinality(String), lg LowCardinality(String),
    p Map(LowCardinality(String), String), sd UInt8, e UInt32, w Map(LowCardinality(String), Float32),
    address String, agent LowCardinality(String)
"""


def hit_row(hit: Hit) -> bytes:
    """The hit as one line of JSONEachRow. A null referrer is the column's default."""
    return event_body(hit)[:-1] + b"," + orjson.dumps({"address": hit.address, "agent": hit.agent.text})[1:]


def insert_request(hit: Hit, table: str, settings: dict[str, int]) -> bytes:
    """The whole INSERT of one hit over HTTP, as a service's client sends it: no browser's headers."""
    body = hit_row(hit)
    query = urlencode({"query": f"INSERT INTO {table} FORMAT JSONEachRow", **settings})
    head = f"POST /?{query} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class RowsInClickHouse(Peer):
    """A peer whose hits end as rows of its own table in the run's ClickHouse."""

    def __init__(self, folder: Path, store: ClickHouseStore) -> None:
        super().__init__(folder)
        self.store = store

    def create_table(self) -> None:
        """Unless it is there."""
        create = f"CREATE TABLE IF NOT EXISTS {self.name} ({COLUMNS}) ENGINE = MergeTree ORDER BY (d, time)"
        self.store.command(create)

    @property
    def store_pids(self) -> list[int]:
        """ClickHouse."""
        return [self.store.pid]

    def stored(self) -> int:
        """Rows of its table."""
        return self.store.number(f"SELECT count() FROM {self.name}")

    def stored_paths(self) -> list[str]:
        """Of its table."""
        return [str(path) for (path,) in self.store.select(f"SELECT path(u) FROM {self.name}")]

    def wake(self) -> None:
        """Its parts are merged while it is measured."""
        self.store.start_merges(self.name)

    def rest(self) -> None:
        """And not while others are."""
        self.store.stop_merges(self.name)

    def is_quiet(self) -> bool:
        """Flushed and merged."""
        return self.store.is_quiet()


class InsertEach(RowsInClickHouse):
    """One part for every hit."""

    name = "insert_each"
    form = "one synchronous INSERT per hit, JSONEachRow over HTTP"
    settings: ClassVar[dict[str, int]] = {"async_insert": 0, **ONE_CORE}

    def __init__(self, folder: Path, store: ClickHouseStore) -> None:
        super().__init__(folder, store)
        self.port = store.http_port

    @property
    def target(self) -> str:
        """The table that hits are inserted into."""
        return self.name

    def start(self) -> None:
        """The store runs already, unless it was killed."""
        if not self.store.is_running:
            self.store.start()
        self.create_table()

    def kill(self) -> None:
        """The store is what takes the hits."""
        self.store.kill()

    def stop(self) -> None:
        """The store is not this peer's alone."""

    @property
    def server_pids(self) -> list[int]:
        """None: the store takes the hits itself."""
        return []

    def request(self, hit: Hit) -> bytes:
        """One INSERT."""
        return insert_request(hit, self.target, self.settings)


class BufferTable(InsertEach):
    """Answers from memory, the older way."""

    name = "buffer_table"
    form = "one INSERT per hit into a Buffer table flushed after 1 s, JSONEachRow over HTTP"

    @property
    def target(self) -> str:
        """The table in front."""
        return f"{self.name}_front"

    def start(self) -> None:
        """Both tables. Rows and bytes are the documentation's example."""
        super().start()
        limits = "1, 1, 1, 10000, 1000000, 10000000, 100000000"
        engine = f"Buffer(currentDatabase(), {self.name}, {limits})"
        self.store.command(f"CREATE TABLE IF NOT EXISTS {self.target} AS {self.name} ENGINE = {engine}")


class AsyncInsert(InsertEach):
    """Waits for the flush."""

    name = "async_insert_wait"
    form = "async_insert=1, wait_for_async_insert=1, JSONEachRow over HTTP, 256 connections"
    connections = 256
    settings: ClassVar[dict[str, int]] = {"async_insert": 1, "wait_for_async_insert": 1, **ONE_CORE}
    _was_asked = False

    def start(self) -> None:
        """Also sees whether the server has asynchronous inserts."""
        super().start()
        if self._was_asked:
            return
        self._was_asked = True
        count = "SELECT sum(value) FROM system.events WHERE event = 'AsyncInsertQuery'"
        before = self.store.number(count)
        query = urlencode({"query": f"INSERT INTO {self.name} FORMAT JSONEachRow", **self.settings})
        with urlopen(f"http://127.0.0.1:{self.port}/?{query}", b'{"u":"https://example.com/probe"}', timeout=10):
            pass
        if self.store.number(count) == before:
            raise AbsentError(
                "this ClickHouse carries out asynchronous inserts at once: libchdb has no queue for them. "
                "A `clickhouse` program on PATH would be used"
            )


class AsyncInsertNoWait(AsyncInsert):
    """Answers from memory."""

    name = "async_insert_no_wait"
    form = "async_insert=1, wait_for_async_insert=0, JSONEachRow over HTTP"
    connections = Peer.connections
    settings: ClassVar[dict[str, int]] = {"async_insert": 1, "wait_for_async_insert": 0, **ONE_CORE}
