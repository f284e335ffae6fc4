"""The job `usage`: counts what accounts used of their plans, and tells owners who come near the end of theirs."""

from __future__ import annotations

from jobs.context import JobContext


def run(context: JobContext) -> int:
    """Count what changed; returns how many counts of a site and day were looked at."""
    # Imported here: a worker that does not get to this job need not hold all this in memory.
    from jobs.usage_run import meter
    from server.queries.closing_store import open_closing_store
    from server.queries.usage import EventUsage

    with open_closing_store(context.services.settings) as store:
        return meter(context, EventUsage(store.connection))
