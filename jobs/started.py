"""Runs that staff start on their page: the latest due time again, by hand."""

from __future__ import annotations

from jobs.context import RunInterrupted
from jobs.job import ShardRefused
from jobs.runner import JobRunner, Piece, UnknownJob
from jobs.schedule import JOBS
from jobs.state import Outcome
from server.job_starts import carries_out_jobs
from server.tasks import DeadlineExceeded, LeaseLost, TaskCancelled, TaskFailed, TaskRun, WorkerStopping


@carries_out_jobs
def start(run: TaskRun, name: str, shard_text: str) -> None:
    """Run the latest due time of a piece, whatever its state. Raises `TaskFailed` with what a person may do."""

    def observe(rows: int, message: str) -> None:
        try:
            run.progress(rows, message=message)
        except (WorkerStopping, TaskCancelled, LeaseLost, DeadlineExceeded) as error:
            raise RunInterrupted from error

    runner = JobRunner(run.services, JOBS, observe=observe)
    try:
        job = runner.job(name)
        piece = Piece(job, job.piece(shard_text))
    except (UnknownJob, ShardRefused) as error:
        raise TaskFailed(str(error)) from error
    result = runner.run_at(piece, job.latest_due(run.services.tasks.now_ms()))
    if result is None:
        raise TaskFailed("it is being run already")
    run.progress(result.rows, message=result.error)
    if result.outcome is not Outcome.SUCCEEDED:
        raise TaskFailed(result.error)
