"""The job `audit`: every answered hit is stored, dropped, rejected, in the spool or in quarantine. A gap is urgent."""

from __future__ import annotations

from jobs.context import JobContext
from server.alerts import AlertKind

# Lines of problems in an alert; `footfall audit` shows all.
MOST_PROBLEMS = 20


def run(context: JobContext) -> int:
    """Check the law of accounting; returns how many answered hits it covers."""
    # Imported here: a worker that does not get to this job need not hold the store's driver in memory.
    from server.audit import WHAT_TO_DO, audit_fleet

    report = audit_fleet(context.services.settings, context.services.engine)
    context.progress(report.answered)
    if not report.ok:
        context.services.alerts.raise_alert(
            AlertKind.CONSERVATION_GAP,
            "audit",
            f"{len(report.problems)} gaps in the account of hits",
            "\n".join([*report.problems[:MOST_PROBLEMS], WHAT_TO_DO]),
            is_urgent=True,
        )
    return report.answered
