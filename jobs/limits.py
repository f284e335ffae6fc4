"""How long, how often and how many: the limits of the job runner in one place, so that tests can shrink them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JobLimits:
    """Times and numbers of the runner. The defaults are what runs in production."""

    lease_ms: int = 60_000
    """How long a lock outlives the last sign of its holder. Clocks of machines must agree much better than this."""

    heartbeat_interval_s: float = 15.0
    """Locks are renewed this often: three beats may be lost before a lock is."""

    progress_interval_ms: int = 1000
    """Progress is written, and the lock looked at, at most this often."""

    first_retry_s: int = 60
    longest_retry_s: int = 3600
    """A failed run is tried again after the first, then after twice that each time, up to the longest."""

    record_attempts: int = 8
    record_pause_s: float = 1.0
    """The end of a run is written so often, with so long between, while the app database is away. Then the lock runs
    out and the due time is run again."""

    slice_ms: int = 30_000
    """A task that catches up begins no further run after this: others wait for its thread. The next tick goes on."""

    covered_rows: int = 1000
    """Of the due times that one run stands for, the newest so many get a line in the history."""

    def retry_ms(self, attempt: int) -> int:
        """The pause after this attempt failed, counted from 1."""
        return 1000 * min(self.longest_retry_s, self.first_retry_s << min(attempt - 1, 30))
