"""The job `reports`: daily, weekly and monthly reports by mail. It is cut into pieces by site (`--shard`)."""

from __future__ import annotations

from jobs.context import JobContext


def run(context: JobContext) -> int:
    """Send what is due; returns how many mails were queued."""
    # Imported here: a worker that does not get to this job need not hold all this in memory.
    from server.queries.reading_store import open_event_reader
    from server.reports.sending import Reports

    with open_event_reader(context.services.settings) as reader:
        reports = Reports(
            context.services,
            reader,
            context.now_ms,
            (context.shard.index, context.shard.count),
            fence=context.fence,
            progress=context.progress,
        )
        return reports.send_due()
