"""Starts a Job for each spool volume whose pod is gone for good, so that the hits on it are stored.

When the autoscaler takes a collect pod away, its volume stays. What the pod could not store within its grace lies on it
and would wait until a pod of that number comes back. A CronJob runs this file every few minutes, in Footfall's image
but with nothing of Footfall's: Python's own library speaks to the Kubernetes API.

    claim of a pod that runs, or is to run      no Job: one that runs is taken away (it leaves the rest to the pod),
                                                one that ended is forgotten
    claim that nobody uses, no Job              a Job is made from the suspended CronJob `footfall-drain-volume`
    claim that nobody uses, Job failed          the Job is taken away, the next look makes another
    claim that nobody uses, Job done            nothing: the volume is empty, and stays

Two looks at once are safe: a Job's name is the claim's number, and the API takes a name once. A Job and a pod on one
volume are safe as well: a spool folder belongs to whoever holds its lock.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATEFUL_SET = "footfall-collect"
CLAIM_PREFIX = f"data-{STATEFUL_SET}-"
TEMPLATE = "footfall-drain-volume"
VOLUME = "data"

# What kubelet mounts into a pod with a service account (kubernetes.io, "Accessing the Kubernetes API from a Pod").
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_S = 10.0

Call = Callable[[str, str, Mapping[str, Any] | None], Any]
"""Method, path, body → the answer as JSON. Raises `ApiRefused`."""


class ApiRefused(RuntimeError):
    """The API answered with an error. `status` is HTTP's; nothing was changed."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(f"{what}: {status}")
        self.status = status


@dataclass(frozen=True)
class Start:
    """Make a Job for this claim."""

    claim: str


@dataclass(frozen=True)
class Forget:
    """Take this claim's Job away."""

    claim: str


def job_name(claim: str) -> str:
    """The Job of a claim."""
    return f"footfall-drain-{claim.removeprefix(CLAIM_PREFIX)}"


def decide(
    claims: list[str], replicas: int, in_use: frozenset[str], jobs: Mapping[str, str]
) -> Iterator[Start | Forget]:
    """What is to be done. `in_use`: claims that collect pods mount; `jobs`: name → active, done or failed."""
    for claim in sorted(claims):
        number = claim.removeprefix(CLAIM_PREFIX)
        if not claim.startswith(CLAIM_PREFIX) or not number.isdecimal():
            continue
        job = jobs.get(job_name(claim))
        if int(number) < replicas or claim in in_use:
            if job is not None:
                yield Forget(claim)
        elif job is None:
            yield Start(claim)
        elif job == "failed":
            yield Forget(claim)


def job_for(claim: str, template: Mapping[str, Any]) -> dict[str, Any]:
    """The Job: the template's, with the claim in place of its empty volume."""
    job = json.loads(json.dumps(template["spec"]["jobTemplate"]))
    volumes = job["spec"]["template"]["spec"]["volumes"]
    (volume,) = (volume for volume in volumes if volume["name"] == VOLUME)
    del volume["emptyDir"]
    volume["persistentVolumeClaim"] = {"claimName": claim}
    labels = {**job.get("metadata", {}).get("labels", {}), "footfall/claim": claim}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(claim), "labels": labels},
        "spec": job["spec"],
    }


def state_of(job: Mapping[str, Any]) -> str:
    """active, done or failed, from the conditions of a Job."""
    for condition in job.get("status", {}).get("conditions", []):
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            return "done" if condition["type"] == "Complete" else "failed"
    return "active"


def look(call: Call, namespace: str) -> list[Start | Forget]:
    """Look once and do what is to be done; returns that. Raises `ApiRefused`."""
    core, apps, batch = (f"{root}/namespaces/{namespace}" for root in ("/api/v1", "/apis/apps/v1", "/apis/batch/v1"))
    claims = call("GET", f"{core}/persistentvolumeclaims", None)["items"]
    pods = call("GET", f"{core}/pods?labelSelector=app.kubernetes.io%2Fcomponent%3Dcollect", None)["items"]
    jobs = call("GET", f"{batch}/jobs?labelSelector=app.kubernetes.io%2Fcomponent%3Ddrain", None)["items"]
    # Last: a set that grew meanwhile is seen as grown.
    replicas = call("GET", f"{apps}/statefulsets/{STATEFUL_SET}", None)["spec"]["replicas"]
    actions = list(
        decide(
            [claim["metadata"]["name"] for claim in claims],
            replicas,
            frozenset(
                volume["persistentVolumeClaim"]["claimName"]
                for pod in pods
                for volume in pod["spec"].get("volumes", [])
                if "persistentVolumeClaim" in volume
            ),
            {job["metadata"]["name"]: state_of(job) for job in jobs},
        )
    )
    template = call("GET", f"{batch}/cronjobs/{TEMPLATE}", None) if actions else {}
    for action in actions:
        try:
            if isinstance(action, Start):
                call("POST", f"{batch}/jobs", job_for(action.claim, template))
            else:
                call("DELETE", f"{batch}/jobs/{job_name(action.claim)}?propagationPolicy=Background", None)
        except ApiRefused as error:
            # 404, 409: another look was faster.
            if error.status not in (404, 409):
                raise
    return actions


def api() -> Call:
    """Calls to the API of the cluster that this pod runs in."""
    host = os.environ["KUBERNETES_SERVICE_HOST"]
    port = int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}", "Accept": "application/json"}

    def call(method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        return exchange(http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context), headers)(
            method, path, body
        )

    return call


def exchange(connection: http.client.HTTPConnection, headers: Mapping[str, str]) -> Call:
    """One call over a connection, which is closed afterwards."""

    def call(method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {**headers, "Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise ApiRefused(answer.status, f"{method} {path.partition('?')[0]}")
        return json.loads(text)

    return call


def main() -> int:
    """One look; one line for each thing done."""
    for action in look(api(), (ACCOUNT / "namespace").read_text().strip()):
        print(json.dumps({"level": "info", "message": type(action).__name__.lower(), "claim": action.claim}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
