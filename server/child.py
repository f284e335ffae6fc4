"""What every child process of the parent has: its line to the parent, signals, reports, error tracking.

`ChildProcess.run` is the life of one: start → announce `ready` → work until SIGTERM, or until the parent is gone → stop
gracefully. `server.serving_child` adds what takes connections; `jobs.worker` is a child without a socket.
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
from dataclasses import dataclass

import uvloop

from server import metrics
from server.config import SettingError, Settings, load_settings
from server.control_channel import ControlChannel
from server.error_tracking import start_error_tracking
from server.health import HealthReport
from server.logs import start_logging

log = logging.getLogger(__name__)

REPORT_INTERVAL_S = 1.0


@dataclass(frozen=True)
class ChildArguments:
    """What the parent hands to a child besides the settings. The worker has no listener."""

    slot: str
    control: socket.socket
    listener: socket.socket | None = None


def parse_arguments(argv: list[str]) -> ChildArguments:
    """Take over the file descriptors that the command line names."""
    parser = argparse.ArgumentParser(description="A process of `footfall serve`; started by it, not by hand.")
    parser.add_argument("--slot", required=True)
    parser.add_argument("--control-fd", type=int, required=True)
    parser.add_argument("--listen-fd", type=int)
    given = parser.parse_args(argv)
    return ChildArguments(
        slot=given.slot,
        control=socket.socket(fileno=given.control_fd),
        listener=None if given.listen_fd is None else socket.socket(fileno=given.listen_fd),
    )


class ChildProcess:
    """One process. Subclasses add what it does."""

    def __init__(self, settings: Settings, arguments: ChildArguments) -> None:
        self.settings = settings
        self.arguments = arguments
        self.stopping = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop

    async def start(self) -> None:
        """Begin the work; the process is ready when this returns."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Finish what is under way within the grace. Reports go on meanwhile."""
        raise NotImplementedError

    def close(self) -> None:
        """Put everything away; nothing of this process runs any more."""

    def health_report(self) -> HealthReport:
        """The state at this moment."""
        return HealthReport(ready=("the process is stopping",) if self.stopping.is_set() else ())

    def store_ready(self) -> None:
        """ClickHouse has its tables."""

    async def every_second(self) -> None:
        """Upkeep before each report."""

    def set_gauges(self) -> None:
        """Bring the metrics up to date that show a moment."""
        metrics.RESIDENT_BYTES.set(_resident_bytes())

    async def run(self) -> None:
        """The whole life of the process."""
        self.loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self.stopping.set)
        control = await ControlChannel.open(self.arguments.control)
        await self.start()
        # What is here stays: no later collection needs to look at it.
        gc.collect()
        gc.freeze()
        control.send({"type": "ready"})
        listening = self.loop.create_task(self._listen(control))
        reporting = self.loop.create_task(self._report(control))
        await self.stopping.wait()
        self._send_report(control)
        await self.stop()
        reporting.cancel()
        listening.cancel()
        await asyncio.gather(reporting, listening, return_exceptions=True)
        control.close()
        self.close()

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
        self.set_gauges()
        report = self.health_report()
        families = metrics.export_families()
        control.send({"type": "report", "live": report.live, "ready": report.ready, "families": families})


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
                arguments = parse_arguments(argv)
                start_error_tracking(settings, arguments.slot)
                child = child_class(settings, arguments)
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
