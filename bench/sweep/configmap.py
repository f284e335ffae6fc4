"""The recommended settings as a ConfigMap: the file that k8s/apps/footfall/base mounts, and what it was measured on."""

from __future__ import annotations

from collections.abc import Mapping

from server.config import BatchSettings

# A fleet seals this often, so that INSERTs stay at two a second and shard: k8s/apps/footfall/base/batch.yaml.
AGE_PER_POD_MS = 500

HEAD = """apiVersion: v1
kind: ConfigMap
metadata:
  name: footfall-batch
data:
  batch.yaml: |
"""


def batch_file(settings: BatchSettings, notes: Mapping[str, object]) -> str:
    """The mounted file: `server.batch_settings` reads it as it is."""
    lines = ["# Recommended by `python -m bench sweep`; more pods: an age of at least pods x 500 ms."]
    lines += [f"# {name}: {value}" for name, value in notes.items()]
    lines += [f"{name}: {value}" for name, value in settings.model_dump(mode="json").items()]
    return "\n".join(lines) + "\n"


def config_map(settings: BatchSettings, notes: Mapping[str, object]) -> str:
    """For `kubectl apply`."""
    return HEAD + "".join(f"    {line}\n" for line in batch_file(settings, notes).splitlines())
