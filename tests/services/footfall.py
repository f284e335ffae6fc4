"""A whole Footfall as a user starts it: `footfall serve` in a process of its own, its data in a temporary folder."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

from server.loopback_port import free_port

CHECKOUT = Path(__file__).resolve().parents[2]
READY_TIMEOUT_S = 60.0

# Whole: up to the end of its line.
FIRST_RUN_LINK = re.compile(r"http://\S+/first-run\?token=\S+(?=\n)")


class FootfallServer:
    """One `serve`. It keeps its ports and its data over `kill` and `start`."""

    checkout = CHECKOUT
    """Whose code it runs."""

    def __init__(self, data_dir: Path, **settings: str) -> None:
        """`settings` are the names of `footfall config` in lower case, without the prefix."""
        self.data_dir = data_dir
        self.port = free_port()
        self.internal_port = free_port()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process that was started."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        """What a command needs to find this server's data."""
        ours = {
            "data_dir": str(self.data_dir),
            "port": str(self.port),
            "internal_port": str(self.internal_port),
            **self._settings,
        }
        # As on a user's machine, what the first start compiled is there for the next.
        not_ours = ("FOOTFALL_", "PYTHONDONTWRITEBYTECODE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(not_ours)}
        kept |= {name: value for name, value in os.environ.items() if name == "FOOTFALL_CHDB_LIBRARY"}
        return {**kept, **{f"FOOTFALL_{name.upper()}": value for name, value in ours.items()}}

    def start(self) -> None:
        """Start it and wait until it takes hits."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "serve"],
                env=self.environment,
                cwd=self.checkout,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self.wait_ready()

    @property
    def log_path(self) -> Path:
        """What it printed."""
        return self.data_dir.parent / f"{self.data_dir.name}.log"

    def wait_ready(self) -> None:
        """Wait until /readyz says yes. Raises with the end of the log when it does not."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline_s:
            assert self._process is not None, "not started"
            if self._process.poll() is not None:
                break
            url = f"http://127.0.0.1:{self.port}/readyz"
            with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(url, timeout=2):
                return
            time.sleep(0.05)
        raise AssertionError(f"not ready: {self.log_path.read_text(errors='replace')[-4_000:]}")

    def first_run_link(self) -> str:
        """The link that it prints while there is nobody. Hits are taken before that, so it may come after `start`."""
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while True:
            text = self.log_path.read_text(errors="replace")
            if found := FIRST_RUN_LINK.search(text):
                return found[0]
            assert time.monotonic() < deadline_s, f"no link was printed: {text[-4_000:]}"
            time.sleep(0.05)

    def command(self, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run `footfall …` on this server's data."""
        return subprocess.run(
            [*COMMAND, *arguments],
            env=self.environment,
            cwd=self.checkout,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def collect_processes(self) -> list[psutil.Process]:
        """The processes that take hits."""
        assert self._process is not None, "not started"
        found = []
        for child in psutil.Process(self._process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if "server.collect" in child.cmdline():
                    found.append(child)
        return found

    def reload(self) -> None:
        """Ask for a rolling restart."""
        assert self._process is not None, "not started"
        self._process.send_signal(signal.SIGHUP)

    def stop(self, timeout_s: float = 40.0) -> int:
        """End it gracefully; its exit status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self._process = None

    def kill(self) -> None:
        """SIGKILL, parent and children, by their ids."""
        if self._process is None:
            return
        family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(10)
        self._process = None


COMMAND = (sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())")
"""`footfall`, from this checkout."""


@contextlib.contextmanager
def running_footfall(data_dir: Path, **settings: str) -> Iterator[FootfallServer]:
    """A server of the test's own."""
    server = FootfallServer(data_dir, **settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()
