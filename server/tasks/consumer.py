"""Huey's consumer, embedded: its threads inside our process, without its signal handlers and its blocking `run`.

A thread takes a message and carries it out. While the queue's store is away it looks for due tasks in the app database
instead: without Redis tasks start a little later, but they start.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from huey.consumer import Consumer, Scheduler, Worker  # type: ignore[import-untyped]  # Huey ships no types

from server.tasks.broker import STORE_ERRORS, Broker
from server.tasks.limits import TaskLimits
from server.tasks.messages import MessageRefused
from server.tasks.metrics import MESSAGES_REFUSED

log = logging.getLogger(__name__)

# Huey tells of each message at level info, and we of each task.
logging.getLogger("huey").setLevel(logging.WARNING)


class EmbeddedConsumer(Consumer):  # type: ignore[misc]  # Huey ships no types
    """Threads that work on a Huey until `end`."""

    def end(self, timeout_s: float) -> bool:
        """Take nothing more, and wait for what is under way. False when some of it was not done in time."""
        self.stop_flag.set()
        self.shutdown_timeout = timeout_s
        return bool(self._join_workers())

    def _set_signal_handlers(self) -> None:
        """The process has its own."""


class MessageReader(Worker):  # type: ignore[misc]  # Huey ships no types
    """One thread of `TaskConsumer`."""

    broker: Broker
    run_due: Callable[[], bool]

    def loop(self, now: Any = None) -> None:
        """Take one message, or wait a little for one."""
        try:
            message = self.huey.dequeue()
        except MessageRefused as error:
            MESSAGES_REFUSED.labels(error.reason).inc()
            log.warning("a message in the task queue is not ours", extra={"reason": error.reason})
            return
        except STORE_ERRORS as error:
            self.broker.outage.began(error)
            message = None
        if message is not None:
            self.broker.outage.ended()
            self.delay = self.default_delay
            self.huey.execute(message)
        elif self.broker.outage.is_on:
            if not self.run_due():
                self.sleep()
        elif not self.huey.storage.blocking:
            self.sleep()


class TaskConsumer(EmbeddedConsumer):
    """Reads the broker's messages with so many threads. `run_due` carries out one due task of the app database."""

    worker_class = MessageReader

    def __init__(self, broker: Broker, threads: int, limits: TaskLimits, run_due: Callable[[], bool]) -> None:
        self._broker = broker
        self._run_due = run_due
        super().__init__(
            broker.huey(),
            workers=threads,
            periodic=False,
            initial_delay=limits.poll_first_s,
            max_delay=limits.poll_longest_s,
            # Nothing is scheduled in Huey: its scheduler has nothing to do.
            scheduler_interval=60,
        )

    def _create_worker(self) -> MessageReader:
        reader: MessageReader = super()._create_worker()
        reader.broker = self._broker
        reader.run_due = self._run_due
        return reader


class MinuteConsumer(EmbeddedConsumer):
    """Calls what is to be called every minute, on a thread of its own: long tasks cannot hold it up."""

    def __init__(self, huey: Any, limits: TaskLimits) -> None:
        self._minute_s = limits.minute_s
        super().__init__(huey, workers=1, max_delay=limits.poll_longest_s)

    def _create_scheduler(self) -> Scheduler:
        scheduler = super()._create_scheduler()
        scheduler.periodic_task_seconds = self._minute_s
        return scheduler
