"""The infrastructure: it parses, refers to what it declares, keeps its promises, and agrees with the manifests.

No provider can be fetched here, so `terraform validate` runs elsewhere (`.github/workflows/checks.yml`). Here a kept
parser of HCL reads the files.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import hcl2
import pytest

from tests.k8s.built import K8S, built, named, of_kind, overlay
from tests.k8s.test_cluster import networks
from tests.k8s.test_overlays import KUBERNETES

FOLDER = K8S / "terraform"
FILES = sorted(FOLDER.glob("*.tf"))


def plain(node: Any) -> Any:
    """The parser's answer without its own keys, and without the quotes that it keeps around strings and names."""
    if isinstance(node, dict):
        return {unquoted(key): plain(value) for key, value in node.items() if not key.startswith("__")}
    if isinstance(node, list):
        return [plain(item) for item in node]
    return unquoted(node) if isinstance(node, str) else node


def unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


@lru_cache
def declared() -> dict[str, dict[str, Any]]:
    """resource → "type.name" → body, and so on for data, variable, output; locals by name."""
    found: dict[str, dict[str, Any]] = {kind: {} for kind in ("resource", "data", "variable", "output", "locals")}
    for path in FILES:
        with path.open() as file:
            blocks = plain(hcl2.load(file))
        for kind in ("resource", "data"):
            for block in blocks.get(kind, []):
                for type_, bodies in block.items():
                    for name, body in bodies.items():
                        assert f"{type_}.{name}" not in found[kind], (type_, name)
                        found[kind][f"{type_}.{name}"] = body
        for kind in ("variable", "output"):
            for block in blocks.get(kind, []):
                found[kind] |= block
        for block in blocks.get("locals", []):
            found["locals"] |= block
    return found


def resource(name: str) -> dict[str, Any]:
    body: dict[str, Any] = declared()["resource"][name]
    return body


def of_type(type_: str) -> list[dict[str, Any]]:
    return [body for name, body in declared()["resource"].items() if name.startswith(f"{type_}.")]


def without_texts(source: str) -> str:
    """HCL without comments and without what is text, but with what is computed inside of text."""
    source = re.sub(r"^\s*#.*$", "", source, flags=re.MULTILINE)

    def computed(match: re.Match[str]) -> str:
        return " ".join(re.findall(r"\$\{([^}]*)\}", match[0]))

    return re.sub(r'"(?:\\.|\$\{[^}]*\}|[^"\\])*"', computed, source)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_reference_has_a_declaration(path: Any) -> None:
    known = declared()
    text = without_texts(path.read_text())
    for kind, prefix in (("variable", "var"), ("locals", "local")):
        for name in re.findall(rf"\b{prefix}\.([a-z_][a-z0-9_]*)", text):
            assert name in known[kind], f"{prefix}.{name}"
    for type_, name in re.findall(r"\bdata\.([a-z_]+)\.([a-z_]+)", text):
        assert f"{type_}.{name}" in known["data"], f"data.{type_}.{name}"
    for type_, name in re.findall(r"(?<!data\.)(?<![\w.])((?:aws|random|tls)_[a-z0-9_]+)\.([a-z_]+)", text):
        assert f"{type_}.{name}" in known["resource"], f"{type_}.{name}"


def test_every_declaration_is_used() -> None:
    text = "\n".join(without_texts(path.read_text()) for path in FILES)
    assert [name for name in declared()["variable"] if f"var.{name}" not in text] == []
    assert [name for name in declared()["locals"] if f"local.{name}" not in text] == []
    assert [name for name in declared()["data"] if f"data.{name}" not in text] == []


def test_everything_runs_in_three_private_zones() -> None:
    subnet = resource("aws_subnet.private")
    assert subnet["count"] == 3
    assert "map_public_ip_on_launch" not in subnet
    for body in (resource("aws_eks_cluster.main")["vpc_config"][0], resource("aws_db_subnet_group.main")):
        assert body["subnet_ids"] == "${aws_subnet.private[*].id}"
    assert resource("aws_eks_node_group.zone")["count"] == 3
    assert resource("aws_nat_gateway.out")["count"] == 3


def test_shared_files_are_encrypted_and_in_every_zone() -> None:
    assert resource("aws_efs_file_system.shared")["encrypted"] is True
    assert resource("aws_efs_mount_target.shared")["count"] == 3
    storage = named(built(K8S / "cluster" / "base"), "StorageClass", "footfall-shared")
    assert storage["provisioner"] == "efs.csi.aws.com"


