"""Looks at Footfall's processes, the store's parts and the spool, every few seconds, beside the load."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.load.spending import roles
from bench.procfs import anonymous_mib
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress

PARTS = "SELECT count() FROM system.parts WHERE active AND table = 'events'"

# A frozen store does not answer: a sample goes without its parts instead of waiting.
PATIENCE_S = 1


@dataclass(frozen=True)
class ProcessSample:
    """One process."""

    role: str
    pid: int
    memory_mib: float
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Sample:
    """One moment. `parts` None: the store did not answer."""

    at_s: float
    processes: tuple[ProcessSample, ...]
    parts: int | None
    spool_bytes: int


class Sampler(threading.Thread):
    """Samples until `stop`."""

    def __init__(
        self, parent_pid: int, spool: Path, address: ClickHouseAddress, started_s: float, every_s: float
    ) -> None:
        super().__init__(name="soak-sampler", daemon=True)
        self.samples: list[Sample] = []
        self._parent_pid = parent_pid
        self._spool = spool
        self._address = address
        self._started_s = started_s
        self._every_s = every_s
        self._stopping = threading.Event()
        self.may_ask: Callable[[], bool] = lambda: True

    def run(self) -> None:
        """See the class."""
        while not self._stopping.wait(self._every_s):
            self.samples.append(self.look())

    def stop(self) -> None:
        """End it."""
        self._stopping.set()
        self.join(30)

    def look(self) -> Sample:
        """Now."""
        return Sample(time.monotonic() - self._started_s, self._processes(), self._parts(), spool_bytes(self._spool))

    def _processes(self) -> tuple[ProcessSample, ...]:
        found = []
        # A process may end while it is looked at.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for role, pids in roles(self._parent_pid).items():
                for pid in pids:
                    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                        folder = Path("/proc") / str(pid)
                        descriptors, threads = (sum(1 for _ in (folder / name).iterdir()) for name in ("fd", "task"))
                        found.append(ProcessSample(role, pid, anonymous_mib(pid), descriptors, threads))
        return tuple(found)

    def _parts(self) -> int | None:
        if not self.may_ask():
            return None
        connection: BlockConnection | None = None
        try:
            connection = BlockConnection(self._address)
            ((parts,),) = connection.select(PARTS, max_execution_time=PATIENCE_S)
            return int(parts)
        except Exception:  # whatever the driver raises while the store is killed and started
            return None
        finally:
            if connection is not None:
                connection.close()


def spool_bytes(spool: Path) -> int:
    """Of all segments, open and sealed."""
    total = 0
    for path in spool.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total
