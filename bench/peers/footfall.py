"""Ours, in the same terms: a `footfall serve` in role collect at default settings.

`Sealed` has no store to flush to: hits end in segments on disk, which are read back and counted. `Stored` flushes to
the run's ClickHouse: hits end as rows of `events` and are accounted for in `ledger`.
"""

from __future__ import annotations

from pathlib import Path

from bench.collector_process import CLOSED_PORT, SITE, SPOOL_MAX_BYTES, CollectorProcess
from bench.peers.clickhouse_store import ClickHouseStore
from bench.peers.peer import Peer
from bench.procfs import process_tree
from server.migrate import SchemaForm, migrate
from tests.services.footfall import FootfallServer


class Sealed(Peer):
    """Segments on disk are the end."""

    name = "footfall_sealed"
    form = "role collect, durability process, one process, segments on disk"

    def __init__(self, folder: Path, clickhouse_url: str = f"clickhouse://127.0.0.1:{CLOSED_PORT}/default") -> None:
        super().__init__(folder)
        self.server = FootfallServer(
            folder / self.name,
            role="collect",
            first_site_domain=SITE,
            trusted_proxies="127.0.0.1",
            durability="process",
            clickhouse_url=clickhouse_url,
            # The spool must hold every round.
            spool_max_bytes=str(SPOOL_MAX_BYTES),
            stop_grace_s="1",
        )
        self.port = self.server.port
        self._spool = CollectorProcess(self.port, self.server.data_dir, parent_pid=0)

    def start(self) -> None:
        """Start it."""
        self.server.start()

    def kill(self) -> None:
        """Parent and collect process."""
        self.server.kill()

    @property
    def server_pids(self) -> list[int]:
        """Parent and collect process."""
        return process_tree(self.server.pid)

    def stored(self) -> int:
        """Records in sealed segments; what is open counts once it is sealed, by age."""
        return self._spool.spool_records()

    def is_quiet(self) -> bool:
        """Nothing is open."""
        return not self._segments("open")

    def _segments(self, state: str) -> list[Path]:
        return list((self.server.data_dir / "spool").glob(f"*/*.{state}"))


class Stored(Sealed):
    """Rows in ClickHouse are the end."""

    name = "footfall_stored"
    form = "role collect, durability process, one process, rows in ClickHouse"
    database = "footfall"

    def __init__(self, folder: Path, store: ClickHouseStore) -> None:
        super().__init__(folder, f"clickhouse://127.0.0.1:{store.port}/{self.database}")
        self.store = store

    def start(self) -> None:
        """Migrate beforehand: a first start would do it beside taking hits."""
        migrate(self.store.address(self.database), SchemaForm())
        super().start()

    @property
    def store_pids(self) -> list[int]:
        """ClickHouse."""
        return [self.store.pid]

    def stored(self) -> int:
        """Rows of `events`, which the ledger must agree with: both come of one segment, one after the other."""
        return self.store.number(f"SELECT count() FROM {self.database}.events")

    def accounted(self) -> int:
        """Hits in the ledger, whatever became of them."""
        return self.store.number(f"SELECT sum(count) FROM {self.database}.ledger")

    def stored_paths(self) -> list[str]:
        """Of every row."""
        return [str(path) for (path,) in self.store.select(f"SELECT path FROM {self.database}.events")]

    def wake(self) -> None:
        """Its parts are merged while it is measured."""
        self.store.start_merges(f"{self.database}.events", f"{self.database}.ledger")

    def rest(self) -> None:
        """And not while others are."""
        self.store.stop_merges(f"{self.database}.events", f"{self.database}.ledger")

    def is_quiet(self) -> bool:
        """Nothing in the spool, nothing merged."""
        return not self._segments("open") and not self._segments("seg") and self.store.is_quiet()
