"""The look for volumes without a pod: what it decides, and what it says to a Kubernetes API (a double of it: HTTP)."""

from __future__ import annotations

import http.client
import importlib.util
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest

from tests.k8s.built import K8S, named, overlay
from tests.k8s.test_overlays import KUBERNETES

NAMESPACE = "footfall"


@pytest.fixture(scope="module")
def drain() -> ModuleType:
    """The file that a ConfigMap mounts: no module of ours, so it is loaded by its path."""
    import sys

    spec = importlib.util.spec_from_file_location("drain", K8S / "apps/footfall/base/drain/drain.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["drain"] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


class Api(HTTPServer):
    """Answers from what a test puts in, remembers what was changed."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replicas = 1
        self.claims: list[str] = []
        self.pods: list[dict[str, Any]] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.changes: list[str] = []
        self.refuses: dict[str, int] = {}
        self.tokens: set[str | None] = set()
        self.template = named(overlay("single"), "CronJob", "footfall-drain-volume")


class Handler(BaseHTTPRequestHandler):
    """The six requests that are allowed by the Role."""

    server: Api

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def answer(self, body: Any, status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        api = self.server
        api.tokens.add(self.headers["Authorization"])
        path, _, query = self.path.partition("?")
        lists: dict[str, tuple[str, list[Any]]] = {
            "/api/v1/namespaces/footfall/persistentvolumeclaims": (
                "",
                [{"metadata": {"name": name}} for name in api.claims],
            ),
            "/api/v1/namespaces/footfall/pods": ("labelSelector=app.kubernetes.io%2Fcomponent%3Dcollect", api.pods),
            "/apis/batch/v1/namespaces/footfall/jobs": (
                "labelSelector=app.kubernetes.io%2Fcomponent%3Ddrain",
                list(api.jobs.values()),
            ),
        }
        if path in lists:
            expected, items = lists[path]
            assert query == expected
            self.answer({"items": items})
        elif path == "/apis/apps/v1/namespaces/footfall/statefulsets/footfall-collect":
            self.answer({"spec": {"replicas": api.replicas}})
        elif path == "/apis/batch/v1/namespaces/footfall/cronjobs/footfall-drain-volume":
            self.answer(api.template)
        else:
            self.answer({}, 403)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = body["metadata"]["name"]
        if name in self.server.refuses:
            self.answer({}, self.server.refuses[name])
            return
        self.server.jobs[name] = body
        self.server.changes.append(f"made {name}")
        self.answer(body, 201)

    def do_DELETE(self) -> None:
        path, _, query = self.path.partition("?")
        assert query == "propagationPolicy=Background"
        name = path.rpartition("/")[2]
        del self.server.jobs[name]
        self.server.changes.append(f"took {name}")
        self.answer({})


@pytest.fixture
def api() -> Iterator[Api]:
    """A running double."""
    server = Api()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def look(drain: ModuleType, api: Api) -> list[str]:
    """One look; what was changed by it."""
    api.changes.clear()

    def call(method: str, path: str, body: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", api.server_port, timeout=10)
        return drain.exchange(connection, {"Authorization": "Bearer t"})(method, path, body)

    drain.look(call, NAMESPACE)
    return list(api.changes)


def pod(number: int) -> dict[str, Any]:
    claim = {"persistentVolumeClaim": {"claimName": f"data-footfall-collect-{number}"}, "name": "data"}
    return {"spec": {"volumes": [{"name": "tmp", "emptyDir": {}}, claim]}}


def ended(api: Api, number: int, how: str) -> None:
    api.jobs[f"footfall-drain-{number}"]["status"] = {"conditions": [{"type": how, "status": "True"}]}


def test_a_volume_whose_pod_went_is_drained_once(drain: ModuleType, api: Api) -> None:
    api.claims = [
        "data-footfall-collect-0",
        "data-footfall-collect-1",
        "data-footfall-clickhouse-0",
        "data-footfall-collect-x",
    ]
    api.pods = [pod(0)]
    assert look(drain, api) == ["made footfall-drain-1"]
    assert look(drain, api) == []
    ended(api, 1, "Complete")
    assert look(drain, api) == []
    assert api.tokens == {"Bearer t"}


def test_a_pod_that_is_still_ending_keeps_its_volume(drain: ModuleType, api: Api) -> None:
    api.claims, api.pods = ["data-footfall-collect-0", "data-footfall-collect-1"], [pod(0), pod(1)]
    assert look(drain, api) == []
    api.pods.pop()
    assert look(drain, api) == ["made footfall-drain-1"]


def test_a_pod_that_is_to_come_back_gets_its_volume_back(drain: ModuleType, api: Api) -> None:
    api.claims, api.pods = ["data-footfall-collect-0", "data-footfall-collect-1"], [pod(0)]
    assert look(drain, api) == ["made footfall-drain-1"]
    api.replicas = 2
    assert look(drain, api) == ["took footfall-drain-1"]
    # It is restarting: nobody mounts the claim, and still it is not ours.
    assert look(drain, api) == []
    api.replicas = 1
    assert look(drain, api) == ["made footfall-drain-1"]


def test_a_failed_drain_is_tried_again(drain: ModuleType, api: Api) -> None:
    api.claims = ["data-footfall-collect-3"]
    look(drain, api)
    ended(api, 3, "Failed")
    assert look(drain, api) == ["took footfall-drain-3"]
    assert look(drain, api) == ["made footfall-drain-3"]


def test_another_look_at_once_does_no_harm(drain: ModuleType, api: Api) -> None:
    api.claims = ["data-footfall-collect-3", "data-footfall-collect-4"]
    api.refuses = {"footfall-drain-3": 409}
    assert look(drain, api) == ["made footfall-drain-4"]
    api.refuses = {"footfall-drain-3": 403}
    with pytest.raises(drain.ApiRefused, match="POST /apis/batch/v1/namespaces/footfall/jobs: 403"):
        look(drain, api)


def test_the_job_is_one_that_kubernetes_takes(drain: ModuleType, api: Api) -> None:
    api.claims = ["data-footfall-collect-3"]
    look(drain, api)
    job = api.jobs["footfall-drain-3"]
    kubernetes_validate.validate(job, KUBERNETES, strict=True)
    assert job["metadata"]["labels"]["app.kubernetes.io/component"] == "drain"
    spec = job["spec"]["template"]["spec"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-footfall-collect-3"}} in spec["volumes"]
    assert spec["containers"][0]["image"].startswith("registry.example.com/footfall:")


def test_the_role_allows_just_these_requests() -> None:
    rules = named(overlay("single"), "Role", "footfall-drain")["rules"]
    allowed = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    assert allowed == {
        ("persistentvolumeclaims", "list"),
        ("pods", "list"),
        ("statefulsets", "get"),
        ("cronjobs", "get"),
        ("jobs", "list"),
        ("jobs", "create"),
        ("jobs", "delete"),
    }
