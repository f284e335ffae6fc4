"""The public port: hits go to the ingest core in Rust, everything else to the Tornado application, on one uvloop loop.

```
Sockets.fd is readable ── Sockets.turn ──▶ every ready socket is read once and its hits handled, settled answers are
                              │            written, what was logged is committed: no Python (the hot path)
                              ├──▶ FrontConnection.attend(mask): a request for Tornado, resume, pause, end, close
                              └──▶ Front.accepted: a new connection
TimerWheel ── Connection.deadline_ms ──▶ expire: slow heads, slow bodies, idle connections, unread answers
```

Invariants:
- one Rust call per turn of the loop, whatever is ready; the records of one turn are committed together;
- pipelined requests give other connections a turn in between (`RESUME` goes through `call_soon`);
- a connection that does not read its answers is not read from, and is aborted after `WRITE_STALL_S`;
- a connection that is to close sends FIN first and reads on for a while, so that the peer can read the last answer;
- at most `max_connections` are open: a further one is answered 503 and closed.

Ownership: `Front` owns its `FrontConnection`s, each of them a Rust connection (with the socket) and one exchange.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable

from tornado.httputil import HTTPServerConnectionDelegate
from tornado.iostream import StreamClosedError

from rust_ext import (
    BODY,
    CLOSE,
    COMMIT,
    DRAINED,
    END,
    FULL,
    OVER,
    PAUSE,
    REQUEST,
    RESUME,
    Collector,
    Connection,
    DelegatedRequest,
)
from server import metrics
from server.timer_wheel import TimerWheel
from server.tornado_bridge import BodyState, Exchange, RequestHead, closed_future

log = logging.getLogger(__name__)

# A client that reads nothing for this long is gone: nginx's `send_timeout`.
WRITE_STALL_S = 60.0

# Deadlines move while a connection lives; looking at each at least this often makes one at most this late.
LONGEST_CHECK_S = 5.0

# Out of descriptors: those that wait to be accepted wait on in the kernel's queue, and connections that end make room.
ACCEPT_PAUSE_S = 1.0

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
        self.wheel: TimerWheel[FrontConnection] = TimerWheel(loop, _check_deadline)
        self.tasks: set[asyncio.Task[None]] = set()
        self._max_connections = max_connections
        self._open: set[FrontConnection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._sockets = collector.sockets(self.accepted)
        loop.add_reader(self._sockets.fd, self._turn)

    def listen(self, listener: socket.socket) -> None:
        """Accept connections from a listening socket, which stays the caller's."""
        listener.setblocking(False)
        self._sockets.listen(listener.fileno())

    def finish_listening(self) -> None:
        """Accept who waits in the listening socket's queue, and nobody after them.

        When the parent keeps the socket too (rolling restart) nothing could be lost; at the end of `serve` this process
        has the last copy, and closing it resets what still waits.
        """
        self._sockets.finish_listening()

    def accepted(self, connection: Connection) -> Callable[[int], None] | None:
        """A connection was accepted: what attends to it from now on, or None when there are too many."""
        if len(self._open) >= self._max_connections:
            metrics.REFUSED_CONNECTIONS.inc()
            connection.write(OVERLOADED)
            return None
        taken = FrontConnection(self, connection)
        self._open.add(taken)
        self._empty.clear()
        metrics.CONNECTIONS.inc()
        metrics.OPEN_CONNECTIONS.set(len(self._open))
        return taken.attend

    @property
    def open_connections(self) -> int:
        """Connections that are open now."""
        return len(self._open)

    def closed(self, connection: FrontConnection) -> None:
        """Count a connection out."""
        self.wheel.remove(connection)
        self._open.discard(connection)
        metrics.OPEN_CONNECTIONS.set(len(self._open))
        if not self._open:
            self._empty.set()

    async def drain(self, grace_s: float) -> None:
        """Finish what is under way and close every connection; what is still open after `grace_s` is aborted."""
        self.is_draining = True
        for connection in list(self._open):
            connection.drain()
        self.loop.call_later(min(DRAIN_IDLE_S, grace_s), self._close_idle)
        try:
            async with asyncio.timeout(grace_s):
                await self._empty.wait()
        except TimeoutError:
            for connection in list(self._open):
                connection.abort()
            await asyncio.sleep(0)

    def close(self) -> None:
        """Stop listening to the collector and to the clock."""
        self.loop.remove_reader(self._sockets.fd)
        self.wheel.stop()
        for task in self.tasks:
            task.cancel()

    def _turn(self) -> None:
        if self._sockets.turn():
            log.warning("out of descriptors: no connection is accepted for a moment")
            self.loop.call_later(ACCEPT_PAUSE_S, self._sockets.resume_listening)

    def _close_idle(self) -> None:
        for connection in list(self._open):
            connection.end_input()


