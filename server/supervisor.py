"""The parent process of `serve`: owns the listening sockets and keeps the processes that use them running.

Beside them it keeps the worker, a process without a socket (`jobs.worker`): tasks and jobs. `footfall worker` is this
parent with the worker alone.

Invariants:
- a listening socket is opened once and lives as long as the parent; children inherit it, so a child that ends or is
  replaced never resets a connection that waits in its queue;
- with several processes each slot has its own socket on the port (SO_REUSEPORT): the kernel spreads connections;
- a child that ends by itself is started again, with a growing pause when it ends soon after its start;
- a rolling restart (SIGHUP) starts a slot's successor, waits until it takes connections, then stops the old one;
- the worker is started when the others are ready, so that it costs them no time; whatever becomes of it does not touch
  them, nor their readiness;
- a process that hangs is killed and started again after `HANGS_FOR_S`: one that says nothing, or whose flusher does not
  move. Probes see it earlier, and whoever restarts whole pods may act on them;
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
from server.health import REPORT_STALL_S, HealthReport, health_answer, merge_reports, worker_problems
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

# A process reports every second from its main thread. Compiled code that keeps the interpreter's lock, or a machine
# that is loaded to the brim, delays that by seconds; a minute is a process that hangs.
HANGS_FOR_S = 60.0

# The worker does not wait longer for the others than this: jobs are due also while a port's process cannot start.
WORKER_WAITS_S = 15.0

# How often one that hangs is looked for.
HANG_LOOK_S = 1.0

WORKER = "worker"
WORKER_MODULE = "jobs.worker"

_PACKAGE_ROOT = Path(__file__).resolve().parent.parent


@dataclass(eq=False)
class Slot:
    """A place for one process, whichever fills it now. Its name is the label `process` of the metrics."""

    name: str
    module: str
    listener: socket.socket | None
    pause_s: float = 0.0


@dataclass(eq=False)
class Child:
    """One running process of a slot."""

    slot: Slot
    process: asyncio.subprocess.Process
    channel: ControlChannel
    started_at_s: float
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    is_stopping: bool = False
    was_well: bool = False


class Supervisor:
    """Runs the processes of one `serve`, or the worker alone, until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        *,
        serves: bool = True,
        worker_module: str = WORKER_MODULE,
        hangs_for_s: float = HANGS_FOR_S,
    ) -> None:
        """`serves`: whether there are processes that take connections. Raises `SettingError` for a port."""
        self._settings = settings
        self._hangs_for_s = hangs_for_s
        self._sockets = open_sockets(settings) if serves else []
        self._internal_sockets = [_listen(settings.internal_host, settings.internal_port, "INTERNAL", shared=False)]
        module = "server.web" if settings.role is Role.WEB else "server.collect"
        self._serving = [Slot(str(number), module, listener) for number, listener in enumerate(self._sockets)]
        has_worker = settings.worker_threads > 0 and (not serves or settings.role is not Role.COLLECT)
        self._worker = Slot(WORKER, worker_module, None) if has_worker else None
        self._children: set[Child] = set()
        self._current: dict[str, Child] = {}
        self._reports: dict[str, tuple[float, HealthReport, list[Any]]] = {}
        self._watchers: set[asyncio.Task[None]] = set()
        self._store_ready = False
        self._stopping = asyncio.Event()
        self._restarting = asyncio.Lock()
        self._registry = CollectorRegistry()
        self._registry.register(MergedReports(self._families))
        self._respawns = Counter("footfall_process_respawns", "Processes started again", registry=self._registry)
        self._processes = Gauge("footfall_processes", "Processes that run", registry=self._registry)
        self._processes.set_function(lambda: len(self._children))
        if self._worker is not None:
            worker_up = Gauge("footfall_worker_up", "1 while the worker process reports", registry=self._registry)
            worker_up.set_function(lambda: float(self._is_heard(WORKER)))

    @property
    def is_stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stopping.is_set()

    async def start(self) -> None:
        """Start every slot's process and the internal port; returns when all that serve take connections."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._watch(self.rolling_restart()))
        self._internal = HTTPServer(_internal_application(self))
        self._internal.add_sockets(self._internal_sockets)
        children = [await self._spawn(slot) for slot in self._serving]
        if self._worker is not None:
            self._watch(self._start_worker(self._worker, children))
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
        waits = [asyncio.ensure_future(child.process.wait()) for child in self._children]
        if waits:
            await asyncio.wait(waits)
        self._internal.stop()
        await self._internal.close_all_connections()
        for watcher in list(self._watchers):
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    async def rolling_restart(self) -> None:
        """Replace every process by a successor, one slot after the other."""
        async with self._restarting:
            for slot in [*self._serving, *filter(None, [self._worker])]:
                if self._stopping.is_set():
                    return
                old = self._current.get(slot.name)
                successor = await self._spawn(slot)
                try:
                    await asyncio.wait_for(successor.ready.wait(), READY_TIMEOUT_S)
                except TimeoutError:
                    log.error("a successor did not get ready; the old process stays", extra={"slot": slot.name})
                    successor.is_stopping = True
                    _signal(successor, signal.SIGKILL)
                    if old is not None:
                        self._current[slot.name] = old
                    return
                if old is not None:
                    self._ask_to_stop(old)
                log.info("process replaced", extra={"slot": slot.name})

    def health(self) -> HealthReport:
        """The state of all processes together. With nobody to serve, readiness is the worker's."""
        now_s = time.monotonic()
        reports = {name: (at_s, report) for name, (at_s, report, _) in self._reports.items()}
        worker = reports.pop(WORKER, None)
        merged = merge_reports(reports, len(self._serving), now_s)
        notes = worker_problems(worker, now_s) if self._worker is not None else ()
        ready = merged.ready if self._serving else notes
        if self._stopping.is_set():
            ready = (*ready, "stopping")
        return HealthReport(merged.live, ready, notes)

    def metrics_page(self) -> bytes:
        """The page of `/metrics`."""
        return generate_latest(self._registry)

    async def _start_worker(self, slot: Slot, others: list[Child]) -> None:
        """Once the others are ready: at a start the machine's cores are theirs."""
        waits = [asyncio.ensure_future(child.ready.wait()) for child in others]
        if waits:
            _, late = await asyncio.wait(waits, timeout=WORKER_WAITS_S)
            for wait in late:
                wait.cancel()
        # A rolling restart may have been first.
        if not self._stopping.is_set() and slot.name not in self._current:
            await self._spawn(slot)

    async def _spawn(self, slot: Slot) -> Child:
        ours, theirs = socket.socketpair()
        descriptors = [theirs.fileno(), *([slot.listener.fileno()] if slot.listener is not None else [])]
        environment = child_environment(self._settings, os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(_PACKAGE_ROOT), *filter(None, [environment.get("PYTHONPATH")])]
        )
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                slot.module,
                f"--slot={slot.name}",
                *(f"--{name}-fd={number}" for name, number in zip(("control", "listen"), descriptors, strict=False)),
                env=environment,
                pass_fds=descriptors,
                stdin=asyncio.subprocess.DEVNULL,
                # A terminal's Ctrl-C is for the parent, which then stops its children in order.
                start_new_session=True,
            )
        child = Child(slot, process, await ControlChannel.open(ours), time.monotonic())
        self._children.add(child)
        self._current[slot.name] = child
        if self._store_ready:
            child.channel.send({"type": "store_ready"})
        self._watch(self._listen_to(child))
        self._watch(self._await_end(child))
        self._watch(self._end_when_it_hangs(child))
        return child

    async def _listen_to(self, child: Child) -> None:
        async for message in child.channel.messages():
            child.was_well = not message.get("live")
            if message["type"] == "ready":
                child.ready.set()
            elif message["type"] == "report" and self._current.get(child.slot.name) is child:
                report = HealthReport(tuple(message["live"]), tuple(message["ready"]))
                self._reports[child.slot.name] = (time.monotonic(), report, message["families"])

    async def _end_when_it_hangs(self, child: Child) -> None:
        """Kill a process that does not report any more, or not that it is live; `_await_end` then starts another."""
        # Looks are counted instead of time: while the parent itself is held up, nobody is to blame for silence.
        looks = 0
        while child.process.returncode is None and not child.is_stopping and not self._stopping.is_set():
            # One that serves may wait for its first snapshot, and for the database that has it, before it says a word.
            may_start = child.slot is not self._worker and not child.ready.is_set()
            looks = 0 if child.was_well or may_start else looks + 1
            child.was_well = False
            if looks * HANG_LOOK_S >= self._hangs_for_s:
                log.error(
                    "a process that hangs is killed",
                    extra={"slot": child.slot.name, "hangs_s": round(looks * HANG_LOOK_S)},
                )
                _signal(child, signal.SIGKILL)
                return
            await asyncio.sleep(HANG_LOOK_S)

    def _is_heard(self, name: str) -> bool:
        reported = self._reports.get(name)
        return reported is not None and time.monotonic() - reported[0] <= REPORT_STALL_S

    async def _await_end(self, child: Child) -> None:
        status = await child.process.wait()
        child.channel.close()
        self._children.discard(child)
        if child.is_stopping or self._stopping.is_set():
            return
        if self._current.get(child.slot.name) is not child:
            return
        self._reports.pop(child.slot.name, None)
        self._respawns.inc()
        lived_s = time.monotonic() - child.started_at_s
        pause_s = child.slot.pause_s if lived_s < STEADY_AFTER_S else 0.0
        child.slot.pause_s = min(max(pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        log.error("a process ended and is started again", extra={"slot": child.slot.name, "exit_status": status})
        await asyncio.sleep(pause_s)
        if not self._stopping.is_set():
            await self._spawn(child.slot)

    def _ask_to_stop(self, child: Child) -> None:
        child.is_stopping = True
        _signal(child, signal.SIGTERM)
        self._watch(self._kill_when_late(child))

    async def _kill_when_late(self, child: Child) -> None:
        """One that hangs does not stop by itself."""
        try:
            await asyncio.wait_for(child.process.wait(), self._settings.stop_grace_s + KILL_AFTER_GRACE_S)
        except TimeoutError:
            log.error("a process did not stop in time and is killed", extra={"slot": child.slot.name})
            _signal(child, signal.SIGKILL)

    def _watch(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._watchers.add(task)
        task.add_done_callback(self._watched_ended)

    def _watched_ended(self, task: asyncio.Task[None]) -> None:
        self._watchers.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("supervision failed", exc_info=task.exception())

    def _families(self) -> dict[str, list[Any]]:
        return {name: families for name, (_, _, families) in self._reports.items()}


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

    def live() -> tuple[int, str, bytes]:
        health = supervisor.health()
        status, document = health_answer(health.live, health.notes)
        return status, "application/json", orjson.dumps(document)

    def ready() -> tuple[int, str, bytes]:
        status, document = health_answer(supervisor.health().ready)
        return status, "application/json", orjson.dumps(document)

    def metrics() -> tuple[int, str, bytes]:
        return 200, "text/plain; version=0.0.4; charset=utf-8", supervisor.metrics_page()

    return Application(
        [
            (r"/metrics", _InternalHandler, {"answer": metrics}),
            (r"/healthz", _InternalHandler, {"answer": live}),
            (r"/readyz", _InternalHandler, {"answer": ready}),
        ],
        log_function=lambda handler: None,
    )
