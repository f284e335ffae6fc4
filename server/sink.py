"""Puts batches into ClickHouse, each one once.

A batch is two INSERTs: the rows into `events`, then the counts into `ledger`. Their deduplication tokens are the
segment's id and `<id>-ledger`, and so are their query ids (`footfall-<token>`), so whoever sends the same segment
later can look for an INSERT of it that still runs. Three guards, from near to far:

1. the server refuses a second query of the same id while the first runs;
2. before a send that may be a repetition (`sent_before`) the sink waits for the first to end, killing it if need be,
   and then asks both tables for the batch id, by primary key of one (site, hour) that the batch is known to touch;
3. the token makes the server drop the same block again, within its deduplication window.

The third is wrong at times about a server that was killed (`server.deduplication`): a repetition asks once more at the
end.

`store` returns when both are stored. When it raises, either may be if `may_have_sent`, and then the next call must say
`sent_before`.
Not thread-safe: one sink per flusher thread and shard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.batch import Batch, Encoded, Probe
from server.clickhouse_tcp import BlockConnection, Target
from server.clickhouse_url import AddressSource, ClickHouseAddress
from server.deduplication import send_again, tokens_of
from server.migrate import SchemaForm
from server.retry import EarlierSendRunning

EARLIER_SEND_WAIT_S = 2.0
"""A killed INSERT that writes its part ends within moments. One whose connection was lost inside a block ends with the
server's receive timeout: other segments go first until then."""
EARLIER_SEND_POLL_S = 0.05
"""Between two looks at a running INSERT."""


@dataclass(slots=True)
class Stored:
    """What one `store` did; for the flusher's counters."""

    found: bool = False
    """An earlier send had stored the rows or the counts already."""


@dataclass(frozen=True, slots=True)
class _Sending:
    """One block on its way into one table, and where to look whether it is there."""

    target: Target
    block: Encoded
    token: str
    batch_id: str
    probe: Probe


class Sink:
    """The store of one shard."""

    def __init__(self, address: AddressSource, form: SchemaForm, events: Target, ledger: Target) -> None:
        self._address_source = address
        self._form = form
        self._events = events
        self._ledger = ledger
        self._address: ClickHouseAddress | None = None
        self._connection: BlockConnection | None = None
        self.on_wait: Callable[[], None] = lambda: None
        """Called about once a second while the server is waited for; for signs of life."""
        self.may_have_sent = False
        """After a failed `store`: whether a block of it may have reached the server."""

    def store(self, batch: Batch, *, sent_before: bool, while_waiting: Callable[[], None] | None = None) -> Stored:
        """Store the batch's rows and counts. Raises what `server.retry.classify` takes.

        `while_waiting`: see `BlockConnection.insert_block`; called at most once, while the rows are stored.
        """
        self.may_have_sent = False
        found = False
        if sent_before:
            self._settle([*tokens_of(batch.events_token), *tokens_of(batch.ledger_token)])
        if batch.events.rows:
            sending = _Sending(self._events, batch.events, batch.events_token, batch.id, batch.events_probe)
            found |= self._found_or_sent(sending, sent_before=sent_before, while_waiting=while_waiting)
        if batch.ledger.rows:
            sending = _Sending(self._ledger, batch.ledger, batch.ledger_token, batch.id, batch.ledger_probe)
            found |= self._found_or_sent(sending, sent_before=sent_before)
        return Stored(found)

    def has(self, table: str, batch_id: str, probe: Probe) -> bool:
        """Whether rows of this batch are in `table`. One answers for all: an INSERT is one part."""
        question = (
            f"SELECT 1 FROM {table} WHERE site_id = %(site_id)s AND hour = toDateTime(%(hour_s)s, 'UTC') "  # noqa: S608 - our tables
            "AND batch_id = %(batch_id)s LIMIT 1"
        )
        given = {"site_id": probe.site_id, "hour_s": probe.hour_s, "batch_id": batch_id}
        rows = self._connected().select(question, given)
        return bool(rows)

    def close(self) -> None:
        """Close the connection; the next call opens a new one."""
        if self._connection is not None:
            self._connection.close()

    def _found_or_sent(
        self, sending: _Sending, *, sent_before: bool, while_waiting: Callable[[], None] | None = None
    ) -> bool:
        """Whether the block was there already; if not, it is now. Raises `TokensUsedUp` and what an INSERT raises."""
        if not sent_before:
            self._insert(sending, sending.token, while_waiting)
            return False

        def is_there() -> bool:
            return self.has(sending.target.table, sending.batch_id, sending.probe)

        if is_there():
            return True

        def send(token: str) -> None:
            self._insert(sending, token, while_waiting if token == sending.token else None)

        send_again(self._connected(), sending.target.table, sending.token, send, is_there)
        return False

    def _insert(self, sending: _Sending, token: str, while_waiting: Callable[[], None] | None = None) -> None:
        connection = self._connected()
        connection.may_have_sent = False
        try:
            connection.insert_block(
                sending.target,
                sending.block.parts,
                token=token,
                query_id=query_id(token),
                while_waiting=while_waiting,
            )
        finally:
            self.may_have_sent = self.may_have_sent or connection.may_have_sent

    def _settle(self, tokens: Sequence[str]) -> None:
        """Return when no INSERT with one of these tokens runs any more. Raises `EarlierSendRunning`."""
        connection = self._connected()
        ids = [query_id(token) for token in tokens]
        deadline = time.monotonic() + EARLIER_SEND_WAIT_S
        killed = False
        while self._is_running(connection, ids):
            if not killed:
                connection.select("KILL QUERY WHERE query_id IN %(ids)s ASYNC", {"ids": ids})
                killed = True
            if time.monotonic() > deadline:
                raise EarlierSendRunning(f"INSERT {ids[0]} still runs after {EARLIER_SEND_WAIT_S:g} s")
            time.sleep(EARLIER_SEND_POLL_S)

    def _is_running(self, connection: BlockConnection, ids: Sequence[str]) -> bool:
        """On any replica of the cluster; one that is away cannot be asked, and then the token guards."""
        processes = "system.processes"
        if self._form.cluster:
            processes = f"clusterAllReplicas('{self._form.cluster}', system.processes)"
        question = f"SELECT count() FROM {processes} WHERE query_id IN %(ids)s"  # noqa: S608 - a checked cluster name
        rows = connection.select(question, {"ids": ids}, skip_unavailable_shards=1)
        return bool(rows[0][0])

    def _connected(self) -> BlockConnection:
        """A connection to where the store is now."""
        address = self._address_source()
        if self._connection is None or address != self._address:
            self.close()
            self._connection = BlockConnection(address, on_wait=lambda: self.on_wait())
            self._address = address
        return self._connection


def query_id(token: str) -> str:
    """The query id of the INSERT with this deduplication token."""
    return f"footfall-{token}"
