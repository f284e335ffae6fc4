"""The crash suite: whatever dies, an acknowledged hit is stored exactly once, and it always starts again.

A remembering load runs against `footfall serve`, whose way to ClickHouse leads through a proxy that cuts connections.
Collect processes are killed at random moments, ClickHouse is killed and started again, the disk runs full. In the
end every acknowledged hit must be a row, once; every unanswered one at most once; and `footfall audit` must hold.

FOOTFALL_CRASH_ROUNDS says how often a collect process is killed (`make crash`: 200); the short form is part of `make
test`. FOOTFALL_CRASH_SEED repeats a run's choices.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.adversity.exactly_once import (
    assert_audit_holds,
    assert_exactly_once,
    stored_paths,
    wait_until_drained,
)
from tests.adversity.fault_proxy import Fault, FaultProxy
from tests.adversity.kept_clickhouse import KeptClickHouse
from tests.adversity.load import RememberingLoad, wait_for_acknowledged
from tests.services.clickhouse import ClickHouseServer
from tests.services.footfall import FootfallServer

pytestmark = [pytest.mark.crash, pytest.mark.timeout(7_200)]

ROUNDS = int(os.environ.get("FOOTFALL_CRASH_ROUNDS", "8"))
SEED = int(os.environ.get("FOOTFALL_CRASH_SEED", str(time.time_ns() % 1_000_000)))
DOMAIN = "localhost"
SMALL_DISK_BYTES = 2 * 1024 * 1024


@pytest.fixture
def clickhouse_of_its_own(tmp_path: Path) -> Iterator[ClickHouseServer]:
    """A server that the test may kill."""
    with KeptClickHouse(tmp_path / "clickhouse") as server:
        yield server


def start_footfall(tmp_path: Path, clickhouse: ClickHouseServer, port: int, **more: str) -> FootfallServer:
    """Not started yet."""
    url = f"clickhouse://127.0.0.1:{port}/{clickhouse.database}"
    return FootfallServer(
        tmp_path / "data", clickhouse_url=url, batch_max_age_ms="100", first_site_domain=DOMAIN, **more
    )


def test_killed_processes_lose_and_double_nothing(tmp_path: Path, clickhouse_of_its_own: ClickHouseServer) -> None:
    chance = random.Random(SEED)
    print(f"FOOTFALL_CRASH_SEED={SEED}")
    clickhouse = clickhouse_of_its_own
    with FaultProxy(("127.0.0.1", clickhouse.port)) as proxy:
        footfall = start_footfall(tmp_path, clickhouse, proxy.port)
        footfall.start()
        load = RememberingLoad(footfall.port, DOMAIN)
        try:
            for number in range(ROUNDS):
                wait_for_acknowledged(load, 50)
                time.sleep(chance.uniform(0.0, 0.3))
                match chance.choice(["kill", "kill", "cut", "clickhouse"]):
                    case "cut":
                        action = chance.choice(["cut", "reset", "swallow_answer"])
                        proxy.plan(*[Fault(action, chance.randrange(20_000)) for _ in range(chance.randrange(1, 4))])  # type: ignore[arg-type]
                        proxy.refuse(True)
                        proxy.refuse(False)
                    case "clickhouse":
                        clickhouse.kill()
                        time.sleep(chance.uniform(0.0, 0.5))
                        clickhouse.start()
                    case _:
                        pass
                for process in footfall.collect_processes():
                    with_suppressed_kill(process)
                if number % 20 == 19:
                    print(f"{number + 1} kills, {len(load.acknowledged)} acknowledged", flush=True)
            wait_for_acknowledged(load, 50)
            load.stop()
            proxy.plan()
            footfall.wait_ready()
            wait_until_drained(footfall)
            stored = stored_paths(clickhouse.address)
            print(
                f"{ROUNDS} kills: {len(load.acknowledged)} acknowledged, {len(load.unanswered)} unanswered, "
                f"{load.refused} refused, {stored.total()} stored"
            )
            assert_exactly_once(load, stored)
            assert_audit_holds(footfall, stored.total())
            assert footfall.stop() == 0
        finally:
            load.stop()
            footfall.kill()


def with_suppressed_kill(process: psutil.Process) -> None:
    """SIGKILL; one that has just ended by itself is as good."""
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def test_the_whole_service_is_killed_and_starts_again(tmp_path: Path, clickhouse_of_its_own: ClickHouseServer) -> None:
    clickhouse = clickhouse_of_its_own
    footfall = start_footfall(tmp_path, clickhouse, clickhouse.port)
    try:
        footfall.start()
        load = RememberingLoad(footfall.port, DOMAIN)
        wait_for_acknowledged(load, 500)
        footfall.kill()
        load.stop()
        footfall.start()
        wait_until_drained(footfall)
        assert_exactly_once(load, stored_paths(clickhouse.address))
        assert_audit_holds(footfall, len(load.acknowledged))
    finally:
        footfall.kill()


def test_a_full_disk_refuses_and_recovers_without_a_restart(
    tmp_path: Path, clickhouse_of_its_own: ClickHouseServer
) -> None:
    """The spool stands on a tmpfs of a few megabytes while ClickHouse is away."""
    clickhouse = clickhouse_of_its_own
    footfall = start_footfall(tmp_path, clickhouse, clickhouse.port)
    spool = footfall.data_dir / "spool"
    spool.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "tmpfs", str(spool)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    try:
        footfall.start()
        clickhouse.kill()
        load = RememberingLoad(footfall.port, DOMAIN)
        deadline_s = time.monotonic() + 120
        while load.refused < 50:
            assert time.monotonic() < deadline_s, f"{len(load.acknowledged)} acknowledged, the disk is not full"
            time.sleep(0.05)
        processes = {process.pid for process in footfall.collect_processes()}
        clickhouse.start()
        wait_for_acknowledged(load, 200)
        load.stop()
        wait_until_drained(footfall)
        assert {process.pid for process in footfall.collect_processes()} == processes, "recovered by a restart"
        assert_exactly_once(load, stored_paths(clickhouse.address))
        assert_audit_holds(footfall, len(load.acknowledged))
        assert footfall.stop() == 0
    finally:
        footfall.kill()
        subprocess.run(["umount", "-l", str(spool)], check=True)
