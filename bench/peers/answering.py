"""Peers that answer and store nothing: what a server can do at best, and what the usual Python servers do.

Each in the production form that its documentation recommends for one core, and each without an access log, as ours:

* nginx: one worker, `return 204`. It reads neither body nor headers into anything: the least a server can do.
* Tornado: one handler on uvloop (`bench.peers.tornado_handler`), the form of its own deployment page for one core.
* uvicorn: one worker, `--loop uvloop --http httptools` (what `uvicorn[standard]` chooses), a raw ASGI application.
* Granian: one worker, one runtime thread, uvloop, the same ASGI application; and the same as RSGI, its own interface.

The three Python ones parse the hit's JSON, check the two fields that every hit must have, and answer 202: less than any
collector must do.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

from bench.peers.peer import Peer, ProcessPeer
from tests.services.nginx import running_nginx


class Nginx(Peer):
    """`return 204`."""

    name = "nginx"
    form = "one worker, return 204"
    stores = False
    _running: ExitStack | None = None

    def start(self) -> None:
        """Start it."""
        self._running = ExitStack()
        self.port, self._pid = self._running.enter_context(running_nginx(self.folder))

    def kill(self) -> None:
        """End it; there is nothing to lose."""
        if self._running is not None:
            self._running.close()
            self._running = None

    @property
    def server_pids(self) -> list[int]:
        """Its only process."""
        return [self._pid]


class Tornado(ProcessPeer):
    """The stock handler."""

    name = "tornado"
    form = "one process, a RequestHandler on uvloop, orjson"
    stores = False

    def command(self) -> list[str]:
        """Its module."""
        return [sys.executable, "-m", "bench.peers.tornado_handler", str(self.port)]


class ServerPeer(ProcessPeer):
    """A server of somebody else's application."""

    application: str
    """Module and name of what it serves."""


class Uvicorn(ServerPeer):
    """Raw ASGI."""

    application = "bench.peers.hit_application:asgi"
    name = "uvicorn"
    form = "--workers 1 --loop uvloop --http httptools --no-access-log, raw ASGI, orjson"
    stores = False

    def command(self) -> list[str]:
        """Its command line."""
        options = "--workers 1 --loop uvloop --http httptools --no-access-log --log-level warning --lifespan off"
        return [sys.executable, "-m", "uvicorn", self.application, "--port", str(self.port), *options.split()]


class Granian(ServerPeer):
    """Rust below, ASGI above."""

    name = "granian_asgi"
    form = "--interface asginl --workers 1 --runtime-threads 1 --loop uvloop, raw ASGI, orjson"
    stores = False
    # `asginl` is ASGI without the lifespan protocol, which the application does not speak.
    interface, application = "asginl", "bench.peers.hit_application:asgi"

    def command(self) -> list[str]:
        """Its command line."""
        options = "--workers 1 --runtime-threads 1 --loop uvloop --http 1 --no-ws --no-access-log --log-level warning"
        interface = ["--interface", self.interface, "--port", str(self.port)]
        return [sys.executable, "-m", "granian", self.application, *interface, *options.split()]


class GranianRsgi(Granian):
    """Its own interface, which it is fastest with."""

    name = "granian_rsgi"
    form = "--interface rsgi --workers 1 --runtime-threads 1 --loop uvloop, orjson"
    interface, application = "rsgi", "bench.peers.hit_application:rsgi"
