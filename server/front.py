"""The public port: hits go to the ingest core in Rust, everything else to the Tornado application, on one uvloop loop.

```
data_received ── Connection.feed ──▶ 0: nothing left to do (the hot path)
                                └──▶ a mask ──▶ commit this turn, hand a request to Tornado, resume, pause, close
completion_fd ── Collector.complete ──▶ answers of settled groups leave through `transport.write`; `wake(mask)`
TimerWheel    ── Connection.deadline_ms ──▶ expire: slow heads, slow bodies, idle connections, unread answers
```

Invariants:
- one Rust call per read; the records of one turn of the loop are committed together (`call_soon` once per open group);
- pipelined requests give other connections a turn in between (`RESUME` goes through `call_soon`);
- a connection that does not read its answers is not read from, and is aborted after `WRITE_STALL_S`;
- a connection that is to close sends FIN first and reads on for a while, so that the peer can read the last answer;
- at most `max_connections` are open: a further one is answered 503 and closed.

Ownership: `Front` owns the protocol objects, each of them its transport, its Rust connection and at most one exchange.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import cast

from tornado.httputil import HTTPServerConnectionDelegate
from tornado.iostream import StreamClosedError

from rust_ext import BODY, CLOSE, COMMIT, PAUSE, REQUEST, RESUME, Collector, Connection, DelegatedRequest
from server import metrics
from server.timer_wheel import TimerWheel
from server.tornado_bridge import BodyState, Exchange, RequestHead, closed_future

log = logging.getLogger(__name__)

# Answers that may wait in user space before the connection is not read any more. uvloop's own low water is 16 bytes
# (64 KiB // 4 // 1024), which would stop and start reading around every answer of a slow client.
WRITE_HIGH_WATER_BYTES = 256 * 1024
WRITE_LOW_WATER_BYTES = 64 * 1024

# A client that reads nothing for this long is gone: nginx's `send_timeout`.
WRITE_STALL_S = 60.0

# Deadlines move while a connection lives; looking at each at least this often makes one at most this late.
LONGEST_CHECK_S = 5.0

# While draining, an idle keep-alive connection gets this long to send one more request, which is answered with
# `Connection: close`: closing it at once could cross a request that is on its way.
DRAIN_IDLE_S = 3.0

OVERLOADED = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n"
    b"Access-Control-Allow-Origin: *\r\n\r\n"
)

_BODY_STATES = {
    "pending": BodyState.PENDING,
    "complete": BodyState.COMPLETE,
    "rejected": BodyState.REJECTED,
    "aborted": BodyState.ABORTED,
}


class Front:
    """All connections of one process on the public port."""

    def __init__(
        self,
        collector: Collector,
        application: HTTPServerConnectionDelegate,
        loop: asyncio.AbstractEventLoop,
        *,
        max_connections: int,
    ) -> None:
        self.collector = collector
        self.application = application
        self.loop = loop
        self.is_draining = False
        self.wheel: TimerWheel[FrontProtocol] = TimerWheel(loop, _check_deadline)
        self.tasks: set[asyncio.Task[None]] = set()
        self._max_connections = max_connections
        self._open: set[FrontProtocol] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        loop.add_reader(collector.completion_fd, collector.complete)

    def protocol(self) -> FrontProtocol:
        """The protocol of a connection that is being accepted."""
        return FrontProtocol(self)

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        return len(self._open)

    def opened(self, protocol: FrontProtocol) -> bool:
        """Count a connection in; False when there are too many."""
        if len(self._open) >= self._max_connections:
            return False
        self._open.add(protocol)
        self._empty.clear()
        metrics.CONNECTIONS.inc()
        metrics.OPEN_CONNECTIONS.set(len(self._open))
        return True

    def closed(self, protocol: FrontProtocol) -> None:
        """Count a connection out."""
        self.wheel.remove(protocol)
        self._open.discard(protocol)
        metrics.OPEN_CONNECTIONS.set(len(self._open))
        if not self._open:
            self._empty.set()

    async def drain(self, grace_s: float) -> None:
        """Finish what is under way and close every connection; what is still open after `grace_s` is aborted."""
        self.is_draining = True
        for protocol in list(self._open):
            protocol.drain()
        self.loop.call_later(min(DRAIN_IDLE_S, grace_s), self._close_idle)
        try:
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        except TimeoutError:
            for protocol in list(self._open):
                protocol.abort()
            await asyncio.sleep(0)

    def close(self) -> None:
        """Stop listening to the collector and to the clock."""
        self.loop.remove_reader(self.collector.completion_fd)
        self.wheel.stop()
        for task in self.tasks:
            task.cancel()

    def _close_idle(self) -> None:
        for protocol in list(self._open):
            protocol.end_input()


class FrontProtocol(asyncio.Protocol):
    """One connection: glue between its transport, its Rust half and the exchange with the application."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._exchange: Exchange | None = None
        self._drained: asyncio.Future[None] | None = None
        self._is_read_paused = False
        self._is_write_paused = False
        self._write_paused_at_s = 0.0
        self._is_resuming = False
        self._is_closing = False
        self._input_ended = False
        self.is_closed = False

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection was accepted."""
        # uvloop's transports have the interface, not the base class.
        self._transport = transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if not self._front.opened(self):
            metrics.REFUSED_CONNECTIONS.inc()
            self.is_closed = True
            transport.write(OVERLOADED)
            transport.close()
            return
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES, low=WRITE_LOW_WATER_BYTES)
        # Bound once: the hot path makes no lookups.
        host, port = (peer[0], peer[1]) if isinstance(peer, tuple) else ("127.0.0.1", 0)
        self._connection: Connection = self._front.collector.connection(host, port, transport.write, self.attend)
        self._feed: Callable[[bytes], int] = self._connection.feed
        self._front.wheel.place(self, LONGEST_CHECK_S)
        if self._front.is_draining:
            self._connection.drain()

    def data_received(self, data: bytes) -> None:
        """The socket was read. Hits end here."""
        if self.is_closed:
            return
        mask = self._feed(data)
        if mask:
            self.attend(mask)

    def eof_received(self) -> bool:
        """The peer closed its side; it may still read answers."""
        if self.is_closed:
            return False
        self._input_ended = True
        self.attend(self._connection.end_of_input())
        return not self._is_closing

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is gone."""
        if self.is_closed:
            return
        self.is_closed = True
        self._front.closed(self)
        self._connection.close()
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(StreamClosedError())
            self._drained.exception()
        if self._exchange is not None:
            self._exchange.disconnected()
            self._exchange = None

    def pause_writing(self) -> None:
        """The peer reads more slowly than we write: stop taking more from it."""
        self._is_write_paused = True
        self._write_paused_at_s = time.monotonic()
        self._pause_reading()

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._is_write_paused = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)
        if not self.is_closed:
            self.attend(self._connection.progress())

    # -- what is left to do --------------------------------------------------------------------------------------

    def attend(self, mask: int) -> None:
        """Do what a call of the Rust half left to do. Also called by `Collector.complete`, as its `wake`."""
        if mask & COMMIT:
            self._front.loop.call_soon(self._front.collector.commit)
        if self.is_closed:
            return
        if mask & REQUEST:
            request = self._connection.next_request()
            if request is not None:
                self._start_exchange(request)
        if mask & BODY and self._exchange is not None:
            self._exchange.body_ready()
        if mask & CLOSE:
            self._begin_close()
            return
        if mask & RESUME and not self._is_resuming and not self._is_write_paused:
            self._is_resuming = True
            self._front.loop.call_soon(self._resume)
        if mask & PAUSE:
            self._pause_reading()
        elif self._is_read_paused and not self._is_write_paused and not self._is_closing:
            self._is_read_paused = False
            self._transport.resume_reading()

    def check_deadline(self) -> None:
        """Called by the wheel: let what is overdue expire, and come back when the next thing may be."""
        if self._is_write_paused and time.monotonic() - self._write_paused_at_s > WRITE_STALL_S:
            metrics.DEADLINE_CLOSES.labels(deadline="write").inc()
            self.abort()
            return
        deadline_ms = self._connection.deadline_ms()
        due_s = LONGEST_CHECK_S if deadline_ms is None else deadline_ms / 1000 - time.time()
        if due_s <= 0:
            metrics.DEADLINE_CLOSES.labels(deadline="linger" if self._is_closing else "read").inc()
            if self._is_closing:
                self._transport.close()
                due_s = WRITE_STALL_S
            else:
                self.attend(self._connection.expire())
                due_s = LONGEST_CHECK_S
        if not self.is_closed:
            self._front.wheel.place(self, min(due_s, LONGEST_CHECK_S))

    def drain(self) -> None:
        """The process stops: the next answer says `Connection: close`."""
        if not self.is_closed:
            self._connection.drain()

    def end_input(self) -> None:
        """Take no further request: answer what is here, then close."""
        if not self.is_closed and not self._is_closing:
            self.attend(self._connection.end_of_input())

    def abort(self) -> None:
        """Drop the connection and what it still has to send."""
        if not self.is_closed:
            self._transport.abort()

    def _resume(self) -> None:
        self._is_resuming = False
        if not self.is_closed and not self._is_write_paused:
            self.attend(self._feed(b""))

    def _pause_reading(self) -> None:
        if not self._is_read_paused and not self._is_closing:
            self._is_read_paused = True
            self._transport.pause_reading()

    def _begin_close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        if self._input_ended or self._transport.is_closing():
            self._transport.close()
            return
        self._transport.write_eof()
        # Read on, so that unread input does not turn our last answer into a reset.
        if self._is_read_paused:
            self._is_read_paused = False
            self._transport.resume_reading()
        self._front.wheel.place(self, _seconds_until(self._connection.deadline_ms()))

    def _start_exchange(self, request: DelegatedRequest) -> None:
        head = RequestHead(
            method=request.method,
            target=request.target,
            version=request.version,
            headers=request.headers,
            remote_ip=request.remote_ip,
            protocol="https" if request.is_https else "http",
            keep_alive=request.keep_alive,
            expects_continue=request.expects_continue,
            has_body=request.has_body,
        )
        self._exchange = Exchange(head, self)
        task = self._front.loop.create_task(self._exchange.serve(self._front.application))
        # The loop holds tasks weakly.
        self._front.tasks.add(task)
        task.add_done_callback(self._front.tasks.discard)

    # -- tornado_bridge.AnswerChannel ----------------------------------------------------------------------------

    @property
    def is_draining(self) -> bool:
        """Whether the process stops."""
        return self._front.is_draining

    def send(self, data: bytes) -> asyncio.Future[None] | None:
        """Send a part of the application's answer."""
        if self.is_closed or self._is_closing:
            return closed_future()
        self._transport.write(data)
        if not self._is_write_paused:
            return None
        if self._drained is None:
            self._drained = self._front.loop.create_future()
        return self._drained

    def take_body(self) -> bytes | BodyState:
        """The next piece of the request's body."""
        if self.is_closed:
            return BodyState.ABORTED
        taken = self._connection.take_body()
        if isinstance(taken, bytes):
            # Taking made room: input that waits can go on.
            self.attend(self._connection.progress() & ~BODY)
            return taken
        return _BODY_STATES[taken]

    def send_rejection(self) -> None:
        """Answer a request whose body was rejected."""
        metrics.BAD_REQUESTS.inc()
        self.send(self._connection.rejection_answer())

    def exchange_done(self, *, keep_alive: bool) -> None:
        """The application's answer is complete."""
        self._exchange = None
        if not self.is_closed:
            self.attend(self._connection.finish_delegated(keep_alive))


def _check_deadline(protocol: FrontProtocol) -> None:
    protocol.check_deadline()


def _seconds_until(deadline_ms: int | None) -> float:
    return LONGEST_CHECK_S if deadline_ms is None else max(0.0, deadline_ms / 1000 - time.time())
