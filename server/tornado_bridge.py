"""One request and its answer between the front and `tornado.web.Application`, by Tornado's own interfaces.

An `Exchange` is the `HTTPConnection` that a handler writes to. The front parses requests (in Rust); `serve` drives the
`HTTPMessageDelegate` that the application returns, and takes the body from the channel piece by piece.

Invariants:
- after `headers_received` the delegate gets `finish()` or `on_connection_close()`, exactly once;
- a piece of the body is taken only when the awaitable of the previous one is done; the channel stops reading meanwhile;
- framing is decided here: chunked only where HTTP/1.1 allows it, `Content-Length` is held to the byte, CR and LF in a
  header are refused;
- an answer that is complete before the body was read closes the connection;
- after a disconnect every write returns a Future with `StreamClosedError` whose exception was retrieved already.

Ownership: the channel (the front's protocol object) owns the socket; an exchange lives for one request.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPInputError,
    HTTPMessageDelegate,
    HTTPOutputError,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError

log = logging.getLogger(__name__)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
SERVER_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

_CR_OR_LF = re.compile(r"[\r\n]")


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request as the front parsed it: its framing is settled, `keep_alive` says what the client allows."""

    method: str
    target: str
    version: str
    headers: Sequence[tuple[str, str]]
    remote_ip: str
    protocol: str
    keep_alive: bool
    expects_continue: bool
    has_body: bool


class BodyState(Enum):
    """What a channel says when it has no piece of the body to give."""

    PENDING = auto()
    COMPLETE = auto()
    REJECTED = auto()
    ABORTED = auto()


class AnswerChannel(Protocol):
    """The connection, as an exchange sees it."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be sent."""

    @property
    def is_draining(self) -> bool:
        """Whether this process stops: the answer has to say `Connection: close`."""

    def send(self, data: bytes) -> asyncio.Future[None] | None:
        """Send bytes; a Future when the client reads more slowly than we write."""

    def take_body(self) -> bytes | BodyState:
        """The next piece of the request's body, or why there is none. After PENDING the exchange is woken."""

    def send_rejection(self) -> None:
        """Answer the request whose body was rejected with the status that says why."""

    def exchange_done(self, *, keep_alive: bool) -> None:
        """The answer is complete; without `keep_alive` the connection closes once it is sent."""


class RequestContext:
    """What `HTTPServerRequest` asks of a connection's `context`: who sent it, by which protocol. One per request."""

    def __init__(self, remote_ip: str, protocol: str) -> None:
        self.remote_ip = remote_ip
        self.protocol = protocol


class _Disconnected(Exception):
    """The client went away while its body was being read."""


