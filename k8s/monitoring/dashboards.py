"""Grafana's dashboards, from tables of panels: rows of what an operator asks, in the order in which one asks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from k8s.monitoring.rules import OBJECTIVES, Objective

COLUMNS = 24
"""The width of Grafana's grid."""
HEIGHT = 8


@dataclass(frozen=True)
class Panel:
    """A chart. `queries`: PromQL with the legend of its lines; `unit`: Grafana's name of it."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    description: str = ""
    kind: str = "timeseries"


Rows = tuple[tuple[str, tuple[Panel, ...]], ...]

ROWS: Rows = (
    (
        "Are hits taken?",
        (
            Panel(
                "Hits", "reqps", (("footfall:hits:rate5m", "answered"), ("footfall:refused:rate5m", "refused (503)"))
            ),
            Panel(
                "By outcome", "reqps", (("footfall:hits_by_outcome:rate5m", "{{outcome}}"),), "Why hits were dropped."
            ),
            Panel(
                "Budget of the accepting objective used per hour",
                "percentunit",
                (("footfall:slo_accepting:error_ratio_rate1h / 0.001", "of what 99.9 % allows"),),
            ),
        ),
    ),
    (
        "Are they stored?",
        (
            Panel("Spool", "percentunit", (("pod:footfall_spool_fill:ratio", "{{pod}}"),), "At 1 hits are refused."),
            Panel(
                "Rows",
                "wps",
                (
                    ("footfall:rows_stored:rate5m", "stored"),
                    ("sum(rate(footfall_core_records_written_total[5m]))", "spooled"),
                ),
            ),
            Panel("Age of the oldest hit not stored", "s", (("footfall:slo_freshness:seconds", "oldest"),)),
            Panel(
                "Failures",
                "short",
                (("sum by (reason) (increase(footfall_flush_failures_total[5m]))", "{{reason}}"),),
            ),
            Panel(
                "Parts in a partition, at most",
                "short",
                (("max by (pod) (ClickHouseAsyncMetrics_MaxPartCountForPartition)", "{{pod}}"),),
            ),
            Panel(
                "Quarantine",
                "short",
                (("sum(increase(footfall_flush_quarantined_records_total[1h]))", "hits set aside in an hour"),),
            ),
        ),
    ),
    (
        "Do people get answers?",
        (
            Panel(
                "Questions",
                "s",
                (
                    ("footfall:slo_dashboards:seconds_p95_5m", "p95"),
                    ("histogram_quantile(0.5, sum by (le) (rate(footfall_query_seconds_bucket[5m])))", "median"),
                ),
            ),
            Panel(
                "Remembered answers",
                "percentunit",
                (
                    (
                        "sum(rate(footfall_cache_hits_total[5m])) "
                        "/ (sum(rate(footfall_cache_hits_total[5m])) + sum(rate(footfall_cache_misses_total[5m])))",
                        "of all",
                    ),
                ),
            ),
            Panel(
                "Refused questions",
                "short",
                (("sum by (reason) (increase(footfall_query_failures_total[5m]))", "{{reason}}"),),
            ),
        ),
    ),
    (
        "Does the work behind go on?",
        (
            Panel("Jobs overdue", "s", (("max by (exported_job) (footfall_job_waiting_seconds)", "{{exported_job}}"),)),
            Panel(
                "Tasks",
                "short",
                (("max(footfall_tasks_queued)", "waiting"), ("max(footfall_tasks_oldest_due_seconds)", "longest, s")),
            ),
            Panel(
                "Mails", "short", (("sum by (outcome) (increase(footfall_mails_total[1h]))", "{{outcome}} in an hour"),)
            ),
        ),
    ),
    (
        "What does it cost?",
        (
            Panel(
                "CPU",
                "percentunit",
                (('sum by (pod) (rate(container_cpu_usage_seconds_total{namespace="footfall"}[5m]))', "{{pod}}"),),
            ),
            Panel(
                "Memory of processes",
                "bytes",
                (("sum by (pod, process) (footfall_resident_bytes)", "{{pod}} {{process}}"),),
            ),
            Panel("Lag of event loops", "s", (("max by (pod) (footfall_loop_lag_seconds)", "{{pod}}"),)),
        ),
    ),
)


def _objective(objective: Objective) -> tuple[str, tuple[Panel, ...]]:
    """A row: as it is, how it was, and what is left of what may go wrong in 30 days."""
    kept = f"clamp_max((1 - {objective.series}) / {1 - objective.target:.3g}, 10)"
    promised = f"{objective.title}: {objective.target:.1%}"
    return (
        promised,
        (
            Panel("Of the last day", "percentunit", ((objective.series, "kept"),), objective.description, "stat"),
            Panel("Kept, day by day", "percentunit", ((objective.series, "kept"),), objective.description),
            Panel("Of what may go wrong, how much did", "percentunit", ((kept, "used of the day's share"),)),
        ),
    )


DASHBOARDS: dict[str, tuple[str, str, Rows]] = {
    "footfall": ("Footfall", "now-6h", ROWS),
    "objectives": ("Footfall: objectives", "now-7d", tuple(map(_objective, OBJECTIVES))),
}
"""Each dashboard's file and `uid`: its title, how far it looks back, its rows."""


def dashboard(uid: str) -> dict[str, Any]:
    """Grafana's JSON model."""
    heading, since, rows = DASHBOARDS[uid]
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in rows:
        panels.append({"type": "row", "title": title, "gridPos": _place(0, top, COLUMNS, 1), "id": len(panels) + 1})
        top += 1
        per_line = 3
        width = COLUMNS // per_line
        for number, panel in enumerate(row):
            place = _place(number % per_line * width, top + number // per_line * HEIGHT, width, HEIGHT)
            panels.append(_panel(panel, place, len(panels) + 1))
        top += -(-len(row) // per_line) * HEIGHT
    return {
        "uid": uid,
        "title": heading,
        "tags": ["footfall"],
        "timezone": "utc",
        "schemaVersion": 39,
        "refresh": "1m",
        "time": {"from": since, "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": panels,
    }


def _place(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(panel: Panel, place: dict[str, int], number: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "gridPos": place,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expr, "legendFormat": legend}
            for index, (expr, legend) in enumerate(panel.queries)
        ],
    }
