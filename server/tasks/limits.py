"""How long, how often and how many: the limits of the task queue in one place, so that tests can shrink them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskLimits:
    """Times and numbers of the queue. The defaults are what runs in production."""

    lease_ms: int = 60_000
    """How long a task stays with a worker that is not heard of. Clocks of machines must agree much better than this."""

    heartbeat_interval_s: float = 15.0
    """Leases are renewed this often: three beats may be lost before a lease is."""

    sweep_interval_s: float = 3.0
    """How late a delayed task, a retry or a task whose message was lost starts at most, given a free thread."""

    sweep_rows: int = 100
    """Due rows that one sweep looks at, oldest first."""

    resend_after_ms: int = 60_000
    """A due row's message is sent again after this; at once when the queue is empty, since then it was lost."""

    max_messages: int = 10_000
    """With so many messages waiting none is added: the rows are the truth, and the sweep finds them later."""

    poll_first_s: float = 0.1
    poll_longest_s: float = 1.0
    """How often an idle worker thread asks the queue's file, or the rows while Redis is away. Redis itself wakes it."""

    redis_wait_s: float = 1.0
    """How long a thread waits for Redis to have a message before it looks whether it is to stop."""

    progress_interval_ms: int = 1000
    """Progress without a changed checkpoint is written at most this often."""

    record_attempts: int = 6
    record_pause_s: float = 0.5
    """An outcome is written so often, with so long between, while the app database is away: two seconds and a half and
    what the database itself waits. Then the lease runs out and the task is done again."""

    figures_interval_s: float = 15.0
    """How often a worker counts waiting rows for its metrics and sees that its threads live."""

    minute_s: float = 60.0
    """What `TaskQueue.every_minute` calls a minute."""
