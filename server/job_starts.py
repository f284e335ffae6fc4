"""Starting a job by hand from a page: a task whose function the jobs' package brings.

`server` knows no jobs, `jobs` knows the server: whoever carries out jobs says so with `carries_out_jobs`, and this
task, which any process may queue, calls it. The row of `job_runs` is the record; it changes nothing about what is due.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from server.accounts.audit_log import Action, write_entry
from server.accounts.errors import NotThere
from server.models import JobState
from server.tasks import TaskFailed, TaskRun, task

if TYPE_CHECKING:
    from server.services import Services

KIND = "jobs.start"

# Longer than any job may run, each of which has a deadline of its own; a test holds the table against it.
DEADLINE_S = 24 * 3600.0

StartJob = Callable[[TaskRun, str, str], None]

_CARRIED_OUT: list[StartJob] = []


def carries_out_jobs(function: StartJob) -> StartJob:
    """Register what runs a piece of a job now: called with the task, the job's name and the piece as text."""
    _CARRIED_OUT[:] = [function]
    return function


def queue_start(session: Session, services: Services, job: str, shard: str, actor: int, now_ms: int) -> int:
    """Queue a run of this piece in the caller's transaction; the task's number. Raises `NotThere`."""
    if session.get(JobState, (job, shard)) is None:
        raise NotThere("job")
    write_entry(session, Action.JOB_STARTED, now_ms, actor=actor, target=job, shard=shard)
    return services.tasks.enqueue(
        session, KIND, arguments={"job": job, "shard": shard}, unique_key=f"{KIND} {job} {shard}"
    )


# A failed run stands in the history and is not repeated: somebody waits for it and sees it.
@task(KIND, attempts=2, first_delay_s=15, deadline_s=DEADLINE_S, alerts=False)
def start(run: TaskRun, *, job: str, shard: str) -> None:
    """Run a piece of a job now."""
    if not _CARRIED_OUT:
        raise TaskFailed("this process carries out no jobs")
    _CARRIED_OUT[0](run, job, shard)
