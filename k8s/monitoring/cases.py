"""For each alert, series over which it fires and series over which it stays silent, for `promtool test rules`.

Series are in promtool's notation: `1x20` is 1 and twenty times 1 more, `0+5x20` counts up by five; a value per 30 s.
Time begins at 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from k8s.monitoring.rules import ALERTS, RUNBOOKS, rule_groups

POD = 'namespace="footfall", pod="footfall-collect-0"'
ON_POD = {"namespace": "footfall", "pod": "footfall-collect-0"}


@dataclass(frozen=True)
class Case:
    """`labels`: those of the series that the alert keeps; `summary`: what it then says; `at`: when it is asked for.

    `is_long`: rules are evaluated every 15 minutes, since evaluating a day each half minute takes half a minute.
    """

    alert: str
    at: str
    fires: dict[str, str]
    silent: dict[str, str] | None
    summary: str
    labels: dict[str, str] = field(default_factory=dict)
    is_long: bool = False


def _hits(accepted: str, *, dropped: str = "0x3000", refused: str = "0x3000") -> dict[str, str]:
    return {
        f'footfall_hits_total{{{POD}, outcome="accepted"}}': accepted,
        f'footfall_hits_total{{{POD}, outcome="bot"}}': dropped,
        f"footfall_core_unavailable_total{{{POD}}}": refused,
    }


def _questions(within_1_s: int) -> dict[str, str]:
    name = f"footfall_query_seconds_bucket{{{POD}, le="
    return {f'{name}"1"}}': f"0+{within_1_s}x80", f'{name}"2.5"}}': "0+100x80", f'{name}"+Inf"}}': "0+100x80"}


def _spool(used_bytes: int) -> dict[str, str]:
    return {
        f"footfall_core_spool_bytes{{{POD}}}": f"{used_bytes}x20",
        f"footfall_spool_max_bytes{{{POD}}}": "10000000000x20",
    }


def _flushers(first: int, second: int) -> dict[str, str]:
    return {
        f'footfall_flush_failing{{{POD}, process="0"}}': f"{first}x30",
        f'footfall_flush_failing{{{POD}, process="1"}}': f"{second}x30",
    }


def _volume(free_bytes: int) -> dict[str, str]:
    labels = '{namespace="footfall", persistentvolumeclaim="data-footfall-collect-0"}'
    return {
        f"kubelet_volume_stats_available_bytes{labels}": f"{free_bytes}x60",
        f"kubelet_volume_stats_capacity_bytes{labels}": "20000000000x60",
    }


_WAITING = 'footfall_job_waiting_seconds{namespace="footfall", exported_job="backup", pod="footfall-worker-0"}'
_RAISED = 'footfall_alert_raised_timestamp_seconds{namespace="footfall", pod="footfall-worker-0", kind='
_DRAIN = 'kube_job_status_failed{namespace="footfall", job_name="footfall-drain-3", condition="true"}'
_EXPIRES = 'certmanager_certificate_expiration_timestamp_seconds{namespace="footfall", name="footfall-tls"}'

CASES = (
    Case(
        "FootfallSpoolFilling",
        "5m",
        _spool(6_000_000_000),
        _spool(4_000_000_000),
        "The spool of footfall-collect-0 is 60% full",
        ON_POD,
    ),
    # One process of a pod that stores hits is enough for the pod's volume to be emptied.
    Case(
        "FootfallFlushFailing", "10m", _flushers(1, 1), _flushers(1, 0), "footfall-collect-0 cannot store hits", ON_POD
    ),
    Case(
        "FootfallHitsRefused",
        "20m",
        _hits("0+90x200", refused="0+10x200"),
        _hits("0+999x200", refused="0+1x200"),
        "10% of hits are refused",
    ),
    Case(
        "FootfallHitsRefusedSlowly",
        "30m",
        _hits("0+992x200", refused="0+8x200"),
        _hits("0+999x200", refused="0+1x200"),
        "0.8% of hits are refused",
    ),
    Case("FootfallAway", "10m", {}, {f"footfall_processes{{{POD}}}": "1x40"}, "Nothing of Footfall is scraped"),
    Case(
        "FootfallPodAway",
        "10m",
        {f"up{{{POD}}}": "0x40"},
        {f"up{{{POD}}}": "1x40"},
        "footfall-collect-0 does not answer the scraper",
        ON_POD,
    ),
    Case(
        "FootfallWorkerAway",
        "15m",
        {f"footfall_worker_up{{{POD}}}": "0x60"},
        {f"footfall_worker_up{{{POD}}}": "1x60"},
        "No worker reports",
    ),
    Case(
        "FootfallTasksWait",
        "15m",
        {f"footfall_tasks_oldest_due_seconds{{{POD}}}": "1800x60"},
        {f"footfall_tasks_oldest_due_seconds{{{POD}}}": "30x60"},
        "A task has been due for 30m 0s",
        {"namespace": "footfall"},
    ),
    # A day at a tenth, then half.
    Case(
        "FootfallDropsRising",
        "24h30m",
        _hits("0+90x2890 260150+50x200", dropped="0+10x2890 28950+50x200"),
        _hits("0+50x3100", dropped="0+50x3100"),
        "50% of hits are dropped, twice yesterday's share",
        is_long=True,
    ),
    Case(
        "FootfallQuarantined",
        "10m",
        {f"footfall_flush_quarantined_records_total{{{POD}}}": "0x5 10x30"},
        {f"footfall_flush_quarantined_records_total{{{POD}}}": "10x30"},
        "footfall-collect-0 set hits aside",
        ON_POD,
    ),
    # The look takes a failed Job away and makes another, which then counts for itself.
    Case(
        "FootfallVolumeNotDrained",
        "45m",
        {f"{_DRAIN}": "1x9 0x9 1x9 0x9 1x9 0x9 1x9 0x9 1x30"},
        {f"{_DRAIN}": "0x100"},
        "footfall-drain-3 does not empty its volume",
        {"namespace": "footfall", "job_name": "footfall-drain-3"},
    ),
    Case(
        "FootfallPartsHigh",
        "20m",
        {f"ClickHouseAsyncMetrics_MaxPartCountForPartition{{{POD}}}": "500x60"},
        {f"ClickHouseAsyncMetrics_MaxPartCountForPartition{{{POD}}}": "40x60"},
        "footfall-collect-0 has 500 parts in one partition",
        ON_POD,
    ),
    # May start an hour late and take six: 25,200 s.
    Case(
        "FootfallJobLate",
        "5m",
        {_WAITING: "40000x20"},
        {_WAITING: "20000x20"},
        "The job backup is 11h 6m 40s late",
        {"namespace": "footfall", "exported_job": "backup"},
    ),
    Case(
        "FootfallConservationGap",
        "10m",
        {f'{_RAISED}"conservation_gap"}}': "0x40"},
        {f'{_RAISED}"job_late"}}': "0x40"},
        "Answered hits are not accounted for",
        {"namespace": "footfall"},
    ),
    Case(
        "FootfallBatchSettingsInvalid",
        "5m",
        {f"footfall_batch_settings_invalid{{{POD}}}": "1x20"},
        {f"footfall_batch_settings_invalid{{{POD}}}": "0x20"},
        "footfall-collect-0 does not use its batch settings file",
        ON_POD,
    ),
    Case(
        "FootfallSnapshotOld",
        "5m",
        {f"footfall_snapshot_age_seconds{{{POD}}}": "600x20"},
        {f"footfall_snapshot_age_seconds{{{POD}}}": "2x20"},
        "footfall-collect-0 has not seen the app database for 10m 0s",
        ON_POD,
    ),
    Case(
        "FootfallProcessesRestart",
        "15m",
        {f"footfall_process_respawns_total{{{POD}}}": "0+1x60"},
        {f"footfall_process_respawns_total{{{POD}}}": "1x60"},
        "Processes of footfall-collect-0 end again and again",
        ON_POD,
    ),
    Case(
        "FootfallFiguresStale",
        "10m",
        {f"footfall_oldest_unflushed_seconds{{{POD}}}": "120x40"},
        {f"footfall_oldest_unflushed_seconds{{{POD}}}": "4x40"},
        "The oldest hit that nobody can ask for yet is 2m 0s old",
    ),
    Case("FootfallDashboardsSlow", "25m", _questions(10), _questions(99), "Questions take 2.417s (p95)"),
    Case(
        "FootfallCertificateExpires",
        "2h",
        {_EXPIRES: f"{7200 + 3 * 86400}x300"},
        {_EXPIRES: f"{60 * 86400}x300"},
        "The certificate footfall-tls expires in 3d 0h 0m 0s",
        {"namespace": "footfall", "name": "footfall-tls"},
        is_long=True,
    ),
    Case(
        "FootfallVolumeFilling",
        "15m",
        _volume(1_000_000_000),
        _volume(9_000_000_000),
        "The volume data-footfall-collect-0 has 5% left",
        {"namespace": "footfall", "persistentvolumeclaim": "data-footfall-collect-0"},
    ),
    Case("Watchdog", "1m", {}, None, "Alerting works"),
)


def rules_test(*, is_long: bool) -> dict[str, Any]:
    """The content of a file for promtool, which lies beside the rules."""
    tests = []
    for case in (case for case in CASES if case.is_long == is_long):
        (alert,) = (alert for alert in ALERTS if alert.name == case.alert)
        expected = {
            "exp_labels": {"severity": alert.severity, **case.labels},
            "exp_annotations": {
                "summary": case.summary,
                "description": alert.description,
                "runbook_url": f"{RUNBOOKS}/{alert.runbook}.md",
            },
        }
        tests.append(_test(f"{case.alert} fires", case, case.fires, [expected]))
        if case.silent is not None:
            tests.append(_test(f"{case.alert} is silent", case, case.silent, []))
    return {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "15m" if is_long else "1m",
        # promtool evaluates groups in random order otherwise, and alerts may see what was recorded one interval before.
        "group_eval_order": [group["name"] for group in rule_groups()["groups"]],
        "tests": tests,
    }


def _test(name: str, case: Case, series: dict[str, str], expected: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": name,
        "interval": "30s",
        "input_series": [{"series": selector, "values": values} for selector, values in series.items()],
        "alert_rule_test": [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected}],
    }