def test_keys_renew_themselves() -> None:
    keys = of_type("aws_kms_key")
    assert len(keys) == 2
    assert all(key["enable_key_rotation"] is True for key in keys)
    assert resource("aws_eks_cluster.main")["encryption_config"][0]["resources"] == ["secrets"]
    assert resource("aws_ebs_encryption_by_default.on")["enabled"] is True


def test_the_database_is_private() -> None:
    database = resource("aws_db_instance.main")
    assert database["publicly_accessible"] is False
    assert database["storage_encrypted"] is True
    assert database["deletion_protection"] is True
    assert database["multi_az"] is True
    # Salts must not outlive their dates by much, and snapshots hold them.
    assert database["backup_retention_period"] == 1
    rule = resource("aws_vpc_security_group_ingress_rule.database")
    assert (rule["from_port"], rule["to_port"]) == (5432, 5432)
    assert "cidr_ipv4" not in rule


def test_backups_are_private_encrypted_and_go_after_thirty_days() -> None:
    block = resource("aws_s3_bucket_public_access_block.backups")
    assert [block[name] for name in sorted(block) if name != "bucket"] == [True] * 4
    encryption = resource("aws_s3_bucket_server_side_encryption_configuration.backups")
    default = encryption["rule"][0]["apply_server_side_encryption_by_default"][0]
    assert default["sse_algorithm"] == "AES256"
    (rule,) = resource("aws_s3_bucket_lifecycle_configuration.backups")["rule"]
    assert (rule["status"], rule["filter"][0]["prefix"], rule["expiration"][0]["days"]) == ("Enabled", "backups/", 30)


def test_the_balancer_speaks_the_proxy_protocol_to_the_controllers_ports() -> None:
    ports = {name: port["node"] for name, port in declared()["locals"]["ports"].items()}
    values = named(built(K8S / "cluster" / "base"), "HelmRelease", "ingress-nginx")["spec"]["values"]["controller"]
    assert ports == values["service"]["nodePorts"]
    target = resource("aws_lb_target_group.main")
    assert target["proxy_protocol_v2"] is True
    assert values["config"]["use-proxy-protocol"] == "true"
    assert resource("aws_lb.main")["load_balancer_type"] == "network"
    network = declared()["variable"]["network"]["default"]
    assert values["config"]["proxy-real-ip-cidr"] == network


def test_only_the_cdn_may_connect() -> None:
    variables = declared()["variable"]
    listed = variables["cdn_networks_ipv4"]["default"] + variables["cdn_networks_ipv6"]["default"]
    assert listed == networks()


def test_versions_agree() -> None:
    version = declared()["variable"]["kubernetes_version"]["default"]
    assert version == KUBERNETES
    autoscaler = named(built(K8S / "cluster" / "base"), "HelmRelease", "cluster-autoscaler")["spec"]["values"]
    assert autoscaler["image"]["tag"].startswith(f"v{version}.")


def test_roles_are_for_service_accounts_that_there_are() -> None:
    roles = declared()["locals"]["pods"]
    manifests = overlay("production")
    ours = {account["metadata"]["name"]: account for account in of_kind(manifests, "ServiceAccount")}
    for role, subject in roles.items():
        namespace, _, account = subject.partition(":")
        if namespace == "footfall":
            arn = ours[account]["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
            assert arn.endswith(f":role/footfall-{role}")
    for release, path, role in (
        ("cluster-autoscaler", ("rbac", "serviceAccount"), "autoscaler"),
        ("external-dns", ("serviceAccount",), "dns"),
    ):
        values = named(built(K8S / "cluster" / "base"), "HelmRelease", release)["spec"]["values"]
        for key in path:
            values = values[key]
        assert values["annotations"]["eks.amazonaws.com/role-arn"].endswith(f":role/footfall-{role}")
        assert roles[role].endswith(f":{values.get('name', release)}")


def test_checks_from_outside_come_from_several_parts_of_the_world() -> None:
    check = resource("aws_route53_health_check.main")
    assert len(check["regions"]) >= 3
    assert check["type"] == "HTTPS"
    alarm = resource("aws_cloudwatch_metric_alarm.uptime")
    assert alarm["treat_missing_data"] == "breaching"
    (ingress,) = {rule["host"] for i in of_kind(overlay("production"), "Ingress") for rule in i["spec"]["rules"]}
    assert declared()["variable"]["host"]["default"] == ingress


def test_what_external_secrets_fetches_is_made() -> None:
    made = {f"footfall/{name}" for name in ("secrets", "stores")}
    fetched = {
        source["extract"]["key"]
        for secret in of_kind(overlay("production"), "ExternalSecret")
        for source in secret["spec"]["dataFrom"]
    }
    assert fetched == made
    assert 'for_each = toset(["secrets", "stores"])' in (FOLDER / "database.tf").read_text()
