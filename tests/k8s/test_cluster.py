"""What Footfall stands on: pinned, scraped once a minute, and agreeing with what Footfall's own manifests ask of it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.monitoring.rules import RECORDINGS
from server.config import load_settings
from tests.k8s.built import K8S, built, named, of_kind, overlay, settings_of
from tests.services import program

BASE = K8S / "cluster" / "base"
FLUX = K8S / "flux"


def networks() -> list[str]:
    return [line for line in (K8S / "cdn_networks.txt").read_text().splitlines() if not line.startswith("#")]


def values_of(release: str, folder: Path = BASE) -> dict[str, Any]:
    values: dict[str, Any] = named(built(folder), "HelmRelease", release)["spec"]["values"]
    return values


def test_every_chart_has_one_version_and_a_source() -> None:
    manifests = built(BASE)
    sources = {source["metadata"]["name"] for source in of_kind(manifests, "HelmRepository")}
    releases = of_kind(manifests, "HelmRelease")
    assert {release["spec"]["chart"]["spec"]["sourceRef"]["name"] for release in releases} == sources
    spaces = {space["metadata"]["name"] for space in of_kind(manifests, "Namespace")} | {"kube-system"}
    names = {(release["metadata"]["name"], release["metadata"]["namespace"]) for release in releases}
    for release in releases:
        assert re.fullmatch(r"v?\d+\.\d+\.\d+", release["spec"]["chart"]["spec"]["version"]), release["metadata"]
        assert release["metadata"]["namespace"] in spaces
        for dependency in release["spec"].get("dependsOn", []):
            assert (dependency["name"], dependency["namespace"]) in names


def test_volumes_outlive_their_claims() -> None:
    storage = named(built(BASE), "StorageClass", "footfall-retain")
    assert storage["parameters"] | {"csi.storage.k8s.io/fstype": ""} == {
        "type": "gp3",
        "encrypted": "true",
        "csi.storage.k8s.io/fstype": "",
    }
    assert storage["reclaimPolicy"] == "Retain"
    assert storage["volumeBindingMode"] == "WaitForFirstConsumer"
    assert storage["allowVolumeExpansion"] is True


def test_everything_is_scraped_once_a_minute_and_rates_look_back_far_enough() -> None:
    stack = values_of("monitoring")["prometheus"]["prometheusSpec"]
    assert stack["scrapeInterval"] == stack["evaluationInterval"] == "60s"
    for monitor in of_kind(built(K8S / "monitoring"), "PodMonitor"):
        assert [endpoint["interval"] for endpoint in monitor["spec"]["podMetricsEndpoints"]] == ["60s"]
    # A rate wants two samples, and one may be missed.
    windows = [match for rule in RECORDINGS for match in re.findall(r"\[(\d+)([mh])\]", rule.expr)]
    assert windows
    assert all(int(number) * {"m": 60, "h": 3600}[unit] >= 4 * 60 for number, unit in windows)


def test_the_autoscaler_finds_the_metric_that_it_asks_for() -> None:
    (rule,) = values_of("prometheus-adapter")["rules"]["custom"]
    recorded = rule["seriesQuery"].partition("{")[0]
    (recording,) = (recording for recording in RECORDINGS if recording.record == recorded)
    assert {"namespace", "pod"} <= set(re.findall(r"[a-z]+", re.findall(r"by \(([^)]*)\)", recording.expr)[0]))
    metrics = named(overlay("production"), "HorizontalPodAutoscaler", "footfall-collect")["spec"]["metrics"]
    assert [metric["pods"]["metric"]["name"] for metric in metrics if metric["type"] == "Pods"] == [rule["name"]["as"]]
    # Names as kube-prometheus-stack makes them from the release's.
    assert values_of("prometheus-adapter")["prometheus"]["url"].startswith(
        "http://monitoring-kube-prometheus-prometheus."
    )


def test_namespaces_are_those_that_policies_let_in() -> None:
    spaces = {space["metadata"]["name"] for space in of_kind(built(BASE), "Namespace")}
    for name in ("single", "production"):
        for policy in of_kind(overlay(name), "NetworkPolicy"):
            for rule in policy["spec"].get("ingress", []):
                for source in rule.get("from", []):
                    if "namespaceSelector" in source:
                        assert set(source["namespaceSelector"]["matchLabels"].values()) <= spaces


def test_the_dead_mans_switch_leaves_the_cluster() -> None:
    config = values_of("monitoring")["alertmanager"]["config"]
    (route,) = (route for route in config["route"]["routes"] if route["receiver"] == "watchdog")
    assert route["matchers"] == ['alertname = "Watchdog"']
    receivers = {receiver["name"] for receiver in config["receivers"]}
    assert {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])} == receivers
    mounted = values_of("monitoring")["alertmanager"]["alertmanagerSpec"]["secrets"]
    for receiver in config["receivers"]:
        for hook in receiver.get("webhook_configs", []):
            assert hook["url_file"].startswith(f"/etc/alertmanager/secrets/{mounted[0]}/")


def test_remote_write_sends_what_rules_and_dashboards_read() -> None:
    folder = K8S / "cluster" / "overlays" / "remote-write"
    spec = values_of("monitoring", folder)["prometheus"]["prometheusSpec"]
    assert spec["scrapeInterval"] == "60s"
    (target,) = spec["remoteWrite"]
    (keep,) = target["writeRelabelConfigs"]
    for name in ("footfall_hits_total", "footfall:hits:rate5m", "pod:footfall_spool_fill:ratio", "up", "ALERTS"):
        assert re.fullmatch(keep["regex"], name), name
    assert not re.fullmatch(keep["regex"], "node_cpu_seconds_total")


def test_every_list_of_the_cdns_networks_is_the_same() -> None:
    listed = networks()
    assert len(listed) > 20
    for name in ("footfall-hits", "footfall-pages"):
        annotations = named(overlay("production"), "Ingress", name)["metadata"]["annotations"]
        assert annotations["nginx.ingress.kubernetes.io/limit-whitelist"].split(",") == listed
    snippet = values_of("ingress-nginx")["controller"]["config"]["http-snippet"]
    assert re.findall(r"^\s+([0-9a-f.:]+/\d+) 1;$", snippet, re.MULTILINE) == listed
    trusted = load_settings(
        trusted_proxies=settings_of(overlay("production"))["FOOTFALL_TRUSTED_PROXIES"]
    ).trusted_networks
    assert trusted[1:] == listed
    assert trusted[0] == "10.0.0.0/8"


def test_nginx_takes_what_the_controller_is_given(tmp_path: Path) -> None:
    config = values_of("ingress-nginx")["controller"]["config"]
    text = (
        f"pid {tmp_path}/pid; error_log stderr; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;\n"
        f"fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;\n"
        f"{config['http-snippet']}\nserver {{ listen unix:{tmp_path}/socket;\n{config['server-snippet']}\n"
        f"location / {{ return 204; }} }} }}\n"
    )
    (tmp_path / "nginx.conf").write_text(text)
    done = subprocess.run(
        [str(program("nginx")), "-t", "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "rate=5000r/m" in text


def test_flux_follows_folders_that_are_there_in_an_order_that_works() -> None:
    manifests = built(FLUX)
    steps = {step["metadata"]["name"]: step["spec"] for step in of_kind(manifests, "Kustomization")}
    for step in steps.values():
        assert (K8S.parent / step["path"] / "kustomization.yaml").is_file(), step["path"]
        assert step["prune"] is True
    assert steps["issuers"]["dependsOn"] == [{"name": "cluster"}]
    assert steps["footfall"]["dependsOn"] == [{"name": "issuers"}]
    issuer = named(built(K8S / "issuers"), "ClusterIssuer", "letsencrypt")
    assert issuer["spec"]["acme"]["solvers"]
    for check in steps["footfall"]["healthChecks"]:
        named(overlay("production"), check["kind"], check["name"])


def test_image_automation_finds_its_marker() -> None:
    manifests = built(FLUX)
    (automation,) = of_kind(manifests, "ImageUpdateAutomation")
    (policy,) = of_kind(manifests, "ImagePolicy")
    marker = f'{{"$imagepolicy": "flux-system:{policy["metadata"]["name"]}:tag"}}'
    text = (K8S.parent / automation["spec"]["update"]["path"] / "kustomization.yaml").read_text()
    assert text.count(marker) == 1
    (line,) = (line for line in text.splitlines() if marker in line)
    assert line.strip().startswith("newTag: ")
    image = yaml.safe_load(text)["images"][0]["newName"]
    assert named(manifests, "ImageRepository", "footfall")["spec"]["image"] == image


@pytest.mark.parametrize("target", ["build", "seal", "rebuild"])
def test_make_knows_what_the_runbooks_call(target: str) -> None:
    listed = subprocess.run(["make", "-C", str(K8S), "help"], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"^{target}\s", listed, re.MULTILINE)


def test_make_builds_every_kustomization_that_there_is() -> None:
    text = (K8S / "Makefile").read_text().replace("\\\n", " ")
    folders = set(re.findall(r"^FOLDERS := (.*)$", text, re.MULTILINE)[0].split())
    there = {
        str(path.parent.relative_to(K8S))
        for path in K8S.rglob("kustomization.yaml")
        if yaml.safe_load(path.read_text())["kind"] == "Kustomization"
    }
    assert folders == there - {"apps/footfall/base"}
    for folder in folders:
        assert built(K8S / folder)
