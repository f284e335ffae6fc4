"""What a morning costs: the daily reports of ten thousand sites that fall due at once.

Sites of one zone, ten members to an account, one subscription each; every two hundredth has a thousand views a day and
more, the others eight. The server makes the events, the job's own code closes their days, and then the command
`footfall jobs run reports --shard i/n` runs for each piece, one after the other, each in a process of its own: reading,
rendering, the chart, sealing, and the rows of mails and tasks. Handing the mails to a server is the tasks' work and not
in it. `--events` says how many sites there are instead.

| line | what |
|---|---|
| reports_min | minutes of all pieces together |
| reports_rss_mib | the most memory that one of the processes had |
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from string import Template
from types import SimpleNamespace
from typing import cast

import psutil
from sqlalchemy import Engine, func, insert, select

from bench.harness import Budget, Result, Run, pinned
from jobs.closing_chunk import Closer
from jobs.closing_days import due_groups
from jobs.job import Shard
from jobs.schedule import JOBS
from server.app_database import migrate_app_database, open_app_database, reading, writing
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.clock import now_ms
from server.config import Settings, load_settings
from server.migrate import SchemaForm, migrate
from server.models import Account, Mail, Membership, ReportSend, ReportSubscription, Site, User
from server.queries.periods import SiteCalendar
from server.reports.periods import CHART_DAYS, MailKind, latest_period
from server.services import Services
from tests.services.clickhouse import running_clickhouse

SITES, QUICK_SITES = 10_000, 60
SITES_OF_ACCOUNT = 10
VISITS = 4
LARGE_EVERY = 200
LARGE_VISITS = 600
MEMORY_EVERY_S = 0.02
"""Between two looks at a process's memory."""
DATABASE = "footfall"
UTC_DAYS = SiteCalendar.of("UTC")


class WrongCount(Exception):
    """Not every site got its report: what was measured is worthless."""


def measure(run: Run) -> Iterator[Result]:
    """See the module."""
    sites = run.events or (QUICK_SITES if run.quick else SITES)
    home = Path(tempfile.mkdtemp(prefix="footfall-bench-", dir=os.environ.get("FOOTFALL_BENCH_DIR")))
    try:
        # The server and the job share both CPUs, as on a small machine.
        with pinned(run.cpus.server, run.cpus.client), running_clickhouse(home / "clickhouse") as server:
            address = ClickHouseAddress(hosts=server.address.hosts, database=DATABASE, send_receive_timeout_s=3_600)
            settings = load_settings(data_dir=home / "data", clickhouse_url=f"clickhouse://127.0.0.1:{server.port}")
            app = open_app_database(settings)
            migrate_app_database(settings, app)
            migrate(address, SchemaForm())
            last = latest_period(MailKind.DAILY, UTC_DAYS, now_ms()).last
            days = [last - timedelta(days=number) for number in range(CHART_DAYS - 1, -1, -1)]
            make_sites(app, sites, days[0])
            fill_and_close(address, app, sites, days)
            yield from figures(settings, app, sites)
            app.dispose()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def figures(settings: Settings, app: Engine, sites: int) -> Iterator[Result]:
    """Run the job piece by piece."""
    job = next(job for job in JOBS if job.name == "reports")
    due = datetime.fromtimestamp(job.latest_due(now_ms()) / 1000, UTC).isoformat()
    spent_s, cpu_s, most_mib = [], 0.0, 0.0
    for shard in job.pieces():
        began_s = time.monotonic()
        usage, peak_bytes = run_piece(settings, str(shard), due)
        cpu_s += usage.ru_utime + usage.ru_stime
        most_mib = max(most_mib, peak_bytes / 1_048_576)
        spent_s.append(time.monotonic() - began_s)
    with reading(app) as session:
        mails = session.execute(select(func.count()).select_from(Mail)).scalar_one()
        partial = session.execute(select(func.count()).where(ReportSend.is_partial)).scalar_one()
    if mails != sites or partial:
        raise WrongCount(f"{mails} reports for {sites} sites, {partial} of them partial")
    notes: dict[str, object] = {
        "sites": sites,
        "pieces_s": [round(each, 1) for each in spent_s],
        "cpu_s": round(cpu_s, 1),
        "load": round(os.getloadavg()[0], 1),
    }
    yield Result("reports_min", sum(spent_s) / 60, None, None, "min", Budget(10, "at_most"), (), notes)
    yield Result("reports_rss_mib", most_mib, None, None, "MiB", Budget(500, "at_most"), (), notes)


