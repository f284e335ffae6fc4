"""A worker: threads that carry out tasks inside this process, until they are stopped.

Threads: N that take messages, one that keeps leases, one that sweeps and counts, and those that call what is due every
minute. None of them is the caller's, no signal handler is set. `start` and `stop` block briefly and at most for the
grace: an event loop calls them from a thread.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from server.tasks import metrics, rows
from server.tasks.broker import minute_queue
from server.tasks.consumer import EmbeddedConsumer, MinuteConsumer, TaskConsumer
from server.tasks.leases import LeaseKeeper
from server.tasks.outage import Outage
from server.tasks.queue import TaskQueue
from server.tasks.runner import Runner

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)

# Of the grace, the share in which running tasks may simply finish. In the rest their next progress stops them, so that
# they are queued again from their checkpoint instead of being killed.
FINISH_SHARE = 0.5


class Worker:
    """See the module. One per process."""

    def __init__(
        self,
        queue: TaskQueue,
        services: Services,
        threads: int,
        *,
        on_error: Callable[[BaseException], None] | None = None,
    ) -> None:
        """`threads` ≥ 1. `on_error` is told of errors in tasks that are not a `TaskFailed`, for an error tracker."""
        if threads < 1:
            raise ValueError("a worker has at least one thread")
        self._queue = queue
        self._limits = queue.limits
        self._threads = threads
        self._database = Outage("the app database")
        self._leases = LeaseKeeper(queue.engine, queue.limits, queue.now_ms, self._database)
        self._runner = Runner(
            queue.engine, services, self._leases, limits=queue.limits, now_ms=queue.now_ms, on_error=on_error
        )
        self._consumers: list[EmbeddedConsumer] = []
        self._stopping = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="task-sweep", daemon=True)
        self._moved_at_s = time.monotonic()

    @property
    def moved_at_s(self) -> float:
        """`time.monotonic` of the sweep's last turn, for a health probe: older than a minute means that it hangs."""
        return self._moved_at_s

    def start(self) -> None:
        """Take tasks from now on. Raises one of `broker.STORE_ERRORS` when the queue's file cannot be opened."""
        queue = self._queue
        queue.broker.attach(self._carry_out)
        self._consumers = [TaskConsumer(queue.broker, self._threads, self._limits, self._carry_out_due)]
        if queue.minute_functions:
            self._consumers.append(MinuteConsumer(minute_queue(queue.minute_functions), self._limits))
        self._leases.start()
        for consumer in self._consumers:
            consumer.start()
        self._sweeper.start()

    def stop(self, timeout_s: float) -> bool:
        """Take nothing more, finish what is under way within the grace, put back what can be put back.

        False when something still runs: its lease runs out, and another worker takes it.
        """
        ends_at_s = time.monotonic() + timeout_s
        self._stopping.set()
        for consumer in self._consumers:
            consumer.stop_flag.set()
        is_done = self._end_consumers(time.monotonic() + timeout_s * FINISH_SHARE)
        if not is_done:
            for run in self._leases.held():
                run.stop_soon()
            is_done = self._end_consumers(ends_at_s)
        self._sweeper.join(max(0.0, ends_at_s - time.monotonic()))
        self._leases.stop()
        if is_done:
            self._queue.close()
        else:
            left = [run.task_id for run in self._leases.held()]
            log.warning("tasks are left to other workers", extra={"task_ids": left})
        return is_done

    def _end_consumers(self, by_s: float) -> bool:
        ended = [consumer.end(max(0.0, by_s - time.monotonic())) for consumer in self._consumers]
        return all(ended)

    def _carry_out(self, task_id: int) -> bool:
        """Whether there was something to do."""
        try:
            outcome = self._runner.run(task_id)
        except SQLAlchemyError as error:
            self._database.began(error)
            return False
        self._database.ended()
        return outcome is not None

    def _carry_out_due(self) -> bool:
        """Without messages: whether one of the due tasks was carried out."""
        try:
            due = self._queue.due(self._queue.now_ms())
        except SQLAlchemyError as error:
            self._database.began(error)
            return False
        # The workers of a fleet ask at the same time: each begins elsewhere.
        random.shuffle(due)
        return any(self._carry_out(task_id) for task_id in due)

    def _sweep(self) -> None:
        figures_due_s = 0.0
        while True:
            try:
                self._queue.sweep(self._queue.now_ms())
                if time.monotonic() >= figures_due_s:
                    figures_due_s = time.monotonic() + self._limits.figures_interval_s
                    self._count()
                    self._revive()
                self._database.ended()
            except SQLAlchemyError as error:
                self._database.began(error)
            except Exception:  # whatever it is, the next turn sweeps again
                log.exception("the sweep failed")
            self._moved_at_s = time.monotonic()
            if self._stopping.wait(self._limits.sweep_interval_s):
                return

    def _revive(self) -> None:
        """Start threads again that ended by an error."""
        if not self._stopping.is_set():
            for consumer in self._consumers:
                consumer.check_worker_health()

    def _count(self) -> None:
        waiting = rows.figures(self._queue.engine)
        metrics.TASKS_QUEUED.set(waiting.queued)
        late_ms = self._queue.now_ms() - waiting.oldest_due_ms if waiting.oldest_due_ms else 0
        metrics.OLDEST_DUE_S.set(max(0.0, late_ms / 1000))
