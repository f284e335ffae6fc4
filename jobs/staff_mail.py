"""The job `staff_mail`: tells staff each morning (UTC) what the day before was like."""

from __future__ import annotations

from jobs.context import JobContext


def run(context: JobContext) -> int:
    """Queue the mails about the day before the due time; returns how many."""
    # Imported here: a worker that does not get to this job need not hold all this in memory.
    from server.queries.reading_store import open_event_reader
    from server.reports.staff import day_before, send_staff_report

    with open_event_reader(context.services.settings) as reader:
        day = day_before(context.due_at_ms)
        return send_staff_report(context.services, reader, day, context.now_ms(), context.fence)
