"""What an operator does every day, under load: restarts and changes of settings fail no request and lose no hit.

FOOTFALL_RESTARTS says how often all processes are replaced (20 in the long form).
"""

from __future__ import annotations

import http.client
import os
import shutil
from pathlib import Path

import pytest

from server.embedded import home_folder, published_address
from tests.adversity.exactly_once import assert_audit_holds, stored_paths, wait_until_drained
from tests.adversity.load import RememberingLoad, wait_for_acknowledged
from tests.services.footfall import FootfallServer, running_footfall
from tests.services.waiting import wait_until

RESTARTS = int(os.environ.get("FOOTFALL_RESTARTS", "3"))
DOMAIN = "localhost"

# What an operator is promised of a changed file.
IN_FORCE_WITHIN_S = 5.0

pytestmark = pytest.mark.timeout(3_600)


def metric(server: FootfallServer, name: str) -> list[float]:
    """A value for each process that takes hits."""
    connection = http.client.HTTPConnection("127.0.0.1", server.internal_port, timeout=20)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    return [float(line.split()[-1]) for line in lines if line.startswith(name) and 'process="worker"' not in line]


def assert_nothing_failed(server: FootfallServer, *loads: RememberingLoad) -> None:
    """No request without its answer, each hit stored once, and the books balance."""
    for load in loads:
        assert (load.unanswered, load.refused, load.unexpected) == (set(), 0, [])
    wait_until_drained(server)
    stored = stored_paths(published_address(home_folder(server.data_dir)))
    assert set(stored.values()) == {1}, "stored twice"
    assert stored.keys() == set().union(*(load.acknowledged for load in loads))
    assert_audit_holds(server, stored.total())


@pytest.mark.slow
def test_restarts_fail_no_request_and_lose_no_hit(tmp_path: Path) -> None:
    """Each request on a connection of its own, others on connections that are kept; each time all processes change."""
    with running_footfall(tmp_path / "data", processes="2", first_site_domain=DOMAIN) as server:
        load = RememberingLoad(server.port, DOMAIN, workers=6, connect_each=True)
        kept = RememberingLoad(server.port, DOMAIN, workers=2, at_once=1, name="kept")
        try:
            wait_for_acknowledged(load, 100)
            longest_s = 0.0
            for _ in range(RESTARTS):
                before = {process.pid for process in server.collect_processes()}
                assert len(before) == 2
                server.reload()
                longest_s = max(longest_s, wait_until(lambda: are_replaced(server, before), 120))  # noqa: B023
            wait_for_acknowledged(load, 100)
        finally:
            load.stop()
            kept.stop()
        assert_nothing_failed(server, load, kept)
        requests = len(load.acknowledged) + len(kept.acknowledged)
        print(f"{RESTARTS} restarts, the longest {longest_s:.1f} s: {requests} requests, none failed")


def are_replaced(server: FootfallServer, before: set[int]) -> bool:
    """Whether all processes are others, and those before have ended."""
    now = {process.pid for process in server.collect_processes()}
    return len(now) == len(before) and not now & before


class MountedConfigMap:
    """A folder as kubelet mounts a ConfigMap: the file is a link through `..data`, which one rename swaps."""

    def __init__(self, folder: Path, content: str) -> None:
        self.file = folder / "batch.yaml"
        self._folder = folder
        self._versions = 0
        folder.mkdir()
        self.swap(content)
        self.file.symlink_to(Path("..data") / "batch.yaml")

    def swap(self, content: str) -> None:
        """Put another version in its place, and remove the old one."""
        link = self._folder / "..data"
        old = link.resolve() if link.is_symlink() else None
        self._versions += 1
        new = self._folder / f"..2026_11_30_{self._versions}"
        new.mkdir()
        (new / "batch.yaml").write_text(content)
        (self._folder / "..data_tmp").symlink_to(new.name)
        (self._folder / "..data_tmp").rename(link)
        if old is not None:
            shutil.rmtree(old)


def test_a_swapped_configmap_is_in_force_within_seconds(tmp_path: Path) -> None:
    mounted = MountedConfigMap(tmp_path / "mounted", "batch_max_age_ms: 600000\nspool_max_bytes: 100000001\n")

    def in_force(spool_max_bytes: int) -> bool:
        return metric(server, "footfall_spool_max_bytes") == [spool_max_bytes] * 2

    def invalid(is_invalid: bool) -> bool:
        return metric(server, "footfall_batch_settings_invalid{") == [float(is_invalid)] * 2

    settings = {"batch_settings_file": str(mounted.file), "processes": "2", "first_site_domain": DOMAIN}
    with running_footfall(tmp_path / "data", **settings) as server:
        wait_until(lambda: in_force(100_000_001))
        load = RememberingLoad(server.port, DOMAIN, connect_each=True)
        try:
            wait_for_acknowledged(load, 50)
            assert metric(server, "footfall_flush_rows_total") == [0, 0], "segments are young for ten minutes"
            mounted.swap("batch_max_age_ms: 100\nspool_max_bytes: 100000002\n")
            took_s = wait_until(lambda: in_force(100_000_002))
            assert took_s < IN_FORCE_WITHIN_S
            wait_until(lambda: min(metric(server, "footfall_flush_rows_total")) > 0)
            mounted.swap("batch_max_age_ms: never\nspool_max_bytes: 100000003\n")
            wait_until(lambda: invalid(True), IN_FORCE_WITHIN_S)
            assert in_force(100_000_002)
            assert "batch_max_age_ms=never is not allowed: expected a whole number" in server.log_path.read_text()
            wait_for_acknowledged(load, 50)
            mounted.swap("batch_max_age_ms: 100\nspool_max_bytes: 100000004\n")
            wait_until(lambda: invalid(False) and in_force(100_000_004), IN_FORCE_WITHIN_S)
        finally:
            load.stop()
        assert_nothing_failed(server, load)
        print(f"in force after {took_s:.1f} s; {len(load.acknowledged)} hits, none failed")
