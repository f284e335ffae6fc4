"""What closing costs: CPU of the server for each event, and bytes of the closed tables for each page view.

The server makes a day of a thousand sites (`bench.traffic.generated_year`, site 1 has 60 %), the job's own code closes
it again and again. Each round closes it twice, and the cheaper of the two counts: what else runs on the machine only
adds.

| line | what |
|---|---|
| closing_day_us | CPU of the server for one event, all steps; their shares are in the notes |
| closed_day_bytes | bytes on disk of all closed tables for one page view, merged; by table and column in the notes |

One day holds each path's name for the first time: over a year `names` takes a third of what it takes here.
`--events` says how many events the day has.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from bench.harness import Budget, Result, Run, pinned
from bench.suites.queries import Bench, MeasuredConnection, fill, make_bench
from bench.traffic.generated_year import SITES, TODAY
from server.clickhouse_tcp import BlockConnection
from server.queries.closing import Chunk, Closing, count_rows
from server.queries.periods import SiteCalendar
from tests.services.clickhouse import running_clickhouse

DEFAULT_EVENTS = 1_000_000
QUICK_EVENTS = 20_000
CLOSED = ("sessions", "vitals", "daily", "hourly", "names", "closings")
SHOWN_COLUMNS = 12
MOST_US = 3.0
MOST_BYTES = 5.0
_FIRST_CLOSING_MS = 1_700_000_000_000


def measure(run: Run) -> Iterator[Result]:
    """See the module."""
    events = run.events or (QUICK_EVENTS if run.quick else DEFAULT_EVENTS)
    home = Path(tempfile.mkdtemp(prefix="footfall-bench-", dir=os.environ.get("FOOTFALL_BENCH_DIR")))
    try:
        # The server has both CPUs, as in the budgets.
        with pinned(run.cpus.server, run.cpus.client), running_clickhouse(home / "clickhouse") as server:
            bench = make_bench(home / "day", server.address, "day", 1)
            fill(bench, events, today_events=0)
            yield closing_cost(bench, 1 if run.quick else run.rounds)
            yield closed_size(bench)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def closing_cost(bench: Bench, rounds: int) -> Result:
    """CPU of a whole closing of the day; leaves the last one in the tables."""
    attempts = [_close(bench, number) for number in range(2 * rounds)]
    totals = [sum(steps.values()) for steps in attempts]
    pairs = list(zip(totals[::2], totals[1::2], strict=True))
    shares = {step: round(statistics.median(each[step] for each in attempts), 3) for step in attempts[0]}
    notes: dict[str, object] = {"steps": shares, "load": round(os.getloadavg()[0], 1)}
    cost = statistics.median(min(pair) for pair in pairs)
    return Result("closing_day_us", cost, None, None, "us/event", Budget(MOST_US, "at_most"), tuple(pairs), notes)


def _close(bench: Bench, number: int) -> Counter[str]:
    """Microseconds for each event, by step."""
    connection = MeasuredConnection(bench.address)
    try:
        for table in CLOSED:
            BlockConnection.command(connection, f"TRUNCATE TABLE {table}")
        day = TODAY - timedelta(days=1)
        chunk = Chunk(tuple(range(1, SITES + 1)), SiteCalendar.of("UTC"), (day,), _FIRST_CLOSING_MS + number)
        counts = count_rows(connection, chunk)
        events = sum(rows.rows for rows in counts.values())
        spent: Counter[str] = Counter()
        step, before = "", 0

        def begin(next_step: str) -> None:
            nonlocal step, before
            spent[step] += connection.cpu_us - before
            step, before = next_step.split()[0], connection.cpu_us

        Closing(chunk, counts).run(connection, begin)
        begin("end")
        return Counter({name: cpu_us / events for name, cpu_us in spent.items() if cpu_us})
    finally:
        connection.close()


def closed_size(bench: Bench) -> Result:
    """Bytes of the closed tables, merged."""
    connection = BlockConnection(bench.address)
    try:
        for table in CLOSED:
            connection.command(f"OPTIMIZE TABLE {table} FINAL")
        ((views,),) = connection.select("SELECT sum(pageviews) FROM daily WHERE dimension = 'total'")
        rows = connection.select(
            "SELECT table, sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() "
            "AND has(%(tables)s, table) GROUP BY table ORDER BY table",
            {"tables": list(CLOSED)},
        )
        columns = connection.select(
            "SELECT concat(table, '.', column), sum(column_data_compressed_bytes) AS bytes FROM system.parts_columns "
            "WHERE active AND database = currentDatabase() AND has(%(tables)s, table) "
            "GROUP BY table, column ORDER BY bytes DESC LIMIT %(most)s",
            {"tables": list(CLOSED), "most": SHOWN_COLUMNS},
        )
    finally:
        connection.close()
    tables = {str(table): int(stored) / int(views) for table, stored in rows}
    notes: dict[str, object] = {
        "tables": {table: round(stored, 3) for table, stored in tables.items()},
        "columns": {str(column): round(int(stored) / int(views), 3) for column, stored in columns},
    }
    size = sum(tables.values())
    return Result("closed_day_bytes", size, None, None, "bytes/view", Budget(MOST_BYTES, "at_most"), (), notes)