def run_piece(settings: Settings, shard: str, due: str) -> tuple[resource.struct_rusage, int]:
    """`footfall jobs run reports` for a piece; what it took, and the most bytes it had in memory.

    The kernel's `ru_maxrss` would tell of this process too, from which the other one was forked. Raises `WrongCount`
    when the piece failed.
    """
    arguments = ["jobs", "run", "reports", "--shard", shard, "--at", due]
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())", *arguments],
        env={
            **os.environ,
            "FOOTFALL_DATA_DIR": str(settings.data_dir),
            "FOOTFALL_CLICKHOUSE_URL": settings.clickhouse_url,
        },
        stdout=subprocess.DEVNULL,
    )
    peak_bytes, ended = 0, 0
    while not ended:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            peak_bytes = max(peak_bytes, psutil.Process(child.pid).memory_info().rss)
        time.sleep(MEMORY_EVERY_S)
        ended, status, usage = os.wait4(child.pid, os.WNOHANG)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise WrongCount(f"the piece {shard} ended with status {child.returncode}")
    return usage, peak_bytes


def make_sites(app: Engine, sites: int, first_day: date) -> None:
    """Accounts with a member each, their sites, and a subscription to each."""
    born_ms = UTC_DAYS.start_ms(first_day)
    accounts = range(1, -(-sites // SITES_OF_ACCOUNT) + 1)
    with writing(app) as session:
        made = {"created_at_ms": born_ms}
        known = set(session.execute(select(Account.account_id)).scalars())
        session.execute(
            insert(Account), [{"account_id": n, "name": f"Account {n}", **made} for n in accounts if n not in known]
        )
        person = {"password_hash": "x", "email_confirmed_at_ms": 1, **made}
        session.execute(insert(User), [{"user_id": n, "email": f"p{n}@example.com", **person} for n in accounts])
        session.execute(
            insert(Membership), [{"account_id": n, "user_id": n, "role": "owner", **made} for n in accounts]
        )
        rows, subscriptions = [], []
        for number in range(1, sites + 1):
            account = {"site_id": number, "account_id": (number - 1) // SITES_OF_ACCOUNT + 1, **made}
            rows.append({**account, "public_id": str(number), "domain": f"www.shop-{number}.example"})
            reader = {"kind": MailKind.DAILY, "user_id": account["account_id"], "confirmed_at_ms": born_ms}
            subscriptions.append({**account, **reader})
        session.execute(insert(Site), rows)
        session.execute(insert(ReportSubscription), subscriptions)


def fill_and_close(address: ClickHouseAddress, app: Engine, sites: int, days: list[date]) -> None:
    """The events of these days, and the days closed as the job does."""
    connection = BlockConnection(address)
    text = Template((Path(__file__).parents[1] / "traffic" / "many_sites.sql").read_text(encoding="utf-8"))
    nothing = SimpleNamespace(invalidate=lambda topic, session: None)
    services = cast(Services, SimpleNamespace(engine=app, cache=nothing))
    try:
        for day in days:
            of_day = {"from_s": UTC_DAYS.start_ms(day) // 1000}
            large = {"first": LARGE_EVERY, "step": LARGE_EVERY, "visits": LARGE_VISITS}
            for more in (
                {"first": 1, "step": 1, "visits": VISITS, "sites": sites},
                {**large, "sites": sites // LARGE_EVERY},
            ):
                if more["sites"]:
                    connection.command(text.substitute(**of_day, **more), async_insert=0)
        closer = Closer(services, connection, now_ms)
        with reading(app) as session:
            groups = due_groups(session, Shard(), UTC_DAYS.start_ms(days[-1] + timedelta(days=1)))
        for group in groups:
            closer.close(group)
    finally:
        connection.close()
