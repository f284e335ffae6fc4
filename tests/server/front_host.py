"""A real front inside the test's process: uvloop in a thread, the real collector, an application of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from tornado.web import Application

from rust_ext import Collector
from server.collect import RULES_PATH
from server.front import Front
from server.salts import kept_dates
from server.site_zones import BEGINNING
from server.snapshot import site_days

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass
class HostedFront:
    """What a test sees of it. `call` runs a function on the loop."""

    port: int
    front: Front
    collector: Collector
    loop: asyncio.AbstractEventLoop

    def connect(self) -> socket.socket:
        """A connected socket with a timeout."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def call(self, function: Any, *arguments: Any) -> Any:
        """Run a function, or a coroutine function to its end, on the front's loop."""

        async def run() -> Any:
            result = function(*arguments)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)


def snapshot_json(now_ms: int | None = None) -> bytes:
    """A snapshot with one site, `localhost`."""
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return json.dumps(
        {
            "version": 1,
            "generated_at_ms": now_ms,
            "shards": 1,
            "timezones": [{"name": "UTC", "days": site_days(((BEGINNING, "UTC"),), now_ms)}],
            "salts": dict.fromkeys(kept_dates(now_ms), "00112233445566778899aabbccddeeff"),
            "sites": [
                {
                    "site_id": 1,
                    "public_id": "00000000-0000-4000-8000-000000000001",
                    "domain": "localhost",
                    "account_id": 1,
                    "timezone": 0,
                    "state": "active",
                    "retention_class": 1,
                    "allowed_hostnames": [],
                    "drop_bot_mask": 65535,
                    "rate_per_second": None,
                    "sample_every": 1,
                    "spam_filter": True,
                }
            ],
            "limits": {"rate_per_address_per_second": None},
            "api_keys": [],
        }
    ).encode()


@contextlib.contextmanager
def hosted_front(
    folder: Path,
    application: Application,
    *,
    limits: dict[str, int] | None = None,
    max_connections: int = 5000,
    with_snapshot: bool = True,
) -> Iterator[HostedFront]:
    """A front that lives inside the `with`. `limits` override single limits of the HTTP parser."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"http": {"limits": limits or {}}}
    collector = Collector(
        rules_path=str(RULES_PATH), spool_folder=str(folder / "spool"), settings=json.dumps(settings).encode()
    )
    if with_snapshot:
        collector.apply_snapshot(snapshot_json())
    started = threading.Event()
    hosted: list[HostedFront] = []

    async def live() -> None:
        loop = asyncio.get_running_loop()
        front = Front(collector, application, loop, max_connections=max_connections)
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        front.listen(listener)
        hosted.append(HostedFront(listener.getsockname()[1], front, collector, loop))
        stop.append(asyncio.Event())
        started.set()
        await stop[0].wait()
        front.finish_listening()
        listener.close()
        await front.drain(0.2)
        collector.close()
        collector.complete()
        front.close()

    stop: list[asyncio.Event] = []

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(live())

    thread = threading.Thread(target=run, name="hosted-front")
    thread.start()
    try:
        assert started.wait(10)
        yield hosted[0]
    finally:
        hosted[0].loop.call_soon_threadsafe(stop[0].set)
        thread.join(20)
        assert not thread.is_alive()


def hit(close: bool = False) -> bytes:
    """A page view of the site `localhost`."""
    body = b'{"n":"pageview","u":"http://localhost/hello","d":"localhost"}'
    head = f"POST /api/event HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {BROWSER}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + (b"Connection: close\r\n" if close else b"") + b"\r\n" + body


@dataclass
class Answer:
    """One parsed answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Reader:
    """Reads answers one by one from a socket, by their framing."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def answer(self, *, head_only: bool = False) -> Answer:
        """The next answer; fails when the connection ends before."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        lines = head.split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        status = int(lines[0].split()[1])
        body = b""
        if not head_only and status not in (204, 304) and status >= 200:
            if headers.get("transfer-encoding") == "chunked":
                while size := int(self._until(b"\r\n"), 16):
                    body += self._exactly(size)
                    assert self._exactly(2) == b"\r\n"
                self._until(b"\r\n")
            elif "content-length" in headers:
                body = self._exactly(int(headers["content-length"]))
            else:
                body = self.rest()
        return Answer(status, headers, body)

    def rest(self) -> bytes:
        """Everything until the peer closes."""
        while self._read():
            pass
        rest, self._buffer = self._buffer, b""
        return rest

    def _read(self) -> bool:
        data = self._connection.recv(65536)
        self._buffer += data
        return bool(data)

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            assert self._read(), f"the connection ended after {self._buffer!r}"
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            assert self._read(), "the connection ended inside a body"
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found
