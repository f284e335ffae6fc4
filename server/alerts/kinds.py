"""What alerts are about."""

from __future__ import annotations

from enum import StrEnum


class AlertKind(StrEnum):
    """The kind of an alert; a metric's label."""

    JOB_LATE = "job_late"
    JOB_STUCK = "job_stuck"
    JOB_FAILED = "job_failed"
    TASK_FAILED = "task_failed"
    EXCEPTION = "exception"
    SECURITY = "security"
    CONSERVATION_GAP = "conservation_gap"
    BILLING = "billing"
    DESTRUCTION_LATE = "destruction_late"
    REPORT_PARTIAL = "report_partial"
