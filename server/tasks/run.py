"""One attempt at a task, as its function sees it; and the exceptions that end one.

Ownership: a run belongs to the thread that calls the function. `LeaseKeeper` and `Worker` only set its flags.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from server.tasks import rows
from server.tasks.kinds import TaskKind
from server.tasks.limits import TaskLimits

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)

# A checkpoint says where to go on, it is not a place for data.
MAX_CHECKPOINT_BYTES = 64 * 1024


class TaskFailed(Exception):
    """Raised by a task's function: it can never succeed and is not tried again. The text is kept and may be shown."""


class LeaseLost(Exception):
    """Another worker has this task, or it is gone. Nothing of this attempt is recorded any more."""


class TaskCancelled(Exception):
    """Somebody asked this task to stop."""


class DeadlineExceeded(Exception):
    """The attempt took longer than its kind allows. It counts as a failed one."""


class WorkerStopping(Exception):
    """The process ends. The task is queued again at once, from its checkpoint, and the attempt does not count."""


class CheckpointRefused(ValueError):
    """A checkpoint is not JSON, or too large. The attempt counts as a failed one."""


class TaskRun:
    """What a task's function works with.

    `checkpoint` starts as the last attempt left it; whatever is put there is safe once `progress` returns.
    `last_progress` is what `progress` was told last, also when it was not written yet.
    """

    def __init__(
        self,
        engine: Engine,
        claimed: rows.Claimed,
        kind: TaskKind,
        services: Services,
        limits: TaskLimits,
        now_ms: Callable[[], int],
    ) -> None:
        self.task_id = claimed.task_id
        self.kind = claimed.kind
        self.account_id = claimed.account_id
        self.attempt = claimed.attempts
        self.is_last_attempt = claimed.attempts >= kind.attempts
        self.services = services
        self.checkpoint: dict[str, Any] = claimed.checkpoint
        self.claimed = claimed
        self.deadline_at_ms = now_ms() + int(kind.deadline_s * 1000)
        self._engine = engine
        self._limits = limits
        self._now_ms = now_ms
        self._saved = orjson.dumps(claimed.checkpoint)
        self._save_due_ms = 0
        self._lease_until_ms = claimed.lease_until_ms
        self.last_progress: rows.Progress | None = None
        self._is_lost = threading.Event()
        self._is_cancelled = threading.Event()
        self._is_stopping = threading.Event()

    def progress(self, done: int, total: int | None = None, message: str = "") -> None:
        """Say how far the task has come, and hear whether it is to go on.

        To be called often: about once a second something is written, and at once when the checkpoint changed; then
        it is safe when this returns. Raises `LeaseLost`, `TaskCancelled`, `DeadlineExceeded` or `WorkerStopping`, which
        the function lets pass; `CheckpointRefused`; and SQLAlchemy's error when a checkpoint could not be written.
        """
        self.last_progress = progress = rows.Progress(done, total, message)
        now_ms = self._now_ms()
        self._raise_if_over(now_ms)
        checkpoint = self._checkpoint_json()
        is_changed = checkpoint != self._saved
        if is_changed or now_ms >= min(self._save_due_ms, self._lease_until_ms):
            self._save(progress, now_ms, must_be_kept=is_changed)
            self._saved = checkpoint
        self._raise_if_over(now_ms)

    def lease_renewed(self, until_ms: int, *, cancel_requested: bool) -> None:
        """The heartbeat reached the row."""
        self._lease_until_ms = until_ms
        if cancel_requested:
            self._is_cancelled.set()

    def lease_lost(self) -> None:
        """The heartbeat found the row with somebody else, or gone."""
        self._is_lost.set()

    def stop_soon(self) -> None:
        """The process ends: the next `progress` raises."""
        self._is_stopping.set()

    def is_past_deadline(self, now_ms: int) -> bool:
        """Whether the attempt has used up its time."""
        return now_ms >= self.deadline_at_ms

    def _raise_if_over(self, now_ms: int) -> None:
        if self._is_lost.is_set():
            raise LeaseLost
        if self._is_cancelled.is_set():
            raise TaskCancelled
        if self.is_past_deadline(now_ms):
            raise DeadlineExceeded
        if self._is_stopping.is_set():
            raise WorkerStopping

    def _checkpoint_json(self) -> bytes:
        try:
            checkpoint = orjson.dumps(self.checkpoint)
        except TypeError as error:
            raise CheckpointRefused(f"the checkpoint of a task {self.kind!r} is not JSON") from error
        if len(checkpoint) > MAX_CHECKPOINT_BYTES:
            raise CheckpointRefused(f"the checkpoint of a task {self.kind!r} is over {MAX_CHECKPOINT_BYTES} bytes")
        return checkpoint

    def _save(self, progress: rows.Progress, now_ms: int, *, must_be_kept: bool) -> None:
        self._save_due_ms = now_ms + self._limits.progress_interval_ms
        until_ms = now_ms + self._limits.lease_ms
        try:
            cancel_requested = rows.save_progress(self._engine, self.claimed, progress, self.checkpoint, until_ms)
        except SQLAlchemyError as error:
            if must_be_kept:
                raise
            if now_ms >= self._lease_until_ms:
                raise LeaseLost from error
            log.warning("progress was not written", extra={"task_id": self.task_id, "reason": type(error).__name__})
            return
        if cancel_requested is None:
            self.lease_lost()
        else:
            self.lease_renewed(until_ms, cancel_requested=cancel_requested)
