"""What every overlay keeps: schemas, pod security, who may speak with whom, and the promises about hits on volumes."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml

from server.batch_settings import parse_batch_settings
from server.config import HIT_ENDPOINTS, BatchSettings, load_settings
from server.supervisor import KILL_AFTER_GRACE_S
from tests.k8s.built import K8S, OVERLAYS, Manifest, named, of_kind, overlay, pods, settings_of
from tests.k8s.command_lines import problem_of

# The version that k8s/terraform asks for; a test there says so.
KUBERNETES = "1.34"

UNIT_BYTES = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}

# ClickHouse's operator makes its own pods and Services from its own resources.
FOREIGN_GROUPS = (".altinity.com/", "monitoring.coreos.com/", "external-secrets.io/", "bitnami.com/")


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> tuple[Manifest, ...]:
    """An overlay's objects."""
    return overlay(request.param)


def in_bytes(quantity: str) -> int:
    return int(quantity[:-2]) * UNIT_BYTES[quantity[-2:]]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector means these labels."""
    equal = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    within = all(
        labels.get(expression["key"]) in expression["values"] for expression in selector.get("matchExpressions", [])
    )
    assert {expression["operator"] for expression in selector.get("matchExpressions", [])} <= {"In"}
    return equal and within


def test_objects_are_as_their_schemas_say(manifests: tuple[Manifest, ...]) -> None:
    checked = 0
    for manifest in manifests:
        if not any(group in manifest["apiVersion"] for group in FOREIGN_GROUPS):
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
            checked += 1
    assert checked > 30


def test_names_are_dns_labels_and_each_is_there_once(manifests: tuple[Manifest, ...]) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(names) == len(set(names))
    # A CronJob's name gets eleven characters more for its Jobs (kubernetes.io, CronJob).
    assert all(len(name) <= 52 and name.replace("-", "").isalnum() and name == name.lower() for _, name in names)


def test_everything_is_in_the_namespace(manifests: tuple[Manifest, ...]) -> None:
    outside = {m["metadata"]["name"] for m in manifests if m["metadata"].get("namespace") != "footfall"}
    assert outside <= {"footfall"}
    (namespace,) = of_kind(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_pod_meets_the_restricted_standard(manifests: tuple[Manifest, ...]) -> None:
    """kubernetes.io, Pod Security Standards, "Restricted", and more: no service account's token, read-only root."""
    seen = list(pods(manifests))
    assert len(seen) > 15
    for pod in seen:
        security = pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True, pod.owner
        assert security["runAsUser"] > 0, pod.owner
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, pod.owner
        assert not pod.spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}, pod.owner
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "secret", "projected", "name"}
        assert all(volume.keys() <= allowed for volume in pod.spec.get("volumes", [])), pod.owner
        speaks_to_the_api = pod.spec.get("serviceAccountName") == "footfall-drain"
        if pod.kind in ("Deployment", "StatefulSet", "CronJob", "Job") and not speaks_to_the_api:
            assert pod.spec["automountServiceAccountToken"] is False, pod.owner
        for container in pod.containers:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False, pod.owner
            assert own["capabilities"] == {"drop": ["ALL"]}, pod.owner
            assert "privileged" not in own, pod.owner
            if not pod.kind.startswith("ClickHouse"):
                assert own["readOnlyRootFilesystem"] is True, pod.owner
            assert "memory" in container["resources"]["limits"], pod.owner
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), pod.owner


def test_every_pod_of_footfall_knows_its_command_and_its_settings(manifests: tuple[Manifest, ...]) -> None:
    known = {f"FOOTFALL_{name.upper()}" for name in type(load_settings()).model_fields}
    assert settings_of(manifests).keys() <= known
    commands = 0
    for pod in pods(manifests):
        for container in pod.containers:
            if not container["image"].startswith("registry.example.com/footfall:") or "command" in container:
                continue
            arguments = [part.replace("$(JOB_COMPLETION_INDEX)", "0") for part in container["args"]]
            assert problem_of(["footfall", *arguments]) == "", pod.owner
            assert {entry["name"] for entry in container["env"]} <= known, pod.owner
            sources = [source for entry in container["envFrom"] for source in entry]
            assert sources == ["configMapRef", "secretRef"], pod.owner
            commands += 1
    assert commands > 12


