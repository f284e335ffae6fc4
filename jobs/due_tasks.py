"""Jobs as tasks: every worker looks each minute at what is due and queues it; whichever is free runs it.

A task of kind `jobs.run` is a hint, like the queue's messages: what is due, and whether somebody runs it, stands in
`job_states`. One that finds nothing to do has done its work.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from jobs.context import RunInterrupted
from jobs.job import ShardRefused
from jobs.limits import JobLimits
from jobs.runner import JobRunner, Piece, UnknownJob
from jobs.schedule import JOBS
from server.app_database import writing
from server.tasks import DeadlineExceeded, LeaseLost, TaskCancelled, TaskRun, WorkerStopping, task

if TYPE_CHECKING:
    from server.services import Services

log = logging.getLogger(__name__)

KIND = "jobs.run"

# A task begins no further run after a slice, so it takes one slice and one run; reports to the monitor take seconds.
DEADLINE_S = max(job.deadline_s for job in JOBS) + JobLimits().slice_ms / 1000 + 60


def queue_due(services: Services, runner: JobRunner) -> int:
    """One tick: queue a task for each piece of a job that is due. How many there are.

    A piece whose task has not ended gets no other. Raises SQLAlchemy's error when the app database is away.
    """
    pieces = runner.tick()
    if pieces:
        with writing(services.engine) as session:
            for piece in pieces:
                name, shard = piece.job.name, str(piece.shard)
                arguments = {"job": name, "shard": shard}
                services.tasks.enqueue(session, KIND, arguments=arguments, unique_key=f"{KIND} {name} {shard}")
    return len(pieces)


def runner_and_piece(run: TaskRun, name: str, shard_text: str) -> tuple[JobRunner, Piece]:
    """What runs jobs under a task, and ends with it; and the piece of a job that the task names.

    Raises `UnknownJob`, `ShardRefused`.
    """

    def observe(rows: int, message: str) -> None:
        try:
            run.progress(rows, message=message)
        except (WorkerStopping, TaskCancelled, LeaseLost, DeadlineExceeded) as error:
            raise RunInterrupted from error

    runner = JobRunner(run.services, JOBS, observe=observe)
    job = runner.job(name)
    return runner, Piece(job, job.piece(shard_text))


# A failed run is the job's to try again. The task is tried again when the app database was away, and does not alert.
@task(KIND, attempts=3, first_delay_s=15, deadline_s=DEADLINE_S, alerts=False)
def run_due(run: TaskRun, *, job: str, shard: str) -> None:
    """Run what is due of a piece of a job."""
    try:
        runner, piece = runner_and_piece(run, job, shard)
    except (UnknownJob, ShardRefused) as error:
        # Queued by a process of another version.
        log.warning("a queued job is not of this version's table", extra={"reason": str(error)})
        return
    rows = sum(result.rows for result in runner.catch_up(piece))
    # If the run was interrupted this says why, and the task goes back into the queue.
    run.progress(rows)
