"""The parent process of `serve`: owns the listening sockets and keeps the processes that use them running.

Invariants:
- a listening socket is opened once and lives as long as the parent; children inherit it, so a child that ends or is
  replaced never resets a connection that waits in its queue;
- with several processes each slot has its own socket on the port (SO_REUSEPORT): the kernel spreads connections;
- a child that ends by itself is started again, with a growing pause when it ends soon after its start;
- a rolling restart (SIGHUP) starts a slot's successor, waits until it takes connections, then stops the old one;
- a stop (SIGTERM, SIGINT) closes the parent's sockets first: the children then own them alone, empty their queues and
  finish; a second signal kills them.

The internal port (`/metrics`, `/healthz`, `/readyz`) is answered here from the children's reports.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

from server.config import LISTEN_BACKLOG, Role, SettingError, Settings, child_environment
from server.control_channel import ControlChannel
from server.health import HealthReport, health_answer, merge_reports
from server.metrics import MergedReports

log = logging.getLogger(__name__)

# A child that lived this long had started well: the next start is at once.
STEADY_AFTER_S = 10.0
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0

# A child is ready in about half a second; on a machine that is loaded to the brim, in several.
READY_TIMEOUT_S = 60.0

# What a child may take beyond its grace for closing files and the like, before it is killed.
KILL_AFTER_GRACE_S = 10.0

_PACKAGE_ROOT = Path(__file__).resolve().parent.parent


@dataclass(eq=False)
class Child:
    """One running process of a slot."""

    slot: int
    process: asyncio.subprocess.Process
    channel: ControlChannel
    started_at_s: float
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    is_stopping: bool = False


class Supervisor:
    """Runs the processes of one `serve` until it is told to stop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sockets = open_sockets(settings)
        self._internal_sockets = [_listen(settings.internal_host, settings.internal_port, "INTERNAL", shared=False)]
        self._children: set[Child] = set()
        self._current: dict[int, Child] = {}
        self._reports: dict[int, tuple[float, HealthReport, list[Any]]] = {}
        self._pauses_s = [0.0] * len(self._sockets)
        self._watchers: set[asyncio.Task[None]] = set()
        self._store_ready = False
        self._stopping = asyncio.Event()
        self._restarting = asyncio.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(MergedReports(self._families))
        self._respawns = Counter("footfall_process_respawns", "Processes started again", registry=self._registry)
        self._processes = Gauge("footfall_processes", "Processes that run", registry=self._registry)
        self._processes.set_function(lambda: len(self._children))

    @property
    def is_stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stopping.is_set()

    async def start(self) -> None:
        """Start every slot's process and the internal port; returns when all take connections."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._watch(self.rolling_restart()))
        self._internal = HTTPServer(_internal_application(self))
        self._internal.add_sockets(self._internal_sockets)
        children = [await self._spawn(slot) for slot in range(len(self._sockets))]
        waits = [asyncio.ensure_future(child.ready.wait()) for child in children]
        waits.append(asyncio.ensure_future(self._stopping.wait()))
        pending = set(waits[:-1])
        while pending and not self._stopping.is_set():
            _, still = await asyncio.wait({*pending, waits[-1]}, return_when=asyncio.FIRST_COMPLETED)
            pending = still - {waits[-1]}
        for wait in waits:
            wait.cancel()

    def store_ready(self) -> None:
        """ClickHouse has its tables: every child may flush."""
        self._store_ready = True
        for child in self._children:
            child.channel.send({"type": "store_ready"})

    def stop(self) -> None:
        """Stop gracefully; at once when called a second time."""
        if self._stopping.is_set():
            for child in self._children:
                _signal(child, signal.SIGKILL)
            return
        self._stopping.set()

    async def run_until_stopped(self) -> None:
        """Wait for `stop`, then end the children and the internal port."""
        await self._stopping.wait()
        for listener in self._sockets:
            listener.close()
        log.info("stopping")
        for child in list(self._children):
            self._ask_to_stop(child)
        deadline_s = self._settings.stop_grace_s + KILL_AFTER_GRACE_S
        waits = [asyncio.ensure_future(child.process.wait()) for child in self._children]
        if waits:
            _, late = await asyncio.wait(waits, timeout=deadline_s)
            if late:
                log.error("processes did not stop in time and are killed", extra={"count": len(late)})
                for child in list(self._children):
                    _signal(child, signal.SIGKILL)
                await asyncio.wait(late)
        self._internal.stop()
        await self._internal.close_all_connections()
        for watcher in list(self._watchers):
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    async def rolling_restart(self) -> None:
        """Replace every process by a successor, one slot after the other."""
        async with self._restarting:
            for slot in range(len(self._sockets)):
                if self._stopping.is_set():
                    return
                old = self._current.get(slot)
                successor = await self._spawn(slot)
                try:
                    await asyncio.wait_for(successor.ready.wait(), READY_TIMEOUT_S)
                except TimeoutError:
                    log.error("a successor did not get ready; the old process stays", extra={"slot": slot})
                    successor.is_stopping = True
                    _signal(successor, signal.SIGKILL)
                    if old is not None:
                        self._current[slot] = old
                    return
                if old is not None:
                    self._ask_to_stop(old)
                log.info("process replaced", extra={"slot": slot})

    def health(self) -> HealthReport:
        """The state of all processes together."""
        now_s = time.monotonic()
        reports = {str(slot): (at_s, report) for slot, (at_s, report, _) in self._reports.items()}
        merged = merge_reports(reports, len(self._sockets), now_s)
        if self._stopping.is_set():
            return HealthReport(merged.live, (*merged.ready, "stopping"))
        return merged

    def metrics_page(self) -> bytes:
        """The page of `/metrics`."""
        return generate_latest(self._registry)

    async def _spawn(self, slot: int) -> Child:
        ours, theirs = socket.socketpair()
        listener = self._sockets[slot]
        module = "server.web" if self._settings.role is Role.WEB else "server.collect"
        environment = child_environment(self._settings, os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(_PACKAGE_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
        )
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                f"--slot={slot}",
                f"--listen-fd={listener.fileno()}",
                f"--control-fd={theirs.fileno()}",
                env=environment,
                pass_fds=(listener.fileno(), theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                # A terminal's Ctrl-C is for the parent, which then stops its children in order.
                start_new_session=True,
            )
        child = Child(slot, process, await ControlChannel.open(ours), time.monotonic())
        self._children.add(child)
        self._current[slot] = child
        if self._store_ready:
            child.channel.send({"type": "store_ready"})
        self._watch(self._listen_to(child))
        self._watch(self._await_end(child))
        return child

    async def _listen_to(self, child: Child) -> None:
        async for message in child.channel.messages():
            if message["type"] == "ready":
                child.ready.set()
            elif message["type"] == "report" and self._current.get(child.slot) is child:
                report = HealthReport(tuple(message["live"]), tuple(message["ready"]))
                self._reports[child.slot] = (time.monotonic(), report, message["families"])

    async def _await_end(self, child: Child) -> None:
        status = await child.process.wait()
        child.channel.close()
        self._children.discard(child)
        if child.is_stopping or self._stopping.is_set():
            return
        if self._current.get(child.slot) is not child:
            return
        self._reports.pop(child.slot, None)
        self._respawns.inc()
        lived_s = time.monotonic() - child.started_at_s
        pause_s = self._pauses_s[child.slot] if lived_s < STEADY_AFTER_S else 0.0
        self._pauses_s[child.slot] = min(max(pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        log.error("a process ended and is started again", extra={"slot": child.slot, "exit_status": status})
        await asyncio.sleep(pause_s)
        if not self._stopping.is_set():
            await self._spawn(child.slot)

    def _ask_to_stop(self, child: Child) -> None:
        child.is_stopping = True
        _signal(child, signal.SIGTERM)

    def _watch(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._watchers.add(task)
        task.add_done_callback(self._watched_ended)

    def _watched_ended(self, task: asyncio.Task[None]) -> None:
        self._watchers.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("supervision failed", exc_info=task.exception())

    def _families(self) -> dict[str, list[Any]]:
        return {str(slot): families for slot, (_, _, families) in self._reports.items()}


def open_sockets(settings: Settings) -> list[socket.socket]:
    """A listening socket for each process. Raises `SettingError` when the port or the address cannot be used."""
    if settings.processes == 1:
        return [_listen(settings.host, settings.port, "", shared=False)]
    # With SO_REUSEPORT a second server on the port would go unnoticed: look first.
    _listen(settings.host, settings.port, "", shared=False).close()
    return [_listen(settings.host, settings.port, "", shared=True) for _ in range(settings.processes)]


def _listen(host: str, port: int, prefix: str, *, shared: bool) -> socket.socket:
    name = f"FOOTFALL_{prefix + '_' if prefix else ''}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise SettingError(f"{name}HOST", host, "an address of this machine") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.listen(LISTEN_BACKLOG)
        listener.setblocking(False)
    except PermissionError:
        listener.close()
        raise SettingError(f"{name}PORT", str(port), "a port that this user may listen on") from None
    except OSError as error:
        listener.close()
        if error.errno == 98:
            raise SettingError(f"{name}PORT", str(port), "a port that no other program listens on") from None
        raise SettingError(f"{name}HOST", host, "an address of this machine") from None
    return listener


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process.returncode is None:
        child.process.send_signal(number)


class _InternalHandler(RequestHandler):
    """Answers the internal port."""

    def initialize(self, answer: Callable[[], tuple[int, str, bytes]]) -> None:
        """`answer` gives status, content type and body."""
        self._answer = answer

    def get(self) -> None:
        """Answer."""
        status, content_type, body = self._answer()
        self.set_status(status)
        self.set_header("Content-Type", content_type)
        self.write(body)


def _internal_application(supervisor: Supervisor) -> Application:
    import orjson

    def probe(problems: Callable[[HealthReport], tuple[str, ...]]) -> Callable[[], tuple[int, str, bytes]]:
        def answer() -> tuple[int, str, bytes]:
            status, document = health_answer(problems(supervisor.health()))
            return status, "application/json", orjson.dumps(document)

        return answer

    def metrics() -> tuple[int, str, bytes]:
        return 200, "text/plain; version=0.0.4; charset=utf-8", supervisor.metrics_page()

    return Application(
        [
            (r"/metrics", _InternalHandler, {"answer": metrics}),
            (r"/healthz", _InternalHandler, {"answer": probe(lambda report: report.live)}),
            (r"/readyz", _InternalHandler, {"answer": probe(lambda report: report.ready)}),
        ],
        log_function=lambda handler: None,
    )
