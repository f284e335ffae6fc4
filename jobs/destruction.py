"""The job `destruction`: approves what waited long enough, destroys what is due, says what is late."""

from __future__ import annotations

from jobs.context import JobContext


def run(context: JobContext) -> int:
    """Destroy every site and account that is due; returns how many."""
    # Imported here: a worker that does not get to this job need not hold all this in memory.
    from jobs.destruction_run import destroy_due
    from server.queries.closing_store import open_closing_store

    with open_closing_store(context.services.settings) as store:
        return destroy_due(context, store)
