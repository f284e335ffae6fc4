"""What goes wrong during a soak, in turn, each for a while."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import psutil

from tests.adversity.kept_clickhouse import KeptClickHouse
from tests.services.footfall import FootfallServer

# How long a fault of the store lasts. Longer than a connection's first attempt, shorter than patience.
STORE_AWAY_S = 4.0

# The flusher finds its way back by backoff; what waited meanwhile is sent in one go.
RECOVERY_S = 8.0

# So little room that the spool is full at once.
FULL_SPOOL_BYTES = 1024 * 1024

# The watcher of the settings looks every second.
SETTINGS_SEEN_S = 2.0


@dataclass(frozen=True)
class Happened:
    """One fault, in seconds since the soak began. What is measured up to `over_s` is not held against flatness."""

    name: str
    begun_s: float
    ended_s: float

    @property
    def over_s(self) -> float:
        """The end of recovering."""
        return self.ended_s + RECOVERY_S


class Faults:
    """Does them in turn."""

    def __init__(
        self, footfall: FootfallServer, clickhouse: KeptClickHouse, batch_file: Path, started_s: float
    ) -> None:
        self._footfall = footfall
        self._clickhouse = clickhouse
        self._batch_file = batch_file
        self._started_s = started_s
        self.happened: list[Happened] = []
        self._any = cycle(
            (self.collector_killed, self.store_killed, self.processes_replaced, self.store_frozen, self.spool_full)
        )
        self._of_the_store = cycle((self.store_killed, self.store_frozen, self.spool_full))

    def next(self, *, spares_processes: bool) -> None:
        """The next one, to its end; of those that end no process of ours when they are to be spared."""
        turn = next(self._of_the_store if spares_processes else self._any)
        begun_s = time.monotonic() - self._started_s
        turn()
        ended_s = time.monotonic() - self._started_s
        self.happened.append(Happened(turn.__name__.replace("_", " "), begun_s, ended_s))

    def collector_killed(self) -> None:
        """SIGKILL to each process that takes hits; the parent starts others."""
        for process in self._footfall.collect_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._footfall.wait_ready()

    def store_killed(self) -> None:
        """SIGKILL to ClickHouse; it comes back later."""
        self._clickhouse.kill()
        time.sleep(STORE_AWAY_S)
        self._clickhouse.start()

    def processes_replaced(self) -> None:
        """A rolling restart."""
        self._footfall.reload()
        time.sleep(STORE_AWAY_S)
        self._footfall.wait_ready()

    def store_frozen(self) -> None:
        """SIGSTOP: the store takes connections and bytes and answers nothing, as a very slow one does."""
        self._clickhouse.freeze()
        time.sleep(STORE_AWAY_S)
        self._clickhouse.thaw()

    def spool_full(self) -> None:
        """The store answers nothing and the spool has no room: hits are refused, and taken again later."""
        self._clickhouse.freeze()
        try:
            self._batch_file.write_text(f"spool_max_bytes: {FULL_SPOOL_BYTES}\n")
            time.sleep(SETTINGS_SEEN_S + STORE_AWAY_S)
        finally:
            self._batch_file.write_text("")
            self._clickhouse.thaw()
        time.sleep(SETTINGS_SEEN_S)
