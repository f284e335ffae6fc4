"""Rules and dashboards: the files are the code's, name metrics and labels that there are, and alerts fire when due.

`promtool test rules` runs the cases of `k8s/monitoring/cases.py`.
"""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

import rust_ext
from k8s.monitoring.__main__ import FOLDER, files
from k8s.monitoring.cases import CASES
from k8s.monitoring.dashboards import DASHBOARDS, dashboard
from k8s.monitoring.rules import ALERTS, FOREIGN_METRICS, RECORDINGS
from rust_ext import Collector
from server.flush_metrics import COUNTERS
from server.metrics import _CORE_SKIPPED, CORE_GAUGES, REGISTRY
from tests.k8s.built import K8S, ROOT
from tests.services import program

CASE_FILES = ("rules_test.yaml", "rules_test_long.yaml")

# What Prometheus' client appends to the name, by the class that counts.
_SUFFIXES = {
    "Counter": ("_total",),
    "CounterMetricFamily": ("_total",),
    "Gauge": ("",),
    "GaugeMetricFamily": ("",),
    "Summary": ("_count", "_sum"),
    "Histogram": ("_bucket", "_count", "_sum"),
}

# Set by whoever scrapes, or by the pod's parent (server/metrics.py).
SCRAPE_LABELS = {
    "job_name",
    "namespace",
    "pod",
    "process",
    "job",
    "exported_job",
    "le",
    "name",
    "persistentvolumeclaim",
}

# PromQL's own words within a selector's neighbourhood.
_KEYWORDS = {
    "abs", "absent", "and", "avg_over_time", "bool", "by", "clamp_max", "group_left", "histogram_quantile", "increase",
    "max", "max_over_time", "min", "offset", "on", "or", "rate", "sum", "time", "vector", "without",
}  # fmt: skip


@lru_cache
def our_metrics() -> dict[str, frozenset[str]]:
    """Every series that Footfall can show, with its labels, from the source: nothing has to run for it."""
    found: dict[str, frozenset[str]] = {}
    for folder in ("server", "jobs"):
        for path in (ROOT / folder).rglob("*.py"):
            text = path.read_text()
            for node in ast.walk(ast.parse(text)) if "footfall_" in text else ():
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _SUFFIXES:
                    name, labels = name_and_labels(node)
                    for suffix in _SUFFIXES[node.func.id] if name else ():
                        found[name.removesuffix("_total") + suffix] = labels
    for name in COUNTERS:
        found[f"footfall_flush_{name}_total"] = frozenset()
    for name in core_numbers():
        found[f"footfall_core_{name}{'' if name in CORE_GAUGES else '_total'}"] = frozenset()
    return found


def name_and_labels(call: ast.Call) -> tuple[str, frozenset[str]]:
    """A metric's name, empty unless it is a plain string, and its labels."""
    first = call.args[0] if call.args else None
    lists = [*call.args[2:], *(word.value for word in call.keywords if word.arg in ("labels", "labelnames"))]
    labels = [
        item.value
        for given in lists
        if isinstance(given, ast.List)
        for item in given.elts
        if isinstance(item, ast.Constant) and isinstance(item.value, str)
    ]
    is_plain = isinstance(first, ast.Constant) and isinstance(first.value, str)
    return (str(first.value) if is_plain and isinstance(first, ast.Constant) else ""), frozenset(labels)


@lru_cache
def core_numbers() -> frozenset[str]:
    """What the core counts, asked of a real one."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        pack = Path(rust_ext.__file__ or "").with_name("rules.pack")
        collector = Collector(rules_path=str(pack), spool_folder=f"{folder}/spool")
        try:
            return frozenset(collector.stats()) - _CORE_SKIPPED
        finally:
            collector.close()


def expressions() -> Iterator[tuple[str, str]]:
    """Everything that is asked of Prometheus, and by whom."""
    for recording in RECORDINGS:
        yield recording.record, recording.expr
    for alert in ALERTS:
        yield alert.name, alert.expr
    for uid in DASHBOARDS:
        for panel in dashboard(uid)["panels"]:
            for target in panel.get("targets", []):
                yield panel["title"], target["expr"]


def without_strings(expr: str) -> str:
    """An expression without what is between quotes."""
    return re.sub(r'"[^"]*"', '""', expr)


def series(expr: str) -> set[str]:
    """The names of series in an expression."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", without_strings(expr))
    bare = re.sub(r"\b(by|on|group_left|without)\s*\([^)]*\)", r"\1", bare)
    return {name for name in re.findall(r"(?<![\w:.])[a-zA-Z_:][\w:]*", bare) if name not in _KEYWORDS}


