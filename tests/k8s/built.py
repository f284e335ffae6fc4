"""The overlays as kustomize builds them, and what of them tests ask for."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from tests.services import find_program, program

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
OVERLAYS = ("single", "production")

Manifest = dict[str, Any]

# Where the template of a pod stands in each kind that has one.
_POD_TEMPLATES = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


@dataclass(frozen=True)
class PodTemplate:
    """A pod that something makes."""

    owner: str
    kind: str
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All of them, those that run first as well."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


@lru_cache
def built(folder: Path) -> tuple[Manifest, ...]:
    """The objects of a kustomization."""
    kubectl = find_program("kubectl")
    command = [str(kubectl), "kustomize"] if kubectl else [str(program("kustomize")), "build"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # kustomize warns on standard error of what will not work in its next version.
    assert "deprecated" not in done.stderr.lower(), done.stderr
    # The parser in C: these are thousands of lines.
    return tuple(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


def overlay(name: str) -> tuple[Manifest, ...]:
    """The objects of an overlay of Footfall."""
    return built(K8S / "apps" / "footfall" / "overlays" / name)


def named(manifests: tuple[Manifest, ...], kind: str, name: str) -> Manifest:
    """The one object of this kind and name."""
    (found,) = (m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))
    return found


def of_kind(manifests: tuple[Manifest, ...], kind: str) -> list[Manifest]:
    """All objects of a kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pods(manifests: tuple[Manifest, ...]) -> Iterator[PodTemplate]:
    """Every pod that one of these makes; those of ClickHouse's operator too."""
    for manifest in manifests:
        owner = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] in _POD_TEMPLATES:
            template: Any = manifest
            for key in _POD_TEMPLATES[manifest["kind"]]:
                template = template[key]
            yield PodTemplate(owner, manifest["kind"], template["metadata"]["labels"], template["spec"])
        for template in manifest.get("spec", {}).get("templates", {}).get("podTemplates", []):
            yield PodTemplate(owner, manifest["kind"], {}, template["spec"])


def settings_of(manifests: tuple[Manifest, ...]) -> dict[str, str]:
    """The environment that every Footfall pod gets from its ConfigMap."""
    (found,) = (
        m for m in manifests if m["kind"] == "ConfigMap" and m["metadata"]["name"].startswith("footfall-settings")
    )
    return dict(found["data"])
