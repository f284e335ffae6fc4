"""Runbooks: each alert has its page, each command line is one that the program takes, each object is there.

What needs a cluster is not run; `footfall …` lines are parsed by the real commands, `kubectl` lines are held against
the built manifests.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s.monitoring.rules import ALERTS
from tests.k8s.built import K8S, OVERLAYS, overlay
from tests.k8s.command_lines import problem_of

RUNBOOKS = K8S / "runbooks"
PAGES = sorted(RUNBOOKS.glob("*.md"))

# What an operator's machine has; anything else would be a surprise at night.
PROGRAMS = {"kubectl", "footfall", "make", "git", "flux", "stern", "curl"}

SHORT_KINDS = {
    "cronjob": "CronJob",
    "configmap": "ConfigMap",
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "horizontalpodautoscaler": "HorizontalPodAutoscaler",
    "networkpolicy": "NetworkPolicy",
    "externalsecret": "ExternalSecret",
    "persistentvolumeclaim": "PersistentVolumeClaim",
    "certificate": "Certificate",
    "clusterissuer": "ClusterIssuer",
    "pod": "Pod",
    "job": "Job",
}

# Made by something that runs, not by a manifest: by cert-manager for an Ingress, by Prometheus' operator, by hand.
MADE_LATER = {
    ("Certificate", "footfall-tls"),
    ("Deployment", "cert-manager"),
    ("ClusterIssuer", "letsencrypt"),
    ("StatefulSet", "prometheus-monitoring-kube-prometheus-prometheus"),
    ("StatefulSet", "alertmanager-monitoring-kube-prometheus-alertmanager"),
}


def command_lines(page: Path) -> Iterator[list[str]]:
    """Every line of every shell block."""
    for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.strip() and not line.startswith("#"):
                yield shlex.split(line)


def objects() -> set[tuple[str, str]]:
    """Everything that some overlay makes, with the pods and volumes that come of it."""
    found = set(MADE_LATER)
    for name in OVERLAYS:
        for manifest in overlay(name):
            kind, called = manifest["kind"], manifest["metadata"]["name"]
            found.add((kind, called))
            if kind == "StatefulSet":
                found.add(("Pod", f"{called}-0"))
                for claim in manifest["spec"]["volumeClaimTemplates"]:
                    found.add(("PersistentVolumeClaim", f"{claim['metadata']['name']}-{called}-0"))
    return found


def named_objects(arguments: list[str]) -> Iterator[tuple[str, str]]:
    """(kind, name) for each `kind/name` of a kubectl line, up to the command inside of the pod."""
    for argument in arguments:
        if argument == "--":
            return
        word = argument.removeprefix("--from=")
        kind, slash, name = word.partition("/")
        if slash and not argument.startswith("-l") and kind in SHORT_KINDS:
            yield SHORT_KINDS[kind], name


def make_targets() -> set[str]:
    text = (K8S / "Makefile").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_are_real(page: Path) -> None:
    there = objects()
    for line in command_lines(page):
        assert line[0] in PROGRAMS, line
        inner = line[line.index("--") + 1 :] if "--" in line else line if line[0] == "footfall" else []
        if inner and inner[0] == "footfall":
            assert problem_of(inner) == "", line
        if line[0] == "kubectl":
            made_by_hand = {("Job", name) for name in re.findall(r"create job (\S+)", page.read_text())}
            for found in named_objects(line[1:]):
                assert found in there | made_by_hand, line
        if line[0] == "make":
            assert line[1:3] == ["-C", "k8s"], line
            assert set(line[3:]) <= make_targets(), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert (RUNBOOKS / target).resolve().is_file(), target


def test_the_index_names_every_alert_and_every_page() -> None:
    index = (RUNBOOKS / "README.md").read_text()
    rows = dict(re.findall(r"^\| ([A-Z][A-Za-z, ]+) \| \[[a-z-]+\]\(([a-z-]+)\.md\) \|$", index, re.MULTILINE))
    told = {name: page for names, page in rows.items() for name in names.split(", ") if " " not in name}
    assert told == {alert.name: alert.runbook for alert in ALERTS}
    assert {path.stem for path in PAGES} - {"README"} == set(re.findall(r"\(([a-z-]+)\.md\)", index))


def test_every_page_has_the_parts_that_one_looks_for() -> None:
    for alert in ALERTS:
        text = (RUNBOOKS / f"{alert.runbook}.md").read_text()
        assert text.startswith("# "), alert.runbook
        assert "\n## Look\n" in text, alert.runbook
        assert "\n## Do\n" in text, alert.runbook


def test_a_wrong_line_would_be_noticed() -> None:
    assert list(named_objects(shlex.split("kubectl -n footfall exec deployment/nobody -- footfall audit"))) == [
        ("Deployment", "nobody")
    ]
    assert ("Deployment", "nobody") not in objects()
    assert problem_of(["footfall", "spool", "empty"]) != ""
