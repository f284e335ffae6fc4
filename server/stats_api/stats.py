"""What one process answers questions about figures with: the engine, its threads, the result cache, and limits.

Questions wait for ClickHouse on threads of their own, so that pages and forms never wait behind them. At most
`MAX_WAITING` are under way or waiting; further ones are told to come back. Raw exports, which take long, have
connections of their own and cannot keep questions out.

Owner: `AppContext`; `close` ends what is idle.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from server.clickhouse_url import AddressSource
from server.queries.engine import StatsEngine
from server.queries.errors import TooBusy
from server.queries.event_reader import EventReader, ReadLimits, Ticket

if TYPE_CHECKING:
    from server.services import Services

Result = TypeVar("Result")

# More than run at once (`event_reader.MAX_QUERIES`): those that wait for another's answer need a thread too.
THREADS = 16

# A dashboard asks a dozen questions at once: five of them opened in the same moment.
MAX_WAITING = 64

# An export may go through everything a site has; two at a time leave the server to the dashboards.
EXPORT_LIMITS = ReadLimits(
    execution_s=3600.0,
    rows_read=50_000_000_000,
    result_rows=0,
    queries=2,
    queue_wait_s=5.0,
)


class Stats:
    """See the module. Safe to use from the event loop's thread; `run` may be awaited by many at once."""

    def __init__(
        self,
        services: Services,
        address: AddressSource,
        *,
        limits: ReadLimits | None = None,
        export_limits: ReadLimits = EXPORT_LIMITS,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self.reader = EventReader(address, limits)
        self.export_reader = EventReader(address, export_limits)
        self.engine = StatsEngine(services.engine, self.reader)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="stats")
        self._lock = threading.Lock()
        self._max_waiting = max_waiting
        self._waiting = 0

    async def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run what asks the event store. Raises what it raises, and `TooBusy` when too many wait already."""
        with self._lock:
            if self._waiting >= self._max_waiting:
                raise TooBusy("too many questions at once; try again in a moment")
            self._waiting += 1
        context = contextvars.copy_context()
        try:
            work = self._threads.submit(context.run, function, *arguments)
        except RuntimeError:  # closed: this process is ending
            self._done()
            raise TooBusy("this server is about to stop; try again in a moment") from None
        work.add_done_callback(lambda _: self._done())
        return await asyncio.wrap_future(work)

    def revoke(self, ticket: Ticket, reader: EventReader | None = None) -> None:
        """Nobody waits for this question any more. Returns at once; never raises."""
        ticket.is_revoked = True
        # Of the pool's threads all may be waiting, perhaps for this very query.
        threading.Thread(target=(reader or self.reader).revoke, args=(ticket,), name="revoke", daemon=True).start()

    def close(self) -> None:
        """Take no more questions; those under way end with their connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.reader.close()
        self.export_reader.close()

    def _done(self) -> None:
        with self._lock:
            self._waiting -= 1
