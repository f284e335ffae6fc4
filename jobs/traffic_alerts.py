"""The job `traffic_alerts`: spikes and drops of sites' traffic, for people who asked to hear of them."""

from __future__ import annotations

from jobs.context import JobContext


def run(context: JobContext) -> int:
    """Judge every alert; returns how many mails were queued."""
    # Imported here: a worker that does not get to this job need not hold all this in memory.
    from server.queries.reading_store import open_event_reader
    from server.reports.traffic_alerts import TrafficAlerts, is_anything_asked

    if not is_anything_asked(context.services.engine):
        return 0
    with open_event_reader(context.services.settings) as reader:
        judged = TrafficAlerts(context.services, reader, context.now_ms, fence=context.fence, progress=context.progress)
        return judged.judge_all()
