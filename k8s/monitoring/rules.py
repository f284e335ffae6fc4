"""Recording rules, alerts and objectives.

Each alert says what happens to whom, and links to the page of `k8s/runbooks` that says what to do. `severity` page
wakes somebody; ticket waits for the morning. Times are chosen so that a rolling restart raises nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobs.schedule import JOBS

RUNBOOKS = "https://footfall.example.com/runbooks"
"""Where an installation shows `k8s/runbooks` to whoever is woken at night."""

FRESHNESS_S = 10.0
"""Objective: 99 % of hits can be asked for within this."""


@dataclass(frozen=True)
class Objective:
    """What is promised, as a share of 30 days. `series` says how it is kept, over a day."""

    title: str
    target: float
    series: str
    description: str


OBJECTIVES = (
    Objective(
        "Hits are taken",
        0.999,
        "footfall:slo_accepting:ratio_rate1d",
        "Of all hits that reach a pod, those that are answered with anything but 503.",
    ),
    Objective(
        "Hits can be asked for",
        0.99,
        "footfall:slo_freshness:ratio_rate1d",
        f"Of all minutes, those in which no answered hit older than {FRESHNESS_S:.0f} s waits to be stored.",
    ),
    Objective(
        "Questions are answered",
        0.95,
        "footfall:slo_dashboards:ratio_rate1d",
        "Of all questions to ClickHouse, those that are answered within a second.",
    ),
)


@dataclass(frozen=True)
class Recording:
    """A series that is computed once and read often. Names are level:metric:operations, as Prometheus' are."""

    record: str
    expr: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Alert:
    """An alert. `runbook`: a file of `k8s/runbooks`, without its ending."""

    name: str
    expr: str
    wait: str
    severity: str
    summary: str
    description: str
    runbook: str
    labels: dict[str, str] = field(default_factory=dict)


RECORDINGS = (
    Recording("footfall:hits:rate5m", "sum(rate(footfall_hits_total[5m]))"),
    Recording("footfall:hits_by_outcome:rate5m", "sum by (outcome) (rate(footfall_hits_total[5m]))"),
    Recording(
        "footfall:dropped:ratio_rate5m",
        'sum(rate(footfall_hits_total{outcome!="accepted"}[5m])) / sum(rate(footfall_hits_total[5m]))',
    ),
    Recording(
        "pod:footfall_spool_fill:ratio",
        "sum by (namespace, pod) (footfall_core_spool_bytes) / sum by (namespace, pod) (footfall_spool_max_bytes)",
    ),
    Recording("footfall:rows_stored:rate5m", "sum(rate(footfall_flush_rows_total[5m]))"),
    Recording("footfall:refused:rate5m", "sum(rate(footfall_core_unavailable_total[5m]))"),
    # Objectives. A hit counts as good when it was answered, whatever was decided about it.
    Recording(
        "footfall:slo_accepting:error_ratio_rate1h",
        "sum(rate(footfall_core_unavailable_total[1h])) "
        "/ (sum(rate(footfall_hits_total[1h])) + sum(rate(footfall_core_unavailable_total[1h])))",
    ),
    Recording(
        "footfall:slo_accepting:error_ratio_rate6h",
        "sum(rate(footfall_core_unavailable_total[6h])) "
        "/ (sum(rate(footfall_hits_total[6h])) + sum(rate(footfall_core_unavailable_total[6h])))",
    ),
    Recording(
        "footfall:slo_accepting:error_ratio_rate5m",
        "sum(rate(footfall_core_unavailable_total[5m])) "
        "/ (sum(rate(footfall_hits_total[5m])) + sum(rate(footfall_core_unavailable_total[5m])))",
    ),
    Recording("footfall:slo_freshness:seconds", "max(footfall_oldest_unflushed_seconds)"),
    Recording(
        "footfall:slo_dashboards:seconds_p95_5m",
        "histogram_quantile(0.95, sum by (le) (rate(footfall_query_seconds_bucket[5m])))",
    ),
    # How much of a day was as the objectives want it.
    Recording(
        "footfall:slo_accepting:ratio_rate1d",
        "sum(rate(footfall_hits_total[1d])) "
        "/ (sum(rate(footfall_hits_total[1d])) + sum(rate(footfall_core_unavailable_total[1d])))",
    ),
    # The share of minutes in which every hit that was older could be asked for, which is stricter than 99 % of hits.
    Recording(
        "footfall:slo_freshness:ratio_rate1d",
        f"avg_over_time((footfall:slo_freshness:seconds < bool {FRESHNESS_S:.0f})[1d:1m])",
    ),
    Recording(
        "footfall:slo_dashboards:ratio_rate1d",
        'sum(rate(footfall_query_seconds_bucket{le="1.0"}[1d])) / sum(rate(footfall_query_seconds_count[1d]))',
    ),
    # When each job is late, from the job table: a due time waits until its run may start and has had its time.
    *(
        Recording(
            "footfall:job_late_after:seconds",
            f"vector({job.late_after_s + job.deadline_s})",
            {"exported_job": job.name},
        )
        for job in JOBS
    ),
)

