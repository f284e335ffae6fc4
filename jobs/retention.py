"""The job `retention`: keeps every row as long as its site's plan says."""

from __future__ import annotations

from jobs.context import JobContext


def run(context: JobContext) -> int:
    """Settle classes, move what is in another one; returns how many rows were moved."""
    # Imported here: a worker that does not get to this job need not hold all this in memory.
    from jobs.retention_run import apply_retention
    from server.queries.closing_store import open_nodes

    with open_nodes(context.services.settings) as nodes:
        return apply_retention(context, nodes)
