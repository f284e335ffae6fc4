"""`footfall worker` as a process: runs jobs, is started again, waits for stores that are away, stops."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from sqlalchemy import Engine, select

import jobs.due_tasks  # registers the kind
from jobs import state
from jobs.job import Shard
from server.app_database import open_app_database, reading, writing
from server.clock import now_ms
from server.config import Settings, child_environment, load_settings
from server.loopback_port import free_port
from server.models import JobRun, Task
from server.tasks import TaskQueue
from tests.adversity.fault_proxy import FaultProxy
from tests.jobs.doubles import HOUR_MS

CHECKOUT = Path(__file__).resolve().parents[2]
FOOTFALL = (sys.executable, "-c", "import sys; from server.cli import main; sys.exit(main())")


class WorkerHost:
    """A machine on which only `footfall worker` runs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log_path = settings.data_dir.parent / "worker.log"
        with self.log_path.open("ab") as log:
            self.parent = subprocess.Popen(
                [*FOOTFALL, "worker"],
                cwd=CHECKOUT,
                env=child_environment(settings, {}),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def ask(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.settings.internal_port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def notes(self) -> list[str] | None:
        status, body = self.ask("/healthz")
        return json.loads(body).get("notes", []) if status == 200 else None

    def child(self) -> psutil.Process | None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.parent.pid).children():
                if "jobs.worker" in child.cmdline():
                    return child
        return None


@contextlib.contextmanager
def working(settings: Settings) -> Iterator[WorkerHost]:
    host = WorkerHost(settings)
    try:
        yield host
    finally:
        child = host.child()
        host.parent.kill()
        host.parent.wait(10)
        if child is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


def alone(settings: Settings, **more: Any) -> Settings:
    """Settings of a worker beside which nothing listens."""
    ports = {"port": free_port(), "internal_port": free_port()}
    return load_settings(**{**settings.model_dump(), **ports, "stop_grace_s": 5, **more})


def wait_until(condition: Callable[[], Any], timeout_s: float = 30.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.05)


def outcomes(engine: Engine, job: str) -> list[str]:
    with reading(engine) as session:
        return list(session.execute(select(JobRun.outcome).where(JobRun.job == job)).scalars())


def queue_salts(settings: Settings, engine: Engine) -> int:
    tasks = TaskQueue(settings, engine)
    with writing(engine) as session:
        task_id = tasks.enqueue(session, jobs.due_tasks.KIND, arguments={"job": "salts", "shard": "0/1"})
    tasks.close()
    return task_id


def is_done(engine: Engine, task_id: int) -> bool:
    with reading(engine) as session:
        return session.execute(select(Task.state).where(Task.task_id == task_id)).scalar() == "succeeded"


def test_it_runs_what_is_due_is_started_again_and_stops(sqlite_settings: Settings) -> None:
    engine = open_app_database(sqlite_settings)
    state.register(engine, "salts", Shard(), now_ms() - 3 * HOUR_MS)
    with working(alone(sqlite_settings)) as host:
        wait_until(lambda: outcomes(engine, "salts").count("succeeded") == 1)
        wait_until(lambda: host.ask("/readyz")[0] == 200)
        assert host.notes() == []
        first = host.child()
        assert first is not None
        first.send_signal(signal.SIGKILL)
        wait_until(lambda: (child := host.child()) is not None and child.pid != first.pid)
        wait_until(lambda: host.ask("/readyz")[0] == 200)
        page = host.ask("/metrics")[1]
        assert "footfall_process_respawns_total 1.0" in page
        assert "footfall_worker_up 1.0" in page
        assert 'footfall_job_waiting_seconds{job="salts",process="worker"} 0.0' in page
        task_id = queue_salts(host.settings, engine)
        wait_until(lambda: is_done(engine, task_id))
        host.parent.terminate()
        assert host.parent.wait(20) == 0
        lines = [json.loads(line) for line in host.log_path.read_text().splitlines()]
        assert [line["all_done"] for line in lines if line["message"] == "stopped"] == [True]
        errors = [line["message"] for line in lines if line["level"] == "error"]
        assert errors == ["a process ended and is started again"]
    assert state.read_standing(engine, "tidy", Shard()) is not None, "a fresh installation knows its jobs"
    engine.dispose()


def test_it_waits_for_an_app_database_that_is_away_and_goes_on_by_itself(
    tmp_path: Path, postgresql_settings: Settings
) -> None:
    """Also without the Redis that the settings name."""
    postgresql_url = postgresql_settings.app_database_url
    redis_url = "redis://127.0.0.1:1/0"
    target = urlsplit(postgresql_url)
    with FaultProxy((str(target.hostname), target.port or 0)) as proxy:
        proxy.refuse(True)
        through_proxy = target._replace(netloc=f"{target.username}@127.0.0.1:{proxy.port}").geturl()
        settings = load_settings(data_dir=tmp_path / "data", app_database_url=through_proxy, redis_url=redis_url)
        engine = open_app_database(settings.model_copy(update={"app_database_url": postgresql_url}))
        with working(alone(settings)) as host:
            wait_until(lambda: "worker: it cannot start its threads: OperationalError" in (host.notes() or []))
            assert host.ask("/healthz")[0] == 200
            assert host.ask("/readyz")[0] == 503
            child = host.child()
            proxy.refuse(False)
            wait_until(lambda: host.notes() == [])
            task_id = queue_salts(host.settings, engine)
            wait_until(lambda: is_done(engine, task_id))
            proxy.refuse(True)
            time.sleep(0.5)
            task_id = queue_salts(settings.model_copy(update={"app_database_url": postgresql_url}), engine)
            proxy.refuse(False)
            wait_until(lambda: is_done(engine, task_id))
            assert host.child() == child, "the same process all the time"
        engine.dispose()
