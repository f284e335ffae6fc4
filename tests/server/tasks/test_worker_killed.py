"""A worker process killed with SIGKILL in the middle of a task: it is taken again after its lease, and counted."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import Engine

from server.app_database import reading, writing
from server.config import Settings, child_environment
from server.models import Task
from server.tasks import TaskQueue, TaskRun, Worker
from tests.server.tasks import kinds  # noqa: F401 - registers the kinds
from tests.server.tasks.fixtures import RecordingServices
from tests.server.tasks.test_worker import SHORT_LEASE, eventually
from tests.services.redis import redis_server

CHECKOUT = Path(__file__).parents[3]
WORK = """
import sys, time
from pathlib import Path
from server.app_database import open_app_database
from server.config import load_settings
from server.tasks import TaskQueue, Worker
from tests.server.tasks import kinds
from tests.server.tasks.fixtures import RecordingServices
from tests.server.tasks.test_worker import SHORT_LEASE

settings = load_settings()
engine = open_app_database(settings)

def act(run):
    run.checkpoint["reached"] = 7
    run.progress(7, 10, "seven of ten")
    print("inside", flush=True)
    time.sleep(60)

worker = Worker(TaskQueue(settings, engine, limits=SHORT_LEASE), RecordingServices(engine, extra=act).typed, 1)
worker.start()
time.sleep(60)
"""


def test_a_killed_workers_task_goes_on_elsewhere(settings: Settings, engine: Engine, tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        # A fleet has both, a single machine neither.
        if settings.app_database_url:
            settings = settings.model_copy(update={"redis_url": server.url})
        queue = TaskQueue(settings, engine, limits=SHORT_LEASE)
        with writing(engine) as session:
            task_id = queue.enqueue(session, "test.act")
        child = subprocess.Popen(
            [sys.executable, "-c", WORK],
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            env=child_environment(settings, {"PATH": "/usr/bin:/bin"}),
        )
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"inside\n"
        finally:
            child.kill()
            child.wait(10)
            child.stdout.close()  # type: ignore[union-attr]
        killed_at_s = time.monotonic()
        seen: list[object] = []

        def act(run: TaskRun) -> None:
            seen.append((run.attempt, run.checkpoint))

        worker = Worker(queue, RecordingServices(engine, extra=act).typed, 1)
        worker.start()

        def row() -> Task:
            with reading(engine) as session:
                return session.get_one(Task, task_id)

        eventually(lambda: row().state == "succeeded")
        assert time.monotonic() - killed_at_s > SHORT_LEASE.lease_ms / 1000 - SHORT_LEASE.heartbeat_interval_s - 0.1
        assert worker.stop(10)
    assert seen == [(2, {"reached": 7})]
    assert (row().attempts, row().progress_done, row().message) == (2, 7, "")
