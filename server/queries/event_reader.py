"""Connections on which questions are asked: few per process, bounded in time, memory and rows, and revocable.

Each query has a connection of its own while it runs; at most `MAX_QUERIES` run at once, and who waits longer than
`QUEUE_WAIT_S` is told to come back. Connections are read-only on the server's side. A query whose asker has gone away
is killed by its id over another connection.

Safe to use from any thread; every call blocks.
"""

from __future__ import annotations

import logging
import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from clickhouse_driver import Client
from clickhouse_driver import errors as driver_errors
from prometheus_client import Counter, Histogram

from server.clickhouse_tcp import Row, driver_options
from server.clickhouse_url import AddressSource, ClickHouseAddress
from server.embedded import EmbeddedUnavailable
from server.metrics import REGISTRY
from server.queries.errors import (
    InvalidPattern,
    NamesAdded,
    QueryCancelled,
    StoreAway,
    TooBusy,
    TooManyRows,
    TooMuchMemory,
    TooSlow,
)
from server.queries.parameters import Value

log = logging.getLogger(__name__)

QUERY_SECONDS = Histogram(
    "footfall_query_seconds",
    "Questions to the event store, from asking to the last row",
    registry=REGISTRY,
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
QUERY_FAILURES = Counter("footfall_query_failures", "Questions without an answer", ["reason"], registry=REGISTRY)

# A page of the dashboard asks about ten questions at once; more at a time only makes each of them slower.
MAX_QUERIES = 6
QUEUE_WAIT_S = 10.0

MAX_EXECUTION_S = 20
"""Longer than anybody looks at an empty panel."""
MAX_MEMORY_BYTES = 2 * 1024**3
"""Per query; grouping and sorting spill to disk at half of it."""
MAX_ROWS_READ = 500_000_000
"""Beyond what `MAX_EXECUTION_S` allows on any machine we measured: it ends a hopeless query early."""
MAX_RESULT_ROWS = 100_000
"""Ten pages of the largest size."""

# Of the server's error codes: src/Common/ErrorCodes.cpp.
_TIMEOUT, _TOO_SLOW = 159, 160
_MEMORY = 241
_ROWS = (158, 307, 396)
_CANCELLED = 394
_BAD_REGEX = 427
_THROWN = 395


@dataclass(frozen=True)
class ReadLimits:
    """The limits of each query; tests choose smaller ones."""

    execution_s: float = MAX_EXECUTION_S
    memory_bytes: int = MAX_MEMORY_BYTES
    rows_read: int = MAX_ROWS_READ
    result_rows: int = MAX_RESULT_ROWS
    queries: int = MAX_QUERIES
    queue_wait_s: float = QUEUE_WAIT_S

    def settings(self) -> dict[str, Any]:
        """What the server is to hold."""
        return {
            "readonly": 2,
            "max_execution_time": self.execution_s,
            "timeout_overflow_mode": "throw",
            "max_memory_usage": self.memory_bytes,
            "max_bytes_before_external_group_by": self.memory_bytes // 2,
            "max_bytes_before_external_sort": self.memory_bytes // 2,
            "max_rows_to_read": self.rows_read,
            "max_result_rows": self.result_rows,
            "result_overflow_mode": "throw",
            # Versions of closed days stand in the text: those of ten years, several times.
            "max_query_size": 2 * 1024**2,
            # In a cluster: whom a subquery of `events` names is asked once and sent along. Elsewhere it says nothing.
            "distributed_product_mode": "global",
            # Closed tables are read in small pieces over and over. Larger reads pass the cache by.
            "use_uncompressed_cache": 1,
            # Counters that nobody here looks at, as blocks of rows that the driver would unpack.
            "send_profile_events": 0,
            # The key leaves what is wanted; to read other columns only where one of them fits costs more than to read
            # them whole: four times as much where every second visit fits, measured.
            "optimize_move_to_prewhere": 0,
            # It remembers what did not fit a condition, in which a subquery of names may say something else by now.
            "use_query_condition_cache": 0,
        }


@dataclass
class Ticket:
    """One query that may be revoked. `is_revoked` before it has started: then it does not start."""

    query_id: str = field(default_factory=lambda: f"footfall-query-{uuid.uuid4().hex}")
    is_revoked: bool = False


class EventReader:
    """Asks questions of the event store."""

    def __init__(self, address: AddressSource, limits: ReadLimits | None = None) -> None:
        self.limits = limits or ReadLimits()
        self._address_source = address
        self._slots = threading.BoundedSemaphore(self.limits.queries)
        self._lock = threading.Lock()
        self._idle: list[tuple[ClickHouseAddress, Client]] = []
        self._closed = False

    def rows(
        self, statement: str, parameters: Mapping[str, Value], ticket: Ticket | None = None, **settings: Any
    ) -> list[Row]:
        """The rows of a statement. Raises `QueryRefused`, `QueryFailed` or `InvalidPattern`."""
        with self._client(ticket) as (client, query_id), QUERY_SECONDS.time():
            rows: list[Row] = client.execute(
                statement, dict(parameters), query_id=query_id, settings={**self.limits.settings(), **settings}
            )
            return rows

    def stream(
        self, statement: str, parameters: Mapping[str, Value], ticket: Ticket | None = None, **settings: Any
    ) -> Iterator[Row]:
        """The rows of a statement one by one, as they arrive. Holds a connection until it is exhausted or closed."""
        with self._client(ticket) as (client, query_id):
            yield from client.execute_iter(
                statement, dict(parameters), query_id=query_id, settings={**self.limits.settings(), **settings}
            )

    def revoke(self, ticket: Ticket) -> None:
        """End a query that nobody waits for. Never raises."""
        ticket.is_revoked = True
        try:
            client = self._connect(self._address_source())
            try:
                client.execute("KILL QUERY WHERE query_id = {id:String} ASYNC", {"id": ticket.query_id})
            finally:
                client.disconnect()
        except (OSError, EOFError, EmbeddedUnavailable, driver_errors.Error) as error:
            # It ends by itself at its time limit.
            log.warning("a query could not be ended", extra={"reason": type(error).__name__})

    def close(self) -> None:
        """Close the idle connections, and those under way once they are done."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for _, client in idle:
            client.disconnect()

    # -- connections ---------------------------------------------------------------------------------------------

    @contextmanager
    def _client(self, ticket: Ticket | None) -> Iterator[tuple[Client, str]]:
        ticket = ticket or Ticket()
        if not self._slots.acquire(timeout=self.limits.queue_wait_s):
            QUERY_FAILURES.labels(reason="busy").inc()
            raise TooBusy("too many questions at once; try again in a moment")
        client: Client | None = None
        try:
            if ticket.is_revoked:
                raise QueryCancelled("nobody waits for this answer any more")
            address = self._address_source()
            client = self._take(address)
            yield client, ticket.query_id
            self._give_back(address, client)
            client = None
        except (OSError, EOFError, EmbeddedUnavailable, driver_errors.Error) as error:
            raise _named(error, self.limits) from error
        finally:
            if client is not None:
                # Whatever happened, an answer may still be on its way on this connection.
                client.disconnect()
            self._slots.release()

    def _take(self, address: ClickHouseAddress) -> Client:
        with self._lock:
            while self._idle:
                known, client = self._idle.pop()
                if known == address:
                    return client
                client.disconnect()
        return self._connect(address)

    def _give_back(self, address: ClickHouseAddress, client: Client) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append((address, client))
                return
        client.disconnect()

    @staticmethod
    def _connect(address: ClickHouseAddress) -> Client:
        options = driver_options(address)
        options["send_receive_timeout"] = max(address.send_receive_timeout_s, 2.0 * MAX_EXECUTION_S)
        return Client(**options, settings={"server_side_params": True})


_NARROW = "Choose a shorter range, fewer dimensions, or a filter on a visit: dimension"


def _named(error: BaseException, limits: ReadLimits) -> Exception:
    """What a failure of the driver means."""
    code = error.code if isinstance(error, driver_errors.ServerException) else 0
    named: Exception
    if code in (_TIMEOUT, _TOO_SLOW):
        named = TooSlow(f"{limits.execution_s:g} s per query", f"This query takes too long. {_NARROW}")
    elif code == _MEMORY:
        limit = f"{limits.memory_bytes // 1024**2} MiB of memory per query"
        named = TooMuchMemory(limit, f"This query needs too much memory. {_NARROW}")
    elif code in _ROWS:
        limit = f"{limits.rows_read:,} rows read and {limits.result_rows:,} rows returned per query"
        named = TooManyRows(limit, f"This query goes through too many rows. {_NARROW}")
    elif code == _CANCELLED:
        named = QueryCancelled("the query was ended")
    elif code == _THROWN:
        # `daily_first` alone throws.
        named = NamesAdded("names were added while they were asked for; try again in a moment")
    elif code == _BAD_REGEX:
        found = re.search(r"error: ([^.\n]{1,120})", str(error))
        named = InvalidPattern(
            "#/filters", f"invalid regular expression (RE2): {found[1] if found else 'not understood'}"
        )
    else:
        log.warning("a query failed", extra={"reason": type(error).__name__, "code": code})
        named = StoreAway("the event store does not answer; try again in a moment")
    QUERY_FAILURES.labels(reason=type(named).__name__).inc()
    return named
