"""The job `backup`: a backup a day, and those that are over go. Nothing to do where there is no place for them."""

from __future__ import annotations

from jobs.context import JobContext


def run(context: JobContext) -> int:
    """Make a backup; returns how many rows it has. What is wrong with target or key fails the run, which alerts."""
    settings = context.services.settings
    if not settings.backup_target:
        return 0
    # Imported here: a worker that makes no backups need not hold what they need in memory.
    from server.backups.session import back_up

    made, _ = back_up(
        settings, context.services.engine, context.now_ms, lambda done, total, what: context.progress(done, what)
    )
    return made.manifest.rows
