"""Runs that staff start on their page: the latest due time again, by hand."""

from __future__ import annotations

from jobs.due_tasks import runner_and_piece
from jobs.job import ShardRefused
from jobs.runner import UnknownJob
from jobs.state import Outcome
from server.job_starts import carries_out_jobs
from server.tasks import TaskFailed, TaskRun


@carries_out_jobs
def start(run: TaskRun, name: str, shard_text: str) -> None:
    """Run the latest due time of a piece, whatever its state. Raises `TaskFailed` with what a person may do."""
    try:
        runner, piece = runner_and_piece(run, name, shard_text)
    except (UnknownJob, ShardRefused) as error:
        raise TaskFailed(str(error)) from error
    result = runner.run_at(piece, piece.job.latest_due(run.services.tasks.now_ms()))
    if result is None:
        raise TaskFailed("it is being run already")
    run.progress(result.rows, message=result.error)
    if result.outcome is not Outcome.SUCCEEDED:
        raise TaskFailed(result.error)