def test_images_have_versions(manifests: tuple[Manifest, ...]) -> None:
    for pod in pods(manifests):
        for container in pod.containers:
            tag = container["image"].rpartition(":")[2]
            assert tag not in ("", "latest"), container["image"]
            assert tag[0].isdigit(), container["image"]


def test_every_pod_is_closed_unless_a_policy_opens_it(manifests: tuple[Manifest, ...]) -> None:
    policies = of_kind(manifests, "NetworkPolicy")
    deny = named(manifests, "NetworkPolicy", "default-deny")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    # Whoever listens for others has a policy of its own that names the port.
    for pod in pods(manifests):
        ports = {port["containerPort"] for container in pod.containers for port in container.get("ports", [])}
        opened = {
            port["port"]
            for policy in policies
            if policy is not deny and selects(policy["spec"]["podSelector"], pod.labels)
            for rule in policy["spec"]["ingress"]
            for port in rule["ports"]
        }
        if pod.labels:
            assert ports <= opened, pod.owner


# Pods that no manifest of ours makes, but that run in our closed namespace: by label, who has to reach them, and where.
MADE_BY_OTHERS = {
    "acme.cert-manager.io/http01-solver": ("certificate-challenges", {8089}),
    "clickhouse-keeper.altinity.com/chk": ("keeper-from-clickhouse", {2181, 9444}),
    "clickhouse.altinity.com/chi": ("clickhouse-from-footfall", {9000, 9363}),
}


@pytest.mark.parametrize("label", MADE_BY_OTHERS)
def test_pods_that_others_make_here_are_reached(label: str) -> None:
    name, ports = MADE_BY_OTHERS[label]
    spec = named(overlay("production"), "NetworkPolicy", name)["spec"]
    assert set(spec["podSelector"]["matchLabels"]) == {label}
    assert {port["port"] for rule in spec["ingress"] for port in rule.get("ports", [])} == ports
    if label.startswith("clickhouse"):
        # They speak among themselves.
        peers = [source.get("podSelector", {}) for rule in spec["ingress"] for source in rule["from"]]
        assert spec["podSelector"] in peers


