"""A worker process killed with SIGKILL in the middle of an import: the next one goes on, and every line counts once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from server.app_database import reading
from server.config import child_environment
from server.models import Task
from server.tasks import TaskQueue, Worker
from tests.server.imports.desk import Desk
from tests.server.imports.test_resuming import PART_LINES, logs, stored
from tests.server.tasks.test_worker import SHORT_LEASE, eventually

CHECKOUT = Path(__file__).parents[3]

# Each part is two INSERTs, its rows and then its counts: after an odd one the part is half stored.
WORK = f"""
import functools, sys, time
from server.config import load_settings
from server.imports import tasks
from server.imports.run import ImportContext
from server.services import open_services
from server.sink import Sink
from server.tasks import TaskQueue, Worker
from tests.server.tasks.test_worker import SHORT_LEASE

tasks.ImportContext = functools.partial(ImportContext, part_lines={PART_LINES})
insert, done = Sink._insert, []

def insert_and_hang(*arguments, **named):
    insert(*arguments, **named)
    done.append(1)
    if len(done) == int(sys.argv[1]):
        print("inside", flush=True)
        time.sleep(600)

Sink._insert = insert_and_hang
settings = load_settings()
services = open_services(settings)
Worker(TaskQueue(settings, services.engine, limits=SHORT_LEASE), services, 1).start()
time.sleep(600)
"""


@pytest.mark.parametrize("inserts", [3, 4])
def test_an_import_goes_on_in_another_worker(desk: Desk, inserts: int) -> None:
    whole = desk.send("logs.zip", logs("whole"))
    desk.carry_out(whole, part_lines=PART_LINES)
    expected = stored(desk, whole)
    import_id = desk.send("logs.zip", logs(f"killed {inserts}"))
    settings, engine = desk.services.settings, desk.services.engine
    child = subprocess.Popen(
        [sys.executable, "-c", WORK, str(inserts)],
        stdout=subprocess.PIPE,
        cwd=CHECKOUT,
        env=child_environment(settings, {"PATH": "/usr/bin:/bin"}),
    )
    try:
        assert child.stdout is not None
        # What it says before is its log.
        assert any(line == b"inside\n" for line in child.stdout)
    finally:
        child.kill()
        child.wait(10)
        child.stdout.close()  # type: ignore[union-attr]
    row, _ = desk.saved(import_id)
    assert row.state == "running"
    assert 0 < len(stored(desk, import_id)[0]) < len(expected[0])

    worker = Worker(TaskQueue(settings, engine, limits=SHORT_LEASE), desk.services, 1)
    worker.start()
    try:
        eventually(lambda: desk.saved(import_id)[0].state == "done")
    finally:
        assert worker.stop(10)
    assert stored(desk, import_id) == expected
    assert desk.audit().ok
    with reading(engine) as session:
        task = session.get_one(Task, row.task_id)
    assert (task.state, task.attempts) == ("succeeded", 2)
