"""Puts batches into ClickHouse, each one once.

A batch is two INSERTs: the rows into `events`, then the counts into `ledger`. Their deduplication tokens are the segment's
id and `<id>-ledger`, and so are their query ids (`footfall-<token>`), so whoever sends the same segment later can look
for an INSERT of it that still runs. Three guards, from near to far:

1. the server refuses a second query of the same id while the first runs;
2. before a send that may be a repetition (`sent_before`) the sink waits for the first to end, killing it if need be,
   and then asks both tables for the batch id, by primary key of one (site, hour) that the batch is known to touch;
3. the token makes the server drop the same block again, within its deduplication window.

`store` returns when both are stored. When it raises, either may be: the next call must say `sent_before`.
Not thread-safe: one sink per flusher thread and shard.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from server.batch import Batch, Probe
from server.clickhouse_tcp import BlockConnection, Target
from server.clickhouse_url import AddressSource, ClickHouseAddress
from server.migrate import SchemaForm
from server.retry import EarlierSendRunning

EARLIER_SEND_WAIT_S = 10.0
"""A killed INSERT ends at its next block; one that writes its part ends within seconds. Later: try again with backoff."""
EARLIER_SEND_POLL_S = 0.05
"""Between two looks at a running INSERT."""


@dataclass(slots=True)
class Stored:
    """What one `store` did; for the flusher's counters."""

    events_sent: bool = False
    ledger_sent: bool = False

    @property
    def found(self) -> bool:
        """An earlier send had already stored the rows or the counts."""
        return not (self.events_sent and self.ledger_sent)


class Sink:
    """The store of one shard."""

    def __init__(self, address: AddressSource, form: SchemaForm, events: Target, ledger: Target) -> None:
        self._address_source = address
        self._form = form
        self._events = events
        self._ledger = ledger
        self._address: ClickHouseAddress | None = None
        self._connection: BlockConnection | None = None

    def store(self, batch: Batch, *, sent_before: bool) -> Stored:
        """Store the batch's rows and counts. Raises what `server.retry.classify` takes."""
        stored = Stored()
        if sent_before:
            self._settle(batch.events_token)
            self._settle(batch.ledger_token)
        if batch.event_rows and not (sent_before and self.has(self._events.table, batch.id, batch.events_probe)):
            self._insert(self._events, batch.events_frames, batch.events_token)
            stored.events_sent = True
        if batch.ledger_rows and not (sent_before and self.has(self._ledger.table, batch.id, batch.ledger_probe)):
            self._insert(self._ledger, batch.ledger_frames, batch.ledger_token)
            stored.ledger_sent = True
        return stored

    def has(self, table: str, batch_id: str, probe: Probe) -> bool:
        """Whether rows of this batch are in `table`. One answers for all: an INSERT is one part."""
        rows = self._connected().select(
            f"SELECT 1 FROM {table} WHERE site_id = %(site_id)s AND hour = toDateTime(%(hour_s)s, 'UTC') "
            "AND batch_id = %(batch_id)s LIMIT 1",
            {"site_id": probe.site_id, "hour_s": probe.hour_s, "batch_id": batch_id},
        )
        return bool(rows)

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._connection is not None:
            self._connection.close()

    def _insert(self, target: Target, frames: list[bytes | memoryview], token: str) -> None:
        self._connected().insert_block(target, frames, token=token, query_id=query_id(token))

    def _settle(self, token: str) -> None:
        """Return when no INSERT with this token runs any more. Raises `EarlierSendRunning`."""
        connection = self._connected()
        deadline = time.monotonic() + EARLIER_SEND_WAIT_S
        killed = False
        while self._is_running(connection, token):
            if not killed:
                connection.select("KILL QUERY WHERE query_id = %(id)s ASYNC", {"id": query_id(token)})
                killed = True
            if time.monotonic() > deadline:
                raise EarlierSendRunning(f"INSERT {query_id(token)} still runs after {EARLIER_SEND_WAIT_S:g} s")
            time.sleep(EARLIER_SEND_POLL_S)

    def _is_running(self, connection: BlockConnection, token: str) -> bool:
        """On any replica of the cluster; one that is away cannot be asked, and then the token guards."""
        processes = "system.processes"
        if self._form.cluster:
            processes = f"clusterAllReplicas('{self._form.cluster}', system.processes)"
        rows = connection.select(
            f"SELECT count() FROM {processes} WHERE query_id = %(id)s", {"id": query_id(token)}, skip_unavailable_shards=1
        )
        return bool(rows[0][0])

    def _connected(self) -> BlockConnection:
        """A connection to where the store is now."""
        address = self._address_source()
        if self._connection is None or address != self._address:
            self.close()
            self._connection = BlockConnection(address)
            self._address = address
        return self._connection


def query_id(token: str) -> str:
    """The query id of the INSERT with this deduplication token."""
    return f"footfall-{token}"
