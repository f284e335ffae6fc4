"""What every child process of `serve` has: its line to the parent, the snapshot, the application and signals.

`ChildProcess.run` is the life of one: prepare → announce `ready` → serve until SIGTERM, or until the parent is gone →
stop gracefully. `server.collect` and `server.web` say what they add.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import logging
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import uvloop
from sqlalchemy import Engine

from server import metrics
from server.app import AppContext
from server.app_database import open_app_database
from server.config import SettingError, Settings, load_settings
from server.control_channel import ControlChannel
from server.data_folder import load_secret_key
from server.health import ProcessHealth
from server.logs import start_logging
from server.site_counts import count_site
from server.snapshot import SnapshotPoller
from server.store import Store, configured_store

log = logging.getLogger(__name__)

REPORT_INTERVAL_S = 1.0

# Threads that wait for the app database or ClickHouse on behalf of requests.
REQUEST_THREADS = 4


@dataclass(frozen=True)
class ChildArguments:
    """What the parent hands to a child besides the settings."""

    slot: int
    listener: socket.socket
    control: socket.socket


def parse_arguments(argv: list[str]) -> ChildArguments:
    """Take over the file descriptors that the command line names."""
    parser = argparse.ArgumentParser(description="A process of `footfall serve`; started by it, not by hand.")
    parser.add_argument("--slot", type=int, required=True)
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--control-fd", type=int, required=True)
    given = parser.parse_args(argv)
    return ChildArguments(
        slot=given.slot,
        listener=socket.socket(fileno=given.listen_fd),
        control=socket.socket(fileno=given.control_fd),
    )


class ChildProcess:
    """One process. Subclasses add how it takes connections."""

    def __init__(self, settings: Settings, arguments: ChildArguments) -> None:
        self.settings = settings
        self.arguments = arguments
        self.engine: Engine = open_app_database(settings)
        self.store: Store = configured_store(settings)
        self.threads = ThreadPoolExecutor(REQUEST_THREADS, thread_name_prefix="request")
        self.poller = SnapshotPoller(self.engine, settings, load_secret_key(settings), self.apply_snapshot)
        self.health = ProcessHealth(has_snapshot=lambda: self.poller.version is not None)
        self.stopping = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop

    def apply_snapshot(self, document: bytes, version: int) -> None:
        """A new snapshot; called from the poller's thread."""
        metrics.SNAPSHOT_VERSION.set(version)

    async def start_serving(self) -> None:
        """Take connections from now on."""
        raise NotImplementedError

    async def stop_serving(self) -> None:
        """Empty the queue of the listening socket, finish what is under way, and put everything away."""
        raise NotImplementedError

    def store_ready(self) -> None:
        """ClickHouse has its tables."""

    async def every_second(self) -> None:
        """Upkeep before each report."""

    def app_context(self) -> AppContext:
        """What handlers of this process work with."""
        return AppContext(
            settings=self.settings,
            engine=self.engine,
            threads=self.threads,
            health=self.health.report,
            account_of=self.poller.account_of,
            count=lambda site_id: count_site(self.store, site_id),
        )

    async def run(self) -> None:
        """The whole life of the process."""
        self.loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self.stopping.set)
        control = await ControlChannel.open(self.arguments.control)
        self.poller.start_from_saved()
        if self.poller.version is None:
            await self.loop.run_in_executor(self.threads, self.poller.poll)
        self.poller.start()
        await self.start_serving()
        # What is here stays: no later collection needs to look at it.
        gc.collect()
        gc.freeze()
        control.send({"type": "ready"})
        listening = self.loop.create_task(self._listen(control))
        reporting = self.loop.create_task(self._report(control))
        await self.stopping.wait()
        self.health.is_stopping = True
        self._send_report(control)
        await self.stop_serving()
        reporting.cancel()
        listening.cancel()
        await asyncio.gather(reporting, listening, return_exceptions=True)
        self.poller.stop()
        control.close()
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.engine.dispose()

    async def _listen(self, control: ControlChannel) -> None:
        async for message in control.messages():
            if message["type"] == "store_ready":
                self.store_ready()
        log.warning("the parent process is gone")
        self.stopping.set()

    async def _report(self, control: ControlChannel) -> None:
        while True:
            try:
                await self.every_second()
            except Exception:
                log.exception("upkeep failed")
            self._send_report(control)
            await asyncio.sleep(REPORT_INTERVAL_S)

    def _send_report(self, control: ControlChannel) -> None:
        if self.poller.last_success_ms:
            metrics.SNAPSHOT_AGE_S.set(max(0.0, time.time() - self.poller.last_success_ms / 1000))
        metrics.RESIDENT_BYTES.set(_resident_bytes())
        report = self.health.report()
        families = metrics.export_families()
        control.send({"type": "report", "live": report.live, "ready": report.ready, "families": families})


async def drain_listener(
    loop: asyncio.AbstractEventLoop, listener: socket.socket, protocol_factory: Callable[[], asyncio.Protocol]
) -> int:
    """Accept what waits in the queue of a listening socket, then close it. Returns how many connections there were.

    When the parent keeps the socket too (rolling restart) nothing could be lost; at the end of `serve` this process has
    the last copy, and closing it resets what still waits.
    """
    accepted = 0
    while True:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, OSError):
            break
        connection.setblocking(False)
        await loop.connect_accepted_socket(protocol_factory, connection)
        accepted += 1
    listener.close()
    return accepted


def run_child(child_class: type[ChildProcess], argv: list[str]) -> int:
    """Run a child process to its end; its exit status."""
    # The parent alone answers a terminal's Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A crash in compiled code leaves a trace on standard error instead of nothing.
    faulthandler.enable()
    try:
        settings = load_settings()
        start_logging(settings.log_level)
        _raise_file_limit()

        async def live() -> bool:
            try:
                child = child_class(settings, parse_arguments(argv))
            except (OSError, ValueError) as error:
                log.error("the process cannot start", extra={"reason": str(error)})
                return False
            await child.run()
            return True

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return 0 if runner.run(live()) else 1
    except SettingError as error:
        print(error, file=sys.stderr)
        return 2


def _raise_file_limit() -> None:
    """Each connection is a file: use all that the system grants."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
