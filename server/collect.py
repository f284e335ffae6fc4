"""The collect process: takes hits, spools them, stores them, and shows pages unless its role is `collect` alone.

```
event loop      Front ── hits ──▶ Collector (Rust; its own writer thread) ── answers
flusher threads sealed segments ──▶ ClickHouse
snapshot thread app database, Redis ──▶ Collector.apply_snapshot, on the loop
settings thread mounted file ──▶ Collector.apply_batch_settings, on the loop
```

Each process has a spool folder of its own, named by a UUID; a folder whose process died is drained by the flusher of
another. Every `WATERMARK_INTERVAL_S` the time of the oldest hit that is not stored goes to the app database.

Stopping: accept until the queue is empty, finish what is under way, commit and seal, flush for the rest of
`stop_grace_s`, leave what remains in the spool.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import orjson
from sqlalchemy.exc import SQLAlchemyError

from rust_ext import Collector
from server import metrics
from server.app import make_application
from server.app_database import remove_watermark, store_watermark
from server.batch_settings import BatchSettingsWatcher
from server.batches import BatchRoutes
from server.child import ChildArguments, run_child
from server.config import HIT_ENDPOINTS, BatchSettings, Role, Settings
from server.data_folder import home_id
from server.flush_metrics import FlushMetrics
from server.flusher import Flusher
from server.front import Front
from server.quarantine import Quarantine
from server.serving_child import ServingChild
from server.spool import folders

log = logging.getLogger(__name__)

WATERMARK_INTERVAL_S = 5.0

# Hits are stamped before their records reach a segment, within one group commit; a stalled disk has held one for 0.2 s.
WATERMARK_MARGIN_MS = 2000

# Of the grace, what open requests may take; the rest is the flusher's.
FRONT_GRACE_SHARE = 0.5

RULES_PATH = Path(sys.modules["rust_ext"].__file__ or "").with_name("rules.pack")

_ENDPOINT_NAMES = dict(zip(HIT_ENDPOINTS, ("event", "send", "batch", "gif"), strict=True))


def collector_settings(settings: Settings) -> bytes:
    """The settings as `Collector` takes them."""
    return orjson.dumps(
        {
            "http": {
                "trusted_proxies": settings.trusted_networks,
                "forwarded_header": settings.forwarded_header,
                "proxy_protocol": settings.proxy_protocol,
                "endpoint_aliases": {path: _ENDPOINT_NAMES[endpoint] for path, endpoint in settings.aliases.items()},
            },
            "pipeline": {"agent_cache_entries": settings.agent_cache_entries},
            "batch": core_batch_settings(settings.batch),
        }
    )


def core_batch_settings(batch: BatchSettings) -> dict[str, object]:
    """The batch settings that concern the spool."""
    return batch.model_dump(mode="json", exclude={"flush_parallelism"})


class CollectProcess(ServingChild):
    """See the module."""

    def __init__(self, settings: Settings, arguments: ChildArguments) -> None:
        super().__init__(settings, arguments)
        self._spool_folder = settings.spool_root / uuid.uuid4().hex
        self._collector = Collector(
            rules_path=str(RULES_PATH), spool_folder=str(self._spool_folder), settings=collector_settings(settings)
        )
        self._segments = self._collector.sealed_segments()
        self._flusher = Flusher(
            self._segments,
            self.store.make_sink,
            Quarantine(settings.quarantine_dir),
            spool_root=settings.spool_root,
            parallelism=settings.flush_parallelism,
        )
        self._is_flushing = False
        self._spool_max_bytes = settings.spool_max_bytes
        self._watcher: BatchSettingsWatcher | None = None
        self._front: Front | None = None
        self._watermark_due_s = 0.0
        self._watermark: asyncio.Task[None] | None = None
        self.health.is_spool_writable = lambda: self._collector.is_ready()[1]
        self.health.has_spool_room = lambda: self._collector.is_ready()[2]
        self.health.has_snapshot = lambda: self._collector.is_ready()[0]
        self.health.flusher_moved_at_s = self._flusher.moved_at_s
        metrics.REGISTRY.register(metrics.CoreStats(self._collector.stats))
        metrics.REGISTRY.register(FlushMetrics(self._flusher))
        metrics.REGISTRY.register(metrics.SpoolGauges(lambda: self._spool_max_bytes, self._oldest_waiting_ms))

    def apply_snapshot(self, document: bytes, version: int) -> None:
        """Hand a snapshot to the core, on the loop."""
        self.loop.call_soon_threadsafe(self._apply_snapshot, document, version)

    def store_ready(self) -> None:
        """Start to flush."""
        if not self._is_flushing:
            self._is_flushing = True
            self._flusher.start()

    async def start_serving(self) -> None:
        """Take connections."""
        context = self.app_context()
        routes = BatchRoutes(self._collector, self.engine).routes(context)
        application = make_application(context, routes, with_pages=self.settings.role is Role.ALL)
        self._front = Front(self._collector, application, self.loop, max_connections=self.settings.max_connections)
        if self.settings.batch_settings_file:
            path = Path(self.settings.batch_settings_file)
            self._watcher = BatchSettingsWatcher(path, self.settings.batch, self._reload)
            self._watcher.check()
            self._watcher.start()
        self._front.listen(self.listener)

    async def stop_serving(self) -> None:
        """Stop as the module says."""
        started_s = time.monotonic()
        grace_s = self.settings.stop_grace_s
        assert self._front is not None
        self._front.is_draining = True
        self._front.finish_listening()
        self.listener.close()
        await self._front.drain(grace_s * FRONT_GRACE_SHARE)
        self._collector.close()
        self._collector.complete()
        self._front.close()
        if self._watcher is not None:
            self._watcher.stop()
        if self._is_flushing:
            rest_s = max(0.0, grace_s - (time.monotonic() - started_s))
            all_sent = await self.loop.run_in_executor(self.threads, self._flusher.stop, rest_s)
            log.info("stopped", extra={"all_stored": all_sent, "seconds": round(time.monotonic() - started_s, 2)})
        if self._segments.remove_folder_if_empty():
            self._try_database(remove_watermark, self._spool_folder.name)

    async def every_second(self) -> None:
        """Store the watermark when it is due, beside the reports: they do not wait for a database that hangs."""
        if time.monotonic() >= self._watermark_due_s and (self._watermark is None or self._watermark.done()):
            self._watermark_due_s = time.monotonic() + WATERMARK_INTERVAL_S
            self._watermark = self.loop.create_task(self._advance_watermark())

    async def _advance_watermark(self) -> None:
        now_ms = time.time_ns() // 1_000_000
        await self.loop.run_in_executor(self.threads, self._store_watermark, self._oldest_unflushed_ms(now_ms), now_ms)

    def _oldest_unflushed_ms(self, now_ms: int) -> int:
        """No hit older than this waits in this process, nor in a folder that it drains."""
        waiting_ms = self._oldest_waiting_ms()
        return min(now_ms, now_ms if waiting_ms is None else waiting_ms) - WATERMARK_MARGIN_MS

    def _oldest_waiting_ms(self) -> int | None:
        """When the oldest segment was opened that is open, sealed or found in an ended process's folder."""
        times: list[int | None] = [self._collector.stats()["oldest_segment_ms"], self._flusher.oldest_pending_ms()]
        return min((at_ms for at_ms in times if at_ms is not None), default=None)

    def _store_watermark(self, oldest_ms: int, now_ms: int) -> None:
        kept = [folder.name for folder in folders(self.settings.spool_root)]
        self._try_database(store_watermark, home_id(self.settings), self._spool_folder.name, kept, oldest_ms, now_ms)

    def _try_database(self, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(self.engine, *arguments)
        except SQLAlchemyError as error:
            log.warning("the watermark could not be stored", extra={"reason": type(error).__name__})

    def _apply_snapshot(self, document: bytes, version: int) -> None:
        try:
            self._collector.apply_snapshot(document)
        except ValueError as error:
            log.error("the core refuses the snapshot", extra={"version": version, "reason": str(error)})
        else:
            metrics.SNAPSHOT_VERSION.set(version)

    def _reload(self, batch: BatchSettings) -> None:
        self.loop.call_soon_threadsafe(self._apply_batch_settings, batch)

    def _apply_batch_settings(self, batch: BatchSettings) -> None:
        self._collector.apply_batch_settings(orjson.dumps(core_batch_settings(batch)))
        self._spool_max_bytes = batch.spool_max_bytes
        if self._is_flushing:
            self._flusher.set_parallelism(batch.flush_parallelism)


if __name__ == "__main__":
    sys.exit(run_child(CollectProcess, sys.argv[1:]))