class Exchange(HTTPConnection):
    """One request and its answer."""

    def __init__(self, head: RequestHead, channel: AnswerChannel) -> None:
        self.context = RequestContext(head.remote_ip, head.protocol)
        self._head = head
        self._channel = channel
        self._body_read = not head.has_body
        self._body_wakeup: asyncio.Future[None] | None = None
        self._disconnected = False
        self._close_callback: Callable[[], None] | None = None
        self._max_body_bytes: int | None = None
        self._body_timeout_s: float | None = None
        self._answered = False
        self._headers_sent = False
        self._keep_alive = head.keep_alive
        self._chunked = False
        self._remaining_bytes: int | None = None

    # -- what the front calls ------------------------------------------------------------------------------------

    def body_ready(self) -> None:
        """`take_body` has something new to say."""
        self._wake_reader()

    def disconnected(self) -> None:
        """The connection is gone."""
        self._disconnected = True
        self._wake_reader()
        callback, self._close_callback = self._close_callback, None
        if callback is not None and self._body_read and not self._answered:
            callback()

    async def serve(self, application: HTTPServerConnectionDelegate) -> None:
        """Drive the application through this request. Ends when the body was handed over; the answer may come later."""
        delegate = application.start_request(self._channel, self)
        delegate_open = False
        try:
            start_line = RequestStartLine(self._head.method, self._head.target, self._head.version)
            headers = HTTPHeaders()
            for name, value in self._head.headers:
                headers.add(name, value)
            delegate_open = True
            await _done(delegate.headers_received(start_line, headers))
            if self._is_too_large(int(headers.get("Content-Length", "0"))):
                self._refuse(TOO_LARGE)
                return
            if self._head.expects_continue and not self._answered:
                self._channel.send(CONTINUE)
            async with asyncio.timeout(self._body_timeout_s):
                await self._read_body(delegate)
            if not self._answered:
                delegate_open = False
                delegate.finish()
        except HTTPInputError:
            self._refuse(BAD_REQUEST)
        except _Disconnected:
            pass
        except TimeoutError:
            self._close()
        except Exception:
            # A handler's own errors are answered by the handler: this is one in our code or Tornado's.
            log.exception("a request failed outside its handler")
            self._refuse(SERVER_ERROR)
        finally:
            if delegate_open:
                delegate.on_connection_close()

    # -- what handlers call: tornado.httputil.HTTPConnection -----------------------------------------------------

    def write_headers(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders, chunk: bytes | None = None
    ) -> asyncio.Future[None]:
        """Send the status line and headers, and the first piece of the answer's body."""
        if not isinstance(start_line, ResponseStartLine):
            raise TypeError("an answer starts with a ResponseStartLine")
        self._decide_framing(start_line.code, headers)
        lines = [f"HTTP/1.1 {start_line.code} {start_line.reason}"]
        lines += [f"{name}: {value}" for name, value in headers.get_all()]
        for line in lines:
            if _CR_OR_LF.search(line):
                raise ValueError(f"CR or LF in a header: {line!r}")
        data = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        if chunk:
            data += self._framed(chunk)
        self._headers_sent = True
        return self._send(data)

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        """Send a piece of the answer's body."""
        return self._send(self._framed(chunk))

    def finish(self) -> None:
        """The answer is complete."""
        if self._remaining_bytes and not self._is_gone:
            missing = self._remaining_bytes
            self._close()
            raise HTTPOutputError(f"the answer is {missing} bytes shorter than its Content-Length")
        if self._chunked and not self._is_gone and not self._answered:
            self._channel.send(b"0\r\n\r\n")
        if not self._answered:
            self._answered = True
            self._close_callback = None
            # The rest of an unread body cannot be told from the next request cheaply: the connection ends.
            self._channel.exchange_done(keep_alive=self._keep_alive and self._body_read)
            self._wake_reader()

    def close(self) -> None:
        """End the connection. An answer under way stays without its end, and its reader knows that it is not whole."""
        self._close()

    def set_close_callback(self, callback: Callable[[], None] | None) -> None:
        """Set what to call when the client disconnects before its answer is complete."""
        self._close_callback = callback

    def set_max_body_size(self, max_body_size: int) -> None:
        """Limit this request's body, below the front's own limit."""
        self._max_body_bytes = max_body_size

    def set_body_timeout(self, timeout: float) -> None:
        """Limit the seconds that this request's body may take."""
        self._body_timeout_s = timeout

    def detach(self) -> IOStream:
        """There is no IOStream to give away, hence no WebSocket: use server-sent events."""
        raise NotImplementedError("the front owns its sockets; use server-sent events instead of a WebSocket")

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def _is_gone(self) -> bool:
        return self._disconnected or self._channel.is_closed

    async def _read_body(self, delegate: HTTPMessageDelegate) -> None:
        received_bytes = 0
        while not self._answered and not self._body_read:
            if self._disconnected:
                raise _Disconnected
            match self._channel.take_body():
                case bytes() as piece:
                    received_bytes += len(piece)
                    if self._is_too_large(received_bytes):
                        self._refuse(TOO_LARGE)
                        raise _Disconnected
                    await _done(delegate.data_received(piece))
                case BodyState.COMPLETE:
                    self._body_read = True
                case BodyState.PENDING:
                    self._body_wakeup = asyncio.get_running_loop().create_future()
                    await self._body_wakeup
                case BodyState.REJECTED:
                    if not self._headers_sent:
                        self._channel.send_rejection()
                    self._close()
                    raise _Disconnected
                case BodyState.ABORTED:
                    self._close()
                    raise _Disconnected

    def _wake_reader(self) -> None:
        wakeup, self._body_wakeup = self._body_wakeup, None
        if wakeup is not None and not wakeup.done():
            wakeup.set_result(None)

    def _is_too_large(self, body_bytes: int) -> bool:
        return self._max_body_bytes is not None and body_bytes > self._max_body_bytes

    def _decide_framing(self, code: int, headers: HTTPHeaders) -> None:
        is_new = self._head.version == "HTTP/1.1"
        has_body = self._head.method != "HEAD" and code not in (204, 304) and code >= 200
        self._chunked = is_new and has_body and "Content-Length" not in headers
        if not is_new and has_body and "Content-Length" not in headers:
            self._keep_alive = False
        if self._channel.is_draining or not self._body_read:
            self._keep_alive = False
        if "close" in headers.get("Connection", "").lower():
            self._keep_alive = False
        if not self._keep_alive:
            headers["Connection"] = "close"
        elif not is_new:
            headers["Connection"] = "Keep-Alive"
        if self._chunked:
            headers["Transfer-Encoding"] = "chunked"
        if not has_body:
            self._remaining_bytes = 0
        elif "Content-Length" in headers:
            self._remaining_bytes = int(headers["Content-Length"])

    def _framed(self, chunk: bytes) -> bytes:
        if self._remaining_bytes is not None:
            self._remaining_bytes -= len(chunk)
            if self._remaining_bytes < 0:
                self._close()
                raise HTTPOutputError("the answer is longer than its Content-Length")
        if self._chunked and chunk:
            return b"%x\r\n%b\r\n" % (len(chunk), chunk)
        return chunk

    def _send(self, data: bytes) -> asyncio.Future[None]:
        if self._is_gone:
            return closed_future()
        pending = self._channel.send(data) if data else None
        if pending is not None:
            return pending
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def _refuse(self, answer: bytes) -> None:
        if self._answered:
            return
        if not self._headers_sent and not self._is_gone:
            self._channel.send(answer)
        self._close()

    def _close(self) -> None:
        if not self._answered:
            self._answered = True
            self._close_callback = None
            self._channel.exchange_done(keep_alive=False)
        self._wake_reader()


async def _done(awaitable: Awaitable[None] | None) -> None:
    if awaitable is not None:
        await awaitable


def closed_future() -> asyncio.Future[None]:
    """What a write to a closed connection returns; handlers that do not wait for it cause no warning."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_exception(StreamClosedError())
    future.exception()
    return future