FOREIGN_METRICS = {
    "ClickHouseAsyncMetrics_MaxPartCountForPartition": "ClickHouse's own endpoint, system.asynchronous_metrics",
    "certmanager_certificate_expiration_timestamp_seconds": "cert-manager",
    "kubelet_volume_stats_available_bytes": "kubelet",
    "kubelet_volume_stats_capacity_bytes": "kubelet",
    "kube_job_status_failed": "kube-state-metrics",
    "container_cpu_usage_seconds_total": "cAdvisor, in kubelet",
    "up": "Prometheus, about each scrape",
}
"""Metrics that are not ours, and whose they are."""

ALERTS = (
    Alert(
        "FootfallSpoolFilling",
        "pod:footfall_spool_fill:ratio > 0.5",
        "2m",
        "page",
        "The spool of {{ $labels.pod }} is {{ $value | humanizePercentage }} full",
        "Hits are taken faster than ClickHouse stores them. At 100 % they are answered 503, and browsers give up.",
        "spool-filling",
    ),
    Alert(
        "FootfallFlushFailing",
        "min by (namespace, pod) (footfall_flush_failing) == 1",
        "5m",
        "page",
        "{{ $labels.pod }} cannot store hits",
        "Every attempt of five minutes failed. Hits wait in the spool; nothing is lost while it has room.",
        "flush-failing",
    ),
    Alert(
        "FootfallHitsRefused",
        "footfall:slo_accepting:error_ratio_rate1h > 0.001 * 14.4 "
        "and footfall:slo_accepting:error_ratio_rate5m > 0.001 * 14.4",
        "2m",
        "page",
        "{{ $value | humanizePercentage }} of hits are refused",
        "The objective is 99.9 % accepted in 30 days; at this rate its budget is gone in two days.",
        "hits-refused",
    ),
    Alert(
        "FootfallHitsRefusedSlowly",
        "footfall:slo_accepting:error_ratio_rate6h > 0.001 * 6 "
        "and footfall:slo_accepting:error_ratio_rate1h > 0.001 * 6",
        "15m",
        "ticket",
        "{{ $value | humanizePercentage }} of hits are refused",
        "At this rate the budget of 30 days is gone in five.",
        "hits-refused",
    ),
    Alert(
        "FootfallAway",
        "absent(footfall_processes)",
        "5m",
        "page",
        "Nothing of Footfall is scraped",
        "Either every pod is gone or Prometheus does not find them. Hits may be refused.",
        "away",
    ),
    Alert(
        "FootfallPodAway",
        'up{namespace="footfall"} == 0',
        "5m",
        "ticket",
        "{{ $labels.pod }} does not answer the scraper",
        "The others take its hits. What lies in its spool waits for it.",
        "away",
    ),
    Alert(
        "FootfallWorkerAway",
        "absent(footfall_worker_up == 1)",
        "10m",
        "page",
        "No worker reports",
        "Mails, imports and whatever CronJobs do not run stand still.",
        "worker-away",
    ),
    Alert(
        "FootfallTasksWait",
        "max by (namespace) (footfall_tasks_oldest_due_seconds) > 900",
        "10m",
        "ticket",
        "A task has been due for {{ $value | humanizeDuration }}",
        "Workers are too few, or one kind holds them all.",
        "worker-away",
    ),
    Alert(
        "FootfallDropsRising",
        "footfall:dropped:ratio_rate5m > 0.2 "
        "and footfall:dropped:ratio_rate5m > 2 * (footfall:dropped:ratio_rate5m offset 1d)",
        "15m",
        "ticket",
        "{{ $value | humanizePercentage }} of hits are dropped, twice yesterday's share",
        "See which reason it is: a rule, a plan's capacity, or a crawler that nobody knew.",
        "drops-rising",
    ),
    Alert(
        "FootfallQuarantined",
        "sum by (namespace, pod) (increase(footfall_flush_quarantined_records_total[1h])) > 0",
        "0m",
        "ticket",
        "{{ $labels.pod }} set hits aside",
        "ClickHouse refused a block for good, or a segment was damaged. The bytes are kept.",
        "quarantine",
    ),
    Alert(
        "FootfallVolumeNotDrained",
        "max by (namespace, job_name) "
        '(max_over_time(kube_job_status_failed{namespace="footfall", job_name=~"footfall-drain-[0-9]+"}[30m])) > 0',
        "30m",
        "ticket",
        "{{ $labels.job_name }} does not empty its volume",
        "Hits of a pod that was taken away are not stored, or some were set aside.",
        "volume-not-drained",
    ),
    Alert(
        "FootfallPartsHigh",
        "max by (namespace, pod) (ClickHouseAsyncMetrics_MaxPartCountForPartition) > 300",
        "10m",
        "page",
        "{{ $labels.pod }} has {{ $value }} parts in one partition",
        "Merges do not keep up with INSERTs. ClickHouse refuses INSERTs at 3,000; raise batch_max_age_ms before.",
        "parts-high",
    ),
    Alert(
        "FootfallJobLate",
        "max by (namespace, exported_job) (footfall_job_waiting_seconds) "
        "> on (exported_job) group_left () footfall:job_late_after:seconds",
        "2m",
        "ticket",
        "The job {{ $labels.exported_job }} is {{ $value | humanizeDuration }} late",
        "It has neither run in time nor failed for good. Figures, reports or bills wait for it.",
        "job-late",
    ),
    Alert(
        "FootfallConservationGap",
        # Every hour the audit says it again while it is so. Its process ends before it is scraped, so the worker tells.
        'time() - max by (namespace) (footfall_alert_raised_timestamp_seconds{kind="conservation_gap"}) < 5400',
        "0m",
        "page",
        "Answered hits are not accounted for",
        "The audit found hits that are neither stored nor dropped nor waiting. Run `footfall audit`.",
        "conservation-gap",
    ),
    Alert(
        "FootfallBatchSettingsInvalid",
        "max by (namespace, pod) (footfall_batch_settings_invalid) == 1",
        "1m",
        "ticket",
        "{{ $labels.pod }} does not use its batch settings file",
        "The old values are in force. The log says which line is wrong.",
        "batch-settings",
    ),
    Alert(
        "FootfallSnapshotOld",
        "max by (namespace, pod) (footfall_snapshot_age_seconds) > 300",
        "1m",
        "ticket",
        "{{ $labels.pod }} has not seen the app database for {{ $value | humanizeDuration }}",
        "Hits are taken by what was last known: new sites are unknown, blocks do not take effect.",
        "app-database",
    ),
    Alert(
        "FootfallProcessesRestart",
        "sum by (namespace, pod) (increase(footfall_process_respawns_total[15m])) > 3",
        "0m",
        "ticket",
        "Processes of {{ $labels.pod }} end again and again",
        "They are started again and their hits are safe; something kills them.",
        "processes-restart",
    ),
    Alert(
        "FootfallFiguresStale",
        f"footfall:slo_freshness:seconds > {6 * FRESHNESS_S:.0f}",
        "5m",
        "ticket",
        "The oldest hit that nobody can ask for yet is {{ $value | humanizeDuration }} old",
        "The objective is 10 s for 99 % of hits.",
        "flush-failing",
    ),
    Alert(
        "FootfallDashboardsSlow",
        "footfall:slo_dashboards:seconds_p95_5m > 1",
        "15m",
        "ticket",
        "Questions take {{ $value | humanizeDuration }} (p95)",
        "The objective is one second.",
        "dashboards-slow",
    ),
    Alert(
        "FootfallCertificateExpires",
        "min by (namespace, name) (certmanager_certificate_expiration_timestamp_seconds) - time() < 7 * 86400",
        "1h",
        "ticket",
        "The certificate {{ $labels.name }} expires in {{ $value | humanizeDuration }}",
        "cert-manager should have renewed it three weeks ago.",
        "certificate",
    ),
    Alert(
        "FootfallVolumeFilling",
        'kubelet_volume_stats_available_bytes{namespace="footfall"} / kubelet_volume_stats_capacity_bytes < 0.15',
        "10m",
        "page",
        "The volume {{ $labels.persistentvolumeclaim }} has {{ $value | humanizePercentage }} left",
        "Volumes can be made larger while they are used.",
        "full-disk",
    ),
    Alert(
        "Watchdog",
        "vector(1)",
        "0m",
        "none",
        "Alerting works",
        "Always raised. Whoever receives it alarms when it stops: then monitoring itself is broken.",
        "watchdog",
    ),
)


def rule_groups() -> dict[str, Any]:
    """The content of a rules file."""
    return {
        "groups": [
            {
                "name": "footfall.recording",
                "interval": "60s",
                "rules": [
                    {"record": rule.record, "expr": rule.expr, **({"labels": rule.labels} if rule.labels else {})}
                    for rule in RECORDINGS
                ],
            },
            {"name": "footfall.alerts", "rules": [_alert(alert) for alert in ALERTS]},
        ]
    }


def prometheus_rule() -> dict[str, Any]:
    """The same for the Prometheus operator."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "footfall", "labels": {"app.kubernetes.io/part-of": "footfall"}},
        "spec": rule_groups(),
    }


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        "for": alert.wait,
        "labels": {"severity": alert.severity, **alert.labels},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{RUNBOOKS}/{alert.runbook}.md",
        },
    }
