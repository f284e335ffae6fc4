"""A rolling upgrade by hand: processes of an older version and of this one on the same stores, each way round.

    .venv/bin/python -m tests.upgrades.mixed_versions CHECKOUT-OF-THE-OLDER-VERSION

The other checkout needs its extensions built. The older version makes the tables; this one's web process migrates them
while the older ones go on. Every hit must be stored, and shown by both web processes. Needs PostgreSQL.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.services.clickhouse import running_clickhouse
from tests.services.footfall import CHECKOUT, FootfallServer
from tests.services.postgresql import running_postgresql
from tests.upgrades.make_previous import send

SHOWN_WITHIN_S = 60.0
HITS = 20


@contextmanager
def running(checkout: Path, data_dir: Path, **settings: str) -> Iterator[FootfallServer]:
    """One `serve` of a checkout."""
    server = FootfallServer(data_dir, **settings)
    server.checkout = checkout
    server.start()
    try:
        yield server
    finally:
        assert server.stop() == 0, server.log_path.read_text()[-3_000:]


def shown(server: FootfallServer) -> int:
    """How many events a web process counts."""
    key = (server.data_dir / "local_key").read_text().strip()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("GET", "/api/count?site=localhost", headers={"Authorization": f"Bearer {key}"})
        return int(json.loads(connection.getresponse().read())["events"])
    finally:
        connection.close()


def expect(server: FootfallServer, events: int, what: str) -> None:
    """Wait until a web process counts so many."""
    deadline_s = time.monotonic() + SHOWN_WITHIN_S
    while (count := shown(server)) != events:
        assert time.monotonic() < deadline_s, f"{what}: {count} of {events} events"
        time.sleep(0.2)
    print(f"{what}: {events} events", flush=True)


def main() -> None:
    """The whole course; fails by an assertion."""
    older = Path(sys.argv[1]).resolve()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clickhouse = stack.enter_context(running_clickhouse(folder / "clickhouse"))
        settings = {
            "app_database_url": stack.enter_context(running_postgresql()),
            "clickhouse_url": str(clickhouse.address),
            "secret_key": "ab" * 32,
            "first_site_domain": "localhost",
            "worker_threads": "0",
            "batch_max_age_ms": "200",
        }

        def start(checkout: Path, name: str) -> FootfallServer:
            return stack.enter_context(running(checkout, folder / name, role=name.partition("-")[2], **settings))

        old_collect, old_web = start(older, "old-collect"), start(older, "old-web")
        send(old_collect.port, 0, HITS)
        expect(old_web, HITS, "old collect, old web")
        new_web = start(CHECKOUT, "new-web")
        send(old_collect.port, HITS, HITS)
        expect(new_web, 2 * HITS, "old collect, new web")
        new_collect = start(CHECKOUT, "new-collect")
        send(new_collect.port, 2 * HITS, HITS)
        expect(old_web, 3 * HITS, "new collect, old web")
        expect(new_web, 3 * HITS, "new collect, new web")


if __name__ == "__main__":
    main()
