"""Servers under load: a collector that only seals, a whole Footfall with its store, either behind nginx with TLS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from bench.collector_process import SITE, running_collector
from bench.harness import Cpus
from bench.load.spending import place, roles
from server.clickhouse_tcp import BlockConnection
from server.embedded import home_folder, published_address
from server.loopback_port import free_port
from tests.services.footfall import FootfallServer, running_footfall
from tests.services.nginx import running_nginx
from tests.services.tls import make_certificate

READY_WITHIN_S = 120.0
DRAINED_WITHIN_S = 120.0

# nginx as k8s/compose has it, less what limits one address: the generator is one address.
TLS_BODY = """
listen 127.0.0.1:{tls_port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
keepalive_requests 100000000; client_max_body_size 4m;
location / {{
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  proxy_set_header X-Forwarded-For $http_x_forwarded_for; proxy_buffering off; proxy_pass http://footfall;
}}
"""
UPSTREAM = "upstream footfall {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 100000000; }}"


class Target(Protocol):
    """What an attack is aimed at."""

    @property
    def port(self) -> int:
        """Where it takes hits."""

    def by_role(self) -> dict[str, list[int]]:
        """Its processes."""

    def settle(self) -> None:
        """Return once everything that was answered is where it belongs."""

    def spool_bytes(self) -> int:
        """Bytes of sealed segments that wait; 0 where they do not stay."""

    def records(self) -> int:
        """Hits that have a record: in the spool, or counted in the ledger."""


class Sealed:
    """A collector without a store: segments stay on disk."""

    def __init__(self, folder: Path, cpus: Cpus, **settings: str) -> None:
        folder.mkdir()
        self._running = running_collector(folder, **settings)
        self._cpus = cpus

    def __enter__(self) -> Sealed:
        self._collector = self._running.__enter__()
        self.port = self._collector.port
        place([pid for pids in self.by_role().values() for pid in pids], self._cpus.server)
        return self

    def __exit__(self, *error: object) -> None:
        self._running.__exit__(None, None, None)

    def by_role(self) -> dict[str, list[int]]:
        """The parent and its collect process."""
        return roles(self._collector.parent_pid)

    def settle(self) -> None:
        """Wait until nothing is open any more."""
        self._collector.wait_until_sealed()

    def spool_bytes(self) -> int:
        """Of all sealed segments."""
        return sum(path.stat().st_size for path in (self._collector.data_dir / "spool").glob("*/*.seg"))

    def records(self) -> int:
        """In the spool."""
        return self._collector.spool_records()


class Stored:
    """A whole Footfall with its embedded ClickHouse, which sits with the generator: another machine in production."""

    def __init__(self, folder: Path, cpus: Cpus, **settings: str) -> None:
        self._running = running_footfall(
            folder / "data", first_site_domain=SITE, trusted_proxies="127.0.0.1", **settings
        )
        self._cpus = cpus

    def __enter__(self) -> Stored:
        self.server: FootfallServer = self._running.__enter__()
        self.port = self.server.port
        try:
            self._wait_for_store()
        except BaseException:
            self._running.__exit__(None, None, None)
            raise
        self.connection = BlockConnection(published_address(home_folder(self.server.data_dir)))
        for role, pids in self.by_role().items():
            place(pids, self._cpus.client if role in ("clickhouse", "worker") else self._cpus.server)
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()
        self._running.__exit__(None, None, None)

    def _wait_for_store(self) -> None:
        deadline_s = time.monotonic() + READY_WITHIN_S
        while "ClickHouse is ready" not in self.server.log_path.read_text():
            assert time.monotonic() < deadline_s, "ClickHouse did not start"
            time.sleep(0.05)

    def by_role(self) -> dict[str, list[int]]:
        """All its processes."""
        return roles(self.server.pid)

    def settle(self) -> None:
        """Wait until the spool is empty."""
        deadline_s = time.monotonic() + DRAINED_WITHIN_S
        while any(path.suffix in (".open", ".seg") for path in (self.server.data_dir / "spool").rglob("*")):
            assert time.monotonic() < deadline_s, f"not drained: {self.server.log_path.read_text()[-2_000:]}"
            time.sleep(0.05)

    def spool_bytes(self) -> int:
        """Nothing stays."""
        return 0

    def records(self) -> int:
        """What the ledger has counted."""
        ((count,),) = self.connection.select("SELECT sum(count) FROM ledger")
        return int(count)


class BehindTls:
    """A target behind nginx, which does the TLS as in production."""

    def __init__(self, target: Sealed, port: int, nginx_pid: int) -> None:
        self._target = target
        self._nginx_pid = nginx_pid
        self.port = port

    def by_role(self) -> dict[str, list[int]]:
        """The target's, and nginx."""
        return {**self._target.by_role(), "nginx": [self._nginx_pid]}

    def settle(self) -> None:
        """The target's."""
        self._target.settle()

    def spool_bytes(self) -> int:
        """The target's."""
        return self._target.spool_bytes()

    def records(self) -> int:
        """The target's."""
        return self._target.records()


@contextmanager
def behind_tls(target: Sealed, folder: Path, cpus: Cpus) -> Iterator[BehindTls]:
    """nginx with TLS in front of it, on the server's CPU."""
    folder.mkdir()
    certificate, key = make_certificate(folder)
    port = free_port()
    body = TLS_BODY.format(tls_port=port, certificate=certificate, key=key)
    with running_nginx(folder, body, UPSTREAM.format(port=target.port)) as nginx:
        place([nginx.pid], cpus.server)
        yield BehindTls(target, port, nginx.pid)
