"""A flusher process killed with SIGKILL at random moments: the next one asks for what it finds, and nothing doubles."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from server.audit import audit
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.migrate import SchemaForm, migrate
from server.quarantine import Quarantine
from tests.server.segments import write_segment

ROUNDS = 12
CHECKOUT = Path(__file__).parents[2]
DRAIN = """
import sys
from pathlib import Path
from server.batch import targets
from server.clickhouse_url import ClickHouseAddress
from server.migrate import SchemaForm
from server.quarantine import Quarantine
from server.segment_replay import drain_spool
from server.sink import Sink

folder, port, database = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
address = ClickHouseAddress(hosts=(("127.0.0.1", port),), database=database)
print("ready", flush=True)
form = SchemaForm()
drain_spool(folder / "spool", Quarantine(folder / "quarantine"), lambda _: Sink(lambda: address, form, *targets(form)))
"""


def start_drain(folder: Path, address: ClickHouseAddress) -> subprocess.Popen[bytes]:
    port = str(address.hosts[0][1])
    child = subprocess.Popen(
        [sys.executable, "-c", DRAIN, str(folder), port, address.database], stdout=subprocess.PIPE, cwd=CHECKOUT
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def test_killed_flushers_lose_and_double_nothing(tmp_path: Path, store_address: ClickHouseAddress) -> None:
    migrate(store_address, SchemaForm())
    moments = random.Random(11)
    hits = 0
    for number in range(ROUNDS):
        for _ in range(6):
            write_segment(tmp_path / "spool" / f"process-{number}", 400, 10)
            hits += 410
        with start_drain(tmp_path, store_address) as child:
            time.sleep(moments.uniform(0.0, 0.12))
            child.kill()
    with start_drain(tmp_path, store_address) as last:
        assert last.wait(60) == 0
    assert not list((tmp_path / "spool").glob("*/*.seg"))
    connection = BlockConnection(store_address)
    report = audit(connection, tmp_path / "spool", Quarantine(tmp_path / "quarantine"), expected=hits)
    connection.close()
    assert report.ok, report.problems
    assert report.stored == ROUNDS * 6 * 400
