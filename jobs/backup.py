"""The job `backup`: a backup a day, and those that are over go. Nothing to do where there is no place for them."""

from __future__ import annotations

import time
from collections.abc import Callable

from jobs.context import JobContext
from server.app_database import reading

POLL_S = 5.0
"""Between two looks at another backup that is being made."""


def run(context: JobContext, pause: Callable[[float], object] = time.sleep) -> int:
    """Make a backup; returns how many rows it has. What is wrong with target or key fails the run, which alerts."""
    settings = context.services.settings
    if not settings.backup_target:
        return 0
    # Imported here: a worker that makes no backups need not hold what they need in memory.
    from server.backups.session import back_up

    _wait_for_another(context, pause)
    made, _ = back_up(
        settings, context.services.engine, context.now_ms, lambda done, total, what: context.progress(done, what)
    )
    return made.manifest.rows


def _wait_for_another(context: JobContext, pause: Callable[[float], object]) -> None:
    """Return when no backup is being made. One whose process was killed counts for ten minutes: as long as all
    attempts of a run take.
    """
    from server.backups.register import is_backup_running

    while True:
        with reading(context.services.engine) as session:
            if not is_backup_running(session, context.now_ms()):
                return
        context.progress(0, "another backup is being made")
        pause(POLL_S)
