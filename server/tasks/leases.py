"""Keeps the leases of all tasks that run in this process: one thread, one statement per beat.

A run past its deadline is left out, so another worker takes its task over once the lease is over. While the app
database is away nothing can be renewed, nor can anybody else take a task; the beat after it decides.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from server.tasks import metrics, rows
from server.tasks.limits import TaskLimits
from server.tasks.outage import Outage
from server.tasks.run import TaskRun

log = logging.getLogger(__name__)


class LeaseKeeper:
    """Knows every run of this process. For any thread."""

    def __init__(self, engine: Engine, limits: TaskLimits, now_ms: Callable[[], int], outage: Outage) -> None:
        self._engine = engine
        self._limits = limits
        self._now_ms = now_ms
        self._outage = outage
        self._runs: dict[str, TaskRun] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, run: TaskRun) -> None:
        """Renew this run's lease from now on."""
        with self._lock:
            self._runs[run.claimed.token] = run
        metrics.TASKS_RUNNING.inc()

    def release(self, run: TaskRun) -> None:
        """The run has ended."""
        with self._lock:
            self._runs.pop(run.claimed.token, None)
        metrics.TASKS_RUNNING.dec()

    def held(self) -> list[TaskRun]:
        """The runs of this moment."""
        with self._lock:
            return list(self._runs.values())

    def beat(self) -> bool:
        """Renew all leases once; False when there are none. Raises SQLAlchemy's error when the app database is away."""
        now_ms = self._now_ms()
        runs = {run.claimed.token: run for run in self.held() if not run.is_past_deadline(now_ms)}
        if not runs:
            return False
        until_ms = now_ms + self._limits.lease_ms
        renewed = rows.renew(self._engine, runs.keys(), until_ms)
        for token, run in runs.items():
            if token in renewed:
                run.lease_renewed(until_ms, cancel_requested=renewed[token])
            else:
                run.lease_lost()
        return True

    def start(self) -> None:
        """Beat from a thread of its own until `stop`."""
        self._thread = threading.Thread(target=self._live, name="task-leases", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _live(self) -> None:
        while not self._ended.wait(self._limits.heartbeat_interval_s):
            try:
                if self.beat():
                    self._outage.ended()
            except SQLAlchemyError as error:
                self._outage.began(error)
            except Exception:  # whatever it is, the next beat renews
                log.exception("leases were not renewed")
