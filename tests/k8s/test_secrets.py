"""Secrets: their names are settings, nothing secret is in Git, and whoever wants one of the cluster's finds it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.config import load_settings
from tests.k8s.built import K8S, OVERLAYS, ROOT, of_kind, overlay, pods

EXAMPLES = sorted((K8S / "secrets").glob("*.env.example"))


def names_in(example: Path) -> list[str]:
    lines = example.read_text().splitlines()
    return [line.partition("=")[0] for line in lines if line and not line.startswith("#")]


def test_examples_name_settings_and_hold_no_value() -> None:
    known = {f"FOOTFALL_{name.upper()}" for name in type(load_settings()).model_fields}
    settings, stores = names_in(EXAMPLES[0]), names_in(EXAMPLES[1])
    assert set(settings) <= known
    assert set(stores) == {"clickhouse-password-sha256", "postgresql-password"}
    for example in EXAMPLES:
        assert all(line.startswith("#") or line.endswith("=") for line in example.read_text().splitlines())


def test_filled_in_files_are_ignored_by_git() -> None:
    for name in ("footfall-secrets.env", "footfall-stores.env", "sealing-key.yaml", "sealing.pem"):
        command = ["git", "-C", str(ROOT), "check-ignore", "--quiet", f"k8s/secrets/{name}"]
        assert subprocess.run(command, check=False).returncode == 0, name


def test_no_manifest_is_a_secret() -> None:
    # A compose file is no manifest, and has tags of its own.
    files = [path for path in K8S.rglob("*.yaml") if path.parent.name != "compose"]
    assert len(files) > 50
    for path in files:
        for manifest in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader):
            assert not isinstance(manifest, dict) or manifest.get("kind") != "Secret", path


def referred(node: Any) -> set[str]:
    """The names of all secrets that something refers to."""
    if isinstance(node, dict):
        own = {node[key]["name"] for key in ("secretRef", "secretKeyRef") if key in node}
        return own.union(*map(referred, node.values()))
    return set().union(*map(referred, node)) if isinstance(node, list) else set()


@pytest.mark.parametrize("name", OVERLAYS)
def test_each_secret_that_a_pod_wants_is_made(name: str) -> None:
    manifests = overlay(name)
    kind = {"single": "SealedSecret", "production": "ExternalSecret"}[name]
    made = {manifest["metadata"]["name"] for manifest in of_kind(manifests, kind)}
    assert made == {path.name.removesuffix(".env.example") for path in EXAMPLES}
    wanted = set().union(*(referred(pod.spec) for pod in pods(manifests)))
    assert wanted <= made
    assert "footfall-secrets" in wanted
