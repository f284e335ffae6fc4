"""A ClickHouse that a test may kill, and that comes back when it ends by itself."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.services.clickhouse import ClickHouseServer


class KeptClickHouse(ClickHouseServer):
    """A server that the test may kill, started again when it ends by itself: libchdb 26.7 aborts when a connection is
    reset inside its hello, which is what a killed client does.
    """

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._turn = threading.RLock()
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="clickhouse-keeper", daemon=True)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._turn:
            super().start()

    def kill(self) -> None:
        """SIGKILL; it stays away until `start`."""
        with self._turn:
            super().kill()

    def _keep(self) -> None:
        while not self._ending.wait(0.1):
            with self._turn:
                if self.exit_status() is not None:
                    self.stop()
                    self.start()

    def __enter__(self) -> KeptClickHouse:
        self.start()
        self._keeper.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self._keeper.join(30)
        self.stop()
