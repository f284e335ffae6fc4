"""Looks for runs that did not begin in time and runs that do not end in time, and raises an alert for each, once.

That an alert was raised is written down afterwards: when a process dies in between, the next tick raises it again,
under the same key, which `server.alerts` counts instead of sending twice. The key is made of the due time or the run,
so it is the same whoever raises it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobs import state
from jobs.job import Job, Shard, shown_time
from server.alerts import AlertKind

if TYPE_CHECKING:
    from server.services import Services

# Each look but the last was overtaken by another process: so many at once do not happen.
MOST_LOOKS = 10


def named(job: Job, shard: Shard) -> str:
    """A piece of a job as people read it: a job in one piece by its name alone."""
    return job.name if shard.count == 1 else f"{job.name} {shard}"


def alert_key(job: Job, shard: Shard, due_at_ms: int) -> str:
    """What tells one due time's alerts from another's."""
    return f"{named(job, shard)} {shown_time(due_at_ms)}"


def look_for_late(services: Services, job: Job, seen: state.Standing, now_ms: int) -> None:
    """Raise an alert when a due time has passed by more than the job's `late_after_s` and no run began.

    One alert stands for all such due times that there are now.
    """
    standing: state.Standing | None = seen
    for _ in range(MOST_LOOKS):
        if standing is None or _is_told(services, job, standing, now_ms):
            return
        # Another process told of some of them meanwhile.
        standing = state.read_standing(services.engine, job.name, seen.shard)


def _is_told(services: Services, job: Job, seen: state.Standing, now_ms: int) -> bool:
    """Tell of what is late. False when somebody else changed what was seen."""
    if seen.late_alerted_due_ms < 0:
        # Whoever set out to raise it may have died.
        _raise_late(services, job, seen, -seen.late_alerted_due_ms)
        seen = replace(seen, late_alerted_due_ms=-seen.late_alerted_due_ms)
    late_by_ms = job.late_after_s * 1000
    known_until_ms = max(seen.settled_until_ms, seen.late_alerted_due_ms)
    if job.due_after(known_until_ms) + late_by_ms > now_ms:
        return True
    known_until_ms = max(known_until_ms, state.last_started_due(services.engine, seen))
    latest_ms = job.latest_due(now_ms - late_by_ms)
    if latest_ms <= known_until_ms:
        return True
    if not state.begin_late_alert(services.engine, seen, latest_ms):
        return False
    _raise_late(services, job, seen, latest_ms)
    return True


def look_for_overdue(services: Services, job: Job, seen: state.Standing, now_ms: int) -> None:
    """Raise an alert when the run that holds the lock is past its deadline."""
    if seen.lock_token is None:
        return
    run = state.held_run(services.engine, seen)
    if run is None or run.error:
        return
    deadline_ms = run.started_at_ms + job.deadline_s * 1000
    # A lock that ran out before the deadline was not renewed: its process died, and whoever takes over says so.
    if deadline_ms <= now_ms and deadline_ms < seen.lock_until_ms:
        raise_overdue(services, job, seen.shard, run.run_id, run.due_at_ms)


def _raise_late(services: Services, job: Job, seen: state.Standing, until_due_ms: int) -> None:
    services.alerts.raise_alert(
        AlertKind.JOB_LATE,
        alert_key(job, seen.shard, until_due_ms),
        f"job {named(job, seen.shard)} is late",
        f"No run began within {job.late_after_s} s for what was due up to {shown_time(until_due_ms)}. "
        f"What was due up to {shown_time(seen.settled_until_ms)} is done.",
    )
    state.end_late_alert(services.engine, job.name, seen.shard, until_due_ms)


def raise_overdue(services: Services, job: Job, shard: Shard, run_id: int, due_at_ms: int) -> None:
    """Raise the alert for one such run."""
    services.alerts.raise_alert(
        AlertKind.JOB_STUCK,
        f"{named(job, shard)} run {run_id}",
        f"job {named(job, shard)} is stuck",
        f"Run {run_id} for {shown_time(due_at_ms)} is over its deadline of {job.deadline_s} s and still runs.",
    )
    state.mark_overdue(services.engine, run_id)


def raise_failed(services: Services, job: Job, shard: Shard, due_at_ms: int, attempts: int, reason: str) -> None:
    """Raise the alert for a due time that is given up."""
    services.alerts.raise_alert(
        AlertKind.JOB_FAILED,
        alert_key(job, shard, due_at_ms),
        f"job {named(job, shard)} failed",
        f"{shown_time(due_at_ms)} is given up after {attempts} attempts: {reason}. "
        f"`footfall jobs history {job.name}` says more.",
    )
