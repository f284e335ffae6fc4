"""The job `closing`: condenses days that have ended, and those to which rows came later, into the closed tables."""

from __future__ import annotations

from jobs.context import JobContext


def run(context: JobContext) -> int:
    """Close what is due; returns the number of rows of `events` that were condensed."""
    # Imported here: a worker that does not get to this job need not hold all this in memory.
    from jobs.closing_run import close_due
    from server.queries.closing_store import open_closing_store

    with open_closing_store(context.services.settings) as store:
        return close_due(context, store)