class FrontConnection:
    """One connection: glue between its Rust half and the exchange with the application."""

    def __init__(self, front: Front, connection: Connection) -> None:
        self._front = front
        self._connection = connection
        self._exchange: Exchange | None = None
        self._drained: asyncio.Future[None] | None = None
        self._is_read_paused = False
        self._is_write_paused = False
        self._unread_bytes = 0
        self._unread_since_s = 0.0
        self._is_resuming = False
        self._is_closing = False
        self._is_ending = False
        self._input_ended = False
        self.is_closed = False
        front.wheel.place(self, LONGEST_CHECK_S)
        if front.is_draining:
            connection.drain()

    # -- what is left to do --------------------------------------------------------------------------------------

    def attend(self, mask: int) -> None:
        """Do what a call of the Rust half left to do. Also called by a turn of the sockets, as its `wake`."""
        if mask & COMMIT:
            self._front.loop.call_soon(self._front.collector.commit)
        if self.is_closed:
            return
        if mask & OVER:
            self._lose()
            return
        if mask & FULL:
            self._pause_writing()
        if mask & DRAINED:
            self._resume_writing()
            mask |= self._connection.progress()
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
            self._resume_reading()
        if mask & END:
            self._input_ended = True
            self.attend(self._connection.end_of_input())
            if self._is_closing:
                self._end()

    def check_deadline(self) -> None:
        """Called by the wheel: let what is overdue expire, and come back when the next thing may be."""
        if self._has_stalled():
            metrics.DEADLINE_CLOSES.labels(deadline="write").inc()
            self.abort()
            return
        deadline_ms = self._connection.deadline_ms()
        due_s = LONGEST_CHECK_S if deadline_ms is None else deadline_ms / 1000 - time.time()
        if due_s <= 0:
            if not self._is_closing:
                metrics.DEADLINE_CLOSES.labels(deadline="read").inc()
                self.attend(self._connection.expire())
            elif not self._is_ending:
                metrics.DEADLINE_CLOSES.labels(deadline="linger").inc()
                self._end()
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
            self._lose()

    def _stop_if_over(self, mask: int) -> None:
        if mask & OVER and not self.is_closed:
            self._lose()

    def _lose(self) -> None:
        """The socket is gone, or goes now; what is under way hears of it in the loop's next turn."""
        self.is_closed = True
        self._connection.close()
        self._front.loop.call_soon(self._lost)

    def _lost(self) -> None:
        self._front.closed(self)
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(StreamClosedError())
            self._drained.exception()
        if self._exchange is not None:
            self._exchange.disconnected()
            self._exchange = None

    def _pause_writing(self) -> None:
        """The peer reads more slowly than we write: stop taking more from it."""
        self._is_write_paused = True
        self._pause_reading()

    def _resume_writing(self) -> None:
        """The peer has caught up."""
        self._is_write_paused = False
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def _has_stalled(self) -> bool:
        """Whether the peer has read nothing of what waits for it since long."""
        now_s = time.monotonic()
        unread_bytes = self._connection.unread_bytes()
        if unread_bytes == 0 or unread_bytes != self._unread_bytes:
            self._unread_bytes, self._unread_since_s = unread_bytes, now_s
            return False
        return now_s - self._unread_since_s > WRITE_STALL_S

    def _resume(self) -> None:
        self._is_resuming = False
        if not self.is_closed and not self._is_write_paused:
            self.attend(self._connection.feed(b""))

    def _pause_reading(self) -> None:
        if not self._is_read_paused and not self._is_closing:
            self._is_read_paused = True
            self._stop_if_over(self._connection.read(False))

    def _resume_reading(self) -> None:
        if self._is_read_paused:
            self._is_read_paused = False
            self._stop_if_over(self._connection.read(True))

    def _begin_close(self) -> None:
        if self._is_closing:
            return
        self._is_closing = True
        if self._input_ended:
            self._end()
            return
        self._stop_if_over(self._connection.end_output())
        # Read on, so that unread input does not turn our last answer into a reset.
        self._resume_reading()
        self._front.wheel.place(self, _seconds_until(self._connection.deadline_ms()))

    def _end(self) -> None:
        """Close once all is written."""
        if not self.is_closed and not self._is_ending:
            self._is_ending = True
            self._stop_if_over(self._connection.end())

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
        written = self._connection.write(data)
        if written:
            self.attend(written)
        if written & OVER:
            return closed_future()
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


def _check_deadline(connection: FrontConnection) -> None:
    connection.check_deadline()


def _seconds_until(deadline_ms: int | None) -> float:
    return LONGEST_CHECK_S if deadline_ms is None else max(0.0, deadline_ms / 1000 - time.time())
