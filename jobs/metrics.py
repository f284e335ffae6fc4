"""What the job runner counts, for each job."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Summary

from server.metrics import REGISTRY

JOB_RUNS = Counter("footfall_job_runs", "Runs ended, by outcome", ["job", "outcome"], registry=REGISTRY)
JOB_DURATION_S = Summary("footfall_job_duration_seconds", "How long runs took", ["job"], registry=REGISTRY)
JOB_SUCCEEDED_AT_S = Gauge(
    "footfall_job_succeeded_timestamp_seconds", "When a run last succeeded in this process", ["job"], registry=REGISTRY
)
JOB_WAITING_S = Gauge(
    "footfall_job_waiting_seconds",
    "How long the next due time has been due, at the last tick",
    ["job"],
    registry=REGISTRY,
)
MONITOR_FAILURES = Counter("footfall_monitor_failures", "Reports that the monitor did not take", registry=REGISTRY)
