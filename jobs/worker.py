"""The worker process: carries out tasks and looks every minute at what jobs are due. It has no socket.

```
main thread       the line to the parent, signals, reports: never waits for a database
starter thread    app database, services; again and again until they are there
task threads      `server.tasks.Worker`, FOOTFALL_WORKER_THREADS of them; jobs run there
minute thread     `jobs.due_tasks.queue_due`
```

While the app database or Redis is away everything waits and goes on by itself. Stopping: nothing is taken any more,
what is under way may finish within `stop_grace_s`, then it is stopped at its next progress and done again elsewhere.

What this module imports stays in memory for good, so it imports little: `serve` runs a worker on every machine.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from server.app_database import migrate_app_database
from server.child import ChildArguments, ChildProcess, run_child
from server.config import Settings
from server.error_tracking import report_error
from server.health import HealthReport
from server.retry import Backoff

if TYPE_CHECKING:
    from jobs.runner import JobRunner
    from server.cache import InvalidationPoller
    from server.services import Services
    from server.tasks import Worker

log = logging.getLogger(__name__)

# The task threads' sweep turns every few seconds; a statement may wait for a database that is away.
SWEEP_STALL_S = 60.0


class WorkerProcess(ChildProcess):
    """See the module."""

    def __init__(self, settings: Settings, arguments: ChildArguments) -> None:
        super().__init__(settings, arguments)
        self._ending = threading.Event()
        self._starter = threading.Thread(target=self._start_when_possible, name="worker-start", daemon=True)
        self._services: Services | None = None
        self._worker: Worker | None = None
        self._invalidations: InvalidationPoller | None = None
        self._problem = "it has not started its threads"

    async def start(self) -> None:
        """Ready at once: whoever waits for this process must not wait for a database."""
        self._starter.start()

    async def stop(self) -> None:
        """See the module."""
        await self.loop.run_in_executor(None, self._end)

    def health_report(self) -> HealthReport:
        """What keeps tasks and jobs from being done here."""
        problems = list(super().health_report().ready)
        if self._problem:
            problems.append(self._problem)
        worker = self._worker
        if worker is not None and time.monotonic() - worker.moved_at_s > SWEEP_STALL_S:
            problems.append(f"it has not looked for tasks for {SWEEP_STALL_S:.0f} s")
        return HealthReport(ready=tuple(problems))

    def _start_when_possible(self) -> None:
        backoff = Backoff(first_s=0.5, longest_s=10.0)
        while not self._ending.is_set():
            try:
                self._begin()
            except Exception as error:  # whatever is missing, it may be there at the next attempt
                self._problem = f"it cannot start its threads: {type(error).__name__}"
                delay_s = backoff.next_s()
                extra = {"reason": type(error).__name__, "again_in_s": round(delay_s, 1)}
                log.warning("the worker cannot start its threads", extra=extra)
                self._ending.wait(delay_s)
            else:
                self._problem = ""
                log.info("the worker takes tasks", extra={"threads": self.settings.worker_threads})
                return

    def _begin(self) -> None:
        # Imported here: a worker whose database is away need not hold all this, and a start need not wait for it.
        import jobs.started  # noqa: F401 - so that staff can start a job
        from jobs.runner import JobRunner
        from jobs.schedule import JOBS
        from server.cache import InvalidationPoller
        from server.services import open_services
        from server.tasks import Worker

        services = open_services(self.settings)
        runner = JobRunner(services, JOBS)
        invalidations = InvalidationPoller(services.cache)

        def tick() -> None:
            self._tick(services, runner)

        try:
            migrate_app_database(self.settings, services.engine)
            services.tasks.every_minute("jobs", tick)
            worker = Worker(services.tasks, services, self.settings.worker_threads, on_error=report_error)
            worker.start()
            invalidations.start()
        except Exception:
            services.close()
            raise
        self._services, self._worker, self._invalidations = services, worker, invalidations
        tick()

    def _tick(self, services: Services, runner: JobRunner) -> None:
        from jobs.due_tasks import queue_due

        try:
            queue_due(services, runner)
            services.alerts.show_last_raised()
        except SQLAlchemyError as error:
            self._problem = "the app database is away"
            log.warning("nobody looked for due jobs", extra={"reason": type(error).__name__})
        else:
            self._problem = ""

    def _end(self) -> None:
        ends_at_s = time.monotonic() + self.settings.stop_grace_s
        self._ending.set()
        self._starter.join(self.settings.stop_grace_s)
        if self._worker is not None and self._services is not None:
            is_done = self._worker.stop(max(0.0, ends_at_s - time.monotonic()))
            if self._invalidations is not None:
                self._invalidations.stop()
            if is_done:
                self._services.close()
            log.info("stopped", extra={"all_done": is_done})


if __name__ == "__main__":
    sys.exit(run_child(WorkerProcess, sys.argv[1:]))
