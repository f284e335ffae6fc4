"""A child process that takes connections: it has a listening socket, a snapshot and the application's context.

`server.collect` and `server.web` say how it takes them.
"""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor

from server import metrics
from server.cache import InvalidationPoller
from server.child import ChildArguments, ChildProcess
from server.config import Settings
from server.handler import AppContext
from server.health import HealthReport, ProcessHealth
from server.services import Services, open_services
from server.site_counts import count_site
from server.snapshot import SnapshotPoller, announce
from server.stats_api.stats import Stats
from server.store import Store, configured_store

# Threads that wait for the app database or ClickHouse on behalf of requests.
REQUEST_THREADS = 4

# A poller waits for a database that is away; nobody waits for it at the end.
POLLER_JOIN_S = 1.0


class ServingChild(ChildProcess):
    """One process with a socket. Subclasses add how it takes connections."""

    def __init__(self, settings: Settings, arguments: ChildArguments) -> None:
        super().__init__(settings, arguments)
        if arguments.listener is None:
            raise ValueError("this process needs --listen-fd")
        self.listener: socket.socket = arguments.listener
        self.store: Store = configured_store(settings)
        self.threads = ThreadPoolExecutor(REQUEST_THREADS, thread_name_prefix="request")
        self.services: Services = open_services(settings)
        self.engine = self.services.engine
        self.stats = Stats(self.services, self.store.addresses[0])
        self.poller = SnapshotPoller(self.engine, settings, self.services.secret_key, self.apply_snapshot)
        self.invalidations = InvalidationPoller(self.services.cache)
        self.health = ProcessHealth(has_snapshot=lambda: self.poller.version is not None)

    def apply_snapshot(self, document: bytes, version: int) -> None:
        """A new snapshot; called from the poller's thread."""
        metrics.SNAPSHOT_VERSION.set(version)

    async def start_serving(self) -> None:
        """Take connections from now on."""
        raise NotImplementedError

    async def stop_serving(self) -> None:
        """Empty the queue of the listening socket, finish what is under way, and put everything away."""
        raise NotImplementedError

    def app_context(self) -> AppContext:
        """What handlers of this process work with."""
        return AppContext(
            services=self.services,
            threads=self.threads,
            health=self.health_report,
            key_holder=self.poller.key_holder,
            count=lambda site_id: count_site(self.store, site_id),
            announce=self.announce,
            stats=self.stats,
        )

    def announce(self) -> None:
        """Sites or keys have changed: look now, and tell the other processes. Blocks."""
        self.poller.look()
        announce(self.settings)

    async def start(self) -> None:
        """Load a snapshot, then take connections."""
        self.poller.start_from_saved()
        if self.poller.version is None:
            await self.loop.run_in_executor(self.threads, self.poller.poll)
        self.poller.start()
        self.invalidations.start()
        await self.start_serving()

    async def stop(self) -> None:
        """See `stop_serving`."""
        await self.stop_serving()

    def close(self) -> None:
        """End the threads, give connections back."""
        self.poller.stop()
        self.invalidations.stop()
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.stats.close()
        self.invalidations.join(POLLER_JOIN_S)
        self.services.close()

    def health_report(self) -> HealthReport:
        """The state at this moment."""
        self.health.is_stopping = self.stopping.is_set()
        return self.health.report()

    def set_gauges(self) -> None:
        """The snapshot's age besides."""
        super().set_gauges()
        if self.poller.last_success_ms:
            metrics.SNAPSHOT_AGE_S.set(max(0.0, time.time() - self.poller.last_success_ms / 1000))