def test_metrics_are_for_the_monitoring_namespace_alone(manifests: tuple[Manifest, ...]) -> None:
    for policy in of_kind(manifests, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", []):
            if {port["port"] for port in rule.get("ports", [])} & {8001, 9363}:
                (source,) = rule["from"]
                assert source == {
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
                }, policy["metadata"]["name"]
    for ingress in of_kind(manifests, "Ingress"):
        backends = [path["backend"]["service"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
        assert {backend["port"]["name"] for backend in backends} <= {"hits", "pages"}


def test_the_stores_let_every_pod_of_footfall_in(manifests: tuple[Manifest, ...]) -> None:
    stores = [
        policy for policy in of_kind(manifests, "NetworkPolicy") if "-from-footfall" in policy["metadata"]["name"]
    ]
    assert stores
    for policy in stores:
        let_in = [
            source["podSelector"]
            for rule in policy["spec"]["ingress"]
            for source in rule["from"]
            if "podSelector" in source
        ]
        for pod in pods(manifests):
            if any(c["image"].startswith("registry.example.com/footfall:") for c in pod.containers):
                assert any(selects(selector, pod.labels) for selector in let_in), (policy["metadata"], pod.owner)


def test_services_and_budgets_find_their_pods(manifests: tuple[Manifest, ...]) -> None:
    seen = list(pods(manifests))
    for service in of_kind(manifests, "Service"):
        found = [pod for pod in seen if selects({"matchLabels": service["spec"]["selector"]}, pod.labels)]
        assert len(found) == 1, service["metadata"]["name"]
        names = {port["name"] for container in found[0].containers for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= names, service["metadata"]["name"]
    budgets = of_kind(manifests, "PodDisruptionBudget")
    assert {budget["metadata"]["name"] for budget in budgets} == {"footfall-collect", "footfall-web", "footfall-worker"}
    for budget in budgets:
        assert budget["spec"]["maxUnavailable"] == 1
        assert [pod.owner.partition("/")[2] for pod in seen if selects(budget["spec"]["selector"], pod.labels)] == [
            budget["metadata"]["name"]
        ]


def test_every_way_to_take_hits_leads_to_collect(manifests: tuple[Manifest, ...]) -> None:
    hits = named(manifests, "Ingress", "footfall-hits")
    (rule,) = hits["spec"]["rules"]
    paths = {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
    assert paths == dict.fromkeys((*HIT_ENDPOINTS, "/api/events"), "footfall-collect")
    # A hit that was sent to one pod may be on its disk.
    tried_again = hits["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-next-upstream"]
    assert tried_again.split() == ["error", "timeout"]
    for ingress in of_kind(manifests, "Ingress"):
        annotations = ingress["metadata"]["annotations"]
        assert annotations["nginx.ingress.kubernetes.io/limit-rpm"] == "5000"
        assert annotations["cert-manager.io/cluster-issuer"] == "letsencrypt"
        hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
        assert set(ingress["spec"]["tls"][0]["hosts"]) == hosts
        assert {annotations["external-dns.alpha.kubernetes.io/hostname"]} == hosts


def test_a_spool_volume_outlives_its_pod_and_the_set(manifests: tuple[Manifest, ...]) -> None:
    for stateful_set in of_kind(manifests, "StatefulSet"):
        assert stateful_set["spec"]["persistentVolumeClaimRetentionPolicy"] == {
            "whenScaled": "Retain",
            "whenDeleted": "Retain",
        }
        (claim,) = stateful_set["spec"]["volumeClaimTemplates"]
        assert claim["spec"]["storageClassName"] == "footfall-retain"
    collect = named(manifests, "StatefulSet", "footfall-collect")["spec"]
    assert "replicas" not in collect


def test_footfalls_folders_are_below_the_mounts(manifests: tuple[Manifest, ...]) -> None:
    """A volume's own root belongs to root, and Footfall's folders are its user's alone: it has to make them itself."""
    settings = settings_of(manifests)
    for pod in pods(manifests):
        for container in pod.containers:
            if not container["image"].startswith("registry.example.com/footfall:") or "command" in container:
                continue
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert settings["FOOTFALL_DATA_DIR"] == f"{mounts['data']}/footfall", pod.owner
            if "imports" in mounts:
                assert settings["FOOTFALL_IMPORTS_DIR"] == f"{mounts['imports']}/files", pod.owner


def test_whoever_handles_uploads_has_the_folder_that_pods_share(manifests: tuple[Manifest, ...]) -> None:
    volume = {"name": "imports", "persistentVolumeClaim": {"claimName": "footfall-imports"}}
    sharing = {
        pod.labels["app.kubernetes.io/component"] for pod in pods(manifests) if volume in pod.spec.get("volumes", [])
    }
    assert sharing == {"web", "worker", "job"}
    assert named(manifests, "PersistentVolumeClaim", "footfall-imports")


@pytest.mark.parametrize(("name", "mode"), [("production", "ReadWriteMany"), ("single", "ReadWriteOnce")])
def test_the_shared_folder_reaches_as_far_as_its_pods(name: str, mode: str) -> None:
    claim = named(overlay(name), "PersistentVolumeClaim", "footfall-imports")
    assert claim["spec"]["accessModes"] == [mode]


def test_the_spool_fits_its_volume(manifests: tuple[Manifest, ...]) -> None:
    batch = parse_batch_settings(
        named(manifests, "ConfigMap", "footfall-batch")["data"]["batch.yaml"].encode(), BatchSettings()
    )
    (claim,) = named(manifests, "StatefulSet", "footfall-collect")["spec"]["volumeClaimTemplates"]
    processes = int(settings_of(manifests).get("FOOTFALL_PROCESSES", "1"))
    # A tenth is left for quarantine, the snapshot and the file system's own.
    assert batch.spool_max_bytes * processes <= 0.9 * in_bytes(claim["spec"]["resources"]["requests"]["storage"])
    most_pods = named(manifests, "HorizontalPodAutoscaler", "footfall-collect")["spec"]["maxReplicas"]
    # At most two INSERTs per second and shard, however many pods there are.
    assert batch.batch_max_age_ms >= 500 * most_pods * processes


def test_a_pod_may_take_longer_to_end_than_its_drain(manifests: tuple[Manifest, ...]) -> None:
    grace_s = float(settings_of(manifests)["FOOTFALL_STOP_GRACE_S"])
    for name, kind in (("collect", "StatefulSet"), ("web", "Deployment"), ("worker", "Deployment")):
        spec = named(manifests, kind, f"footfall-{name}")["spec"]["template"]["spec"]
        pause_s = 5 if "lifecycle" in spec["containers"][0] else 0
        assert spec["terminationGracePeriodSeconds"] > pause_s + grace_s + KILL_AFTER_GRACE_S, name


def test_probes_restart_what_hangs_and_keep_hits_from_what_is_not_ready(manifests: tuple[Manifest, ...]) -> None:
    for name, kind in (("collect", "StatefulSet"), ("web", "Deployment"), ("worker", "Deployment")):
        (container,) = named(manifests, kind, f"footfall-{name}")["spec"]["template"]["spec"]["containers"]
        live, ready = container["livenessProbe"], container["readinessProbe"]
        assert live["httpGet"] == {"path": "/healthz", "port": "internal"}
        assert ready["httpGet"] == {"path": "/readyz", "port": "internal"}
        assert live["periodSeconds"] * live["failureThreshold"] <= 30
        start = container["startupProbe"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 120


def test_batch_settings_reach_running_pods(manifests: tuple[Manifest, ...]) -> None:
    """A hash in the ConfigMap's name, or a subPath, would keep a change from them."""
    config = named(manifests, "ConfigMap", "footfall-batch")
    path = settings_of(manifests)["FOOTFALL_BATCH_SETTINGS_FILE"]
    for pod in pods(manifests):
        for container in pod.containers:
            for mount in container.get("volumeMounts", []):
                if mount["name"] == "batch":
                    assert "subPath" not in mount, pod.owner
                    assert path == f"{mount['mountPath']}/{next(iter(config['data']))}"
                    volume = {"name": "batch", "configMap": {"name": "footfall-batch"}}
                    assert volume in pod.spec["volumes"], pod.owner


def test_settings_are_valid(manifests: tuple[Manifest, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings_of(manifests).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert str(settings.data_dir) == "/data/footfall"
    assert settings.internal_host == "0.0.0.0"


@pytest.mark.parametrize(("name", "replicas"), [("production", (2, 8)), ("single", (1, 2))])
def test_the_autoscaler_knows_its_bounds(name: str, replicas: tuple[int, int]) -> None:
    for target in ("collect", "web"):
        spec = named(overlay(name), "HorizontalPodAutoscaler", f"footfall-{target}")["spec"]
        assert (spec["minReplicas"], spec["maxReplicas"]) == replicas
        assert spec["scaleTargetRef"]["name"] == f"footfall-{target}"
        metrics = {
            (metric["resource"]["name"] if metric["type"] == "Resource" else metric["pods"]["metric"]["name"]): metric
            for metric in spec["metrics"]
        }
        assert metrics["cpu"]["resource"]["target"]["averageUtilization"] == 50
        if name == "production" and target == "collect":
            assert {"memory", "footfall_spool_fill_ratio"} <= metrics.keys()


def test_collect_is_spread_over_zones_and_nodes() -> None:
    spec = named(overlay("production"), "StatefulSet", "footfall-collect")["spec"]["template"]["spec"]
    keys = {constraint["topologyKey"] for constraint in spec["topologySpreadConstraints"]}
    assert keys == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}


def test_clickhouse_has_room_and_stays(manifests: tuple[Manifest, ...]) -> None:
    text = yaml.safe_dump_all([m for m in manifests if "clickhouse" in f"{m['kind']}{m['metadata']['name']}".lower()])
    assert "storage: 250Gi" in text


def test_clickhouses_image_need_not_write_where_it_may_not() -> None:
    (container,) = named(overlay("single"), "StatefulSet", "footfall-clickhouse")["spec"]["template"]["spec"][
        "containers"
    ]
    assert {"name": "CLICKHOUSE_SKIP_USER_SETUP", "value": "1"} in container["env"]
    compose = yaml.safe_load((K8S / "compose" / "compose.yaml").read_text())["services"]["clickhouse"]
    assert compose["environment"]["CLICKHOUSE_SKIP_USER_SETUP"] == "1"
