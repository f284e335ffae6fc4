"""A real `footfall serve` in role collect for benchmarks: one process, segments on disk, no store to flush to.

The store's address is a port where nobody listens, so every record stays in the spool and can be counted: the law
`answered = records in the spool` is checked after each load.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from bench.procfs import process_tree
from rust_ext import scan_segment
from server.loopback_port import free_port

START_DEADLINE_S = 60.0

# The default age at which a segment is sealed is one second.
SEAL_DEADLINE_S = 15.0

# Discard (RFC 863): nobody listens there on a development machine.
CLOSED_PORT = 9

SITE = "example.com"

# The spool must hold every round of a benchmark.
SPOOL_MAX_BYTES = 32 * 1024**3


class NotReadyError(RuntimeError):
    """The server ended or took no hits within the deadline; its output is part of the message."""


@dataclass
class CollectorProcess:
    """A running server: its port, its data folder and its processes."""

    port: int
    data_dir: Path
    parent_pid: int
    _counted: dict[str, int] = field(default_factory=dict)

    @property
    def pids(self) -> list[int]:
        """The parent and its collect process."""
        return process_tree(self.parent_pid)

    @property
    def collect_pid(self) -> int:
        """The process that takes hits: the parent's only child."""
        _, child = self.pids
        return child

    def wait_until_sealed(self) -> None:
        """Return once the open segments have been sealed by age."""
        deadline = time.monotonic() + SEAL_DEADLINE_S
        while any((self.data_dir / "spool").glob("*/*.open")):
            assert time.monotonic() < deadline, "a segment is not sealed by age"
            time.sleep(0.05)

    def spool_records(self) -> int:
        """Valid records in all sealed segments; asserts that none was lost."""
        total = 0
        for path in (self.data_dir / "spool").glob("*/*.seg"):
            if path.name not in self._counted:
                scan = scan_segment(path.read_bytes())
                assert scan.lost_records == 0, path
                self._counted[path.name] = scan.records
            total += self._counted[path.name]
        return total


@contextmanager
def running_collector(folder: Path, **settings: str) -> Iterator[CollectorProcess]:
    """Start it, wait until it takes hits, stop it. Children inherit the caller's CPU affinity."""
    port, internal_port = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOOTFALL_")}
    wanted = {
        "data_dir": str(folder / "data"),
        "role": "collect",
        "port": str(port),
        "internal_port": str(internal_port),
        "first_site_domain": SITE,
        "trusted_proxies": "127.0.0.1",
        "clickhouse_url": f"clickhouse://127.0.0.1:{CLOSED_PORT}/default",
        "spool_max_bytes": str(SPOOL_MAX_BYTES),
        "durability": "process",
        "stop_grace_s": "1",
    } | settings
    environment |= {f"FOOTFALL_{name.upper()}": value for name, value in wanted.items()}
    command = [sys.executable, "-m", "server.cli", "serve"]
    with (folder / "output").open("w+b") as output:
        child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            try:
                wait_until_ready(child, port)
            except NotReadyError as error:
                output.seek(0)
                raise NotReadyError(f"{error}: {output.read().decode('utf-8', 'replace')[-2000:]}") from None
            yield CollectorProcess(port, folder / "data", child.pid)
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def wait_until_ready(child: subprocess.Popen[bytes], port: int) -> None:
    """Return once /readyz says that hits are taken."""
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise NotReadyError(f"serve ended with exit code {child.returncode}")
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.05)
    raise NotReadyError(f"serve took no hits within {START_DEADLINE_S:g} s")