def labels_asked(expr: str) -> set[str]:
    """The labels that an expression selects or groups by."""
    bare = without_strings(expr)
    grouped = re.findall(r"\b(?:by|on|without|group_left)\s*\(([^)]*)\)", bare)
    selected = re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"", bare)
    return {label.strip() for group in grouped for label in group.split(",") if label.strip()} | set(selected)


def test_the_files_are_what_the_code_says() -> None:
    for name, content in files().items():
        assert (FOLDER / name).read_text() == content, "run `python -m k8s.monitoring`"
    assert {path.name for path in FOLDER.iterdir()} == files().keys()


def test_every_series_exists_and_has_the_labels_asked_for() -> None:
    recorded = {recording.record for recording in RECORDINGS}
    ours = our_metrics()
    used: set[str] = set()
    for who, expr in expressions():
        for name in series(expr):
            assert name in ours or name in recorded or name in FOREIGN_METRICS, (who, name)
            used.add(name)
        # The alerts' `instance`-like labels come from the scrape; all others from the metrics that are named.
        known = SCRAPE_LABELS.union(*(ours.get(name, frozenset()) for name in series(expr)))
        recorded_labels = {
            label for rule in RECORDINGS if rule.record in series(expr) for label in labels_asked(rule.expr)
        }
        assert labels_asked(expr) <= known | recorded_labels, who
    assert used >= FOREIGN_METRICS.keys(), "a foreign metric that nobody asks for"


def test_metrics_are_named_as_prometheus_wants() -> None:
    """prometheus.io, "Metric and label naming": a prefix, base units, `_total` for what is only counted up."""
    for name in our_metrics():
        assert re.fullmatch(r"footfall_[a-z0-9_]+", name), name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|kib|mib|percent)(_|$)", name), name


def test_promtool_finds_nothing_wrong_with_our_metrics() -> None:
    """Names, types and help texts of everything that a process registers."""
    for path in (ROOT / "server").rglob("*.py"):
        if "registry=REGISTRY" in path.read_text():
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    importlib.import_module("jobs.metrics")
    page = generate_latest(REGISTRY)
    assert page.count(b"# TYPE footfall_") > 40
    done = subprocess.run([str(program("promtool")), "check", "metrics"], input=page, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_recordings_are_named_level_metric_operation() -> None:
    for recording in RECORDINGS:
        assert re.fullmatch(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", recording.record), recording.record


def test_every_alert_says_what_to_do_and_how_urgent_it_is() -> None:
    names = [alert.name for alert in ALERTS]
    assert len(names) == len(set(names))
    for alert in ALERTS:
        assert alert.severity in ("page", "ticket", "none"), alert.name
        assert (K8S / "runbooks" / f"{alert.runbook}.md").is_file(), alert.runbook
        assert alert.summary, alert.name
        assert alert.description, alert.name


def test_every_alert_has_a_case() -> None:
    assert [case.alert for case in CASES if case.silent is not None] == [a.name for a in ALERTS if a.name != "Watchdog"]


@pytest.mark.parametrize("command", [["check", "rules", "rules.yaml"], ["test", "rules", *CASE_FILES]])
def test_promtool_agrees(command: list[str]) -> None:
    done = subprocess.run([str(program("promtool")), *command], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout + done.stderr


def test_every_recording_is_read() -> None:
    read = {name for who, expr in expressions() for name in series(expr)}
    # Read by the autoscaler's adapter and by remote stores as well; an alert or a dashboard has to come first.
    assert {recording.record for recording in RECORDINGS} <= read


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_dashboard_is_one_that_grafana_takes(uid: str) -> None:
    model: dict[str, Any] = json.loads((FOLDER / f"{uid}.json").read_text())
    assert model["uid"] == uid
    ids = [panel["id"] for panel in model["panels"]]
    assert len(ids) == len(set(ids)) > 10
    places: set[tuple[int, int]] = set()
    for panel in model["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & places, panel["title"]
        places |= cells
        if panel["type"] != "row":
            assert [target["refId"] for target in panel["targets"]] == [
                chr(ord("A") + number) for number in range(len(panel["targets"]))
            ]
