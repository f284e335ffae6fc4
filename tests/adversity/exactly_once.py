"""The promise of Footfall as a client and its operator can check it: each acknowledged hit is stored, once."""

from __future__ import annotations

import time
from collections import Counter

from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from tests.adversity.load import RememberingLoad
from tests.services.footfall import FootfallServer

DRAIN_TIMEOUT_S = 120.0


def stored_paths(*shards: ClickHouseAddress) -> Counter[str]:
    """How often each path is stored, on all of these servers together."""
    stored: Counter[str] = Counter()
    for address in shards:
        connection = BlockConnection(address)
        try:
            stored.update(dict(connection.select("SELECT path, count() FROM events GROUP BY path")))
        finally:
            connection.close()
    return stored


def wait_until_drained(footfall: FootfallServer) -> None:
    """Wait until the spool holds no segment."""
    deadline_s = time.monotonic() + DRAIN_TIMEOUT_S
    spool = footfall.data_dir / "spool"
    while any(path.suffix in (".open", ".seg") for path in spool.rglob("*")):
        assert time.monotonic() < deadline_s, f"not drained: {footfall.log_path.read_text()[-3_000:]}"
        time.sleep(0.1)


def assert_exactly_once(load: RememberingLoad, stored: Counter[str]) -> None:
    """The promise, on what the client saw."""
    assert not load.unexpected, load.unexpected[:3]
    lost = load.acknowledged - stored.keys()
    doubled = {path: count for path, count in stored.items() if count > 1}
    strangers = stored.keys() - load.acknowledged - load.unanswered
    assert (len(lost), len(doubled), len(strangers)) == (0, 0, 0), (sorted(lost)[:5], doubled, sorted(strangers)[:5])


def assert_audit_holds(footfall: FootfallServer, at_least: int) -> None:
    """The law, on what the ledger says."""
    audited = footfall.command("audit")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert at_least > 0
