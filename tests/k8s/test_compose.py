"""The compose file: its parts agree with the manifests, and its suite passes, here without containers.

No container engine runs on a development machine. So nginx with the compose file's own configuration, PostgreSQL, Redis
and `footfall serve` run as processes, and `end_to_end.py` is held against them as elsewhere against the containers.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from k8s.compose import end_to_end, passwords
from server.config import Settings, load_settings
from server.loopback_port import free_port
from server.supervisor import KILL_AFTER_GRACE_S
from tests.k8s.built import K8S, overlay, pods
from tests.services import program
from tests.services.closed_port import closed_port
from tests.services.footfall import CHECKOUT, COMMAND, running_footfall
from tests.services.redis import wait_for_port
from tests.services.tls import make_certificate

COMPOSE = K8S / "compose"


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services by name."""
    found: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]
    return found


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])


def test_everything_that_the_file_mounts_is_there(services: dict[str, Any]) -> None:
    files = 0
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).is_file(), source
                files += 1
    assert files == 4
    build = services["footfall"]["build"]
    assert (COMPOSE / build["context"] / build["dockerfile"]).is_file()


def test_nobody_is_root_or_writes_where_it_need_not(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        # Footfall's image and nginx's unprivileged one name a user themselves.
        assert "user" in service or name in ("footfall", "nginx"), name
        assert "healthcheck" in service or name == "footfall", name
    assert [name for name, service in services.items() if "ports" in service] == ["nginx"]


def test_images_are_those_of_the_small_overlay(services: dict[str, Any]) -> None:
    manifests = {container["image"] for pod in pods(overlay("single")) for container in pod.containers}
    stores = {services[name]["image"] for name in ("clickhouse", "postgresql", "redis")}
    assert stores <= manifests


def test_footfall_may_end_in_peace(services: dict[str, Any]) -> None:
    footfall = services["footfall"]
    grace_s = float(footfall["environment"]["FOOTFALL_STOP_GRACE_S"])
    assert seconds(footfall["stop_grace_period"]) > grace_s + KILL_AFTER_GRACE_S


def test_the_environment_is_made_of_settings(services: dict[str, Any]) -> None:
    environment = services["footfall"]["environment"]
    assert {name.removeprefix("FOOTFALL_").lower() for name in environment} <= set(Settings.model_fields)
    made = passwords.environment()
    assert made["CLICKHOUSE_PASSWORD_SHA256"] == hashlib.sha256(made["CLICKHOUSE_PASSWORD"].encode()).hexdigest()
    wanted = set(re.findall(r"\$\{([A-Z0-9_]+):\?", (COMPOSE / "compose.yaml").read_text()))
    assert wanted <= made.keys()
    settings = load_settings(
        secret_key=made["FOOTFALL_SECRET_KEY"],
        clickhouse_url=environment["FOOTFALL_CLICKHOUSE_URL"].replace("${CLICKHOUSE_PASSWORD:?}", "x"),
        app_database_url=environment["FOOTFALL_APP_DATABASE_URL"].replace("${POSTGRESQL_PASSWORD:?}", "x"),
        redis_url=environment["FOOTFALL_REDIS_URL"],
        trusted_proxies=environment["FOOTFALL_TRUSTED_PROXIES"],
    )
    hosts = {"clickhouse", "postgresql", "redis"}
    urls = f"{settings.clickhouse_url} {settings.app_database_url} {settings.redis_url}"
    assert all(re.search(rf"[@/]{host}[:/]", urls) for host in hosts)
    assert services["footfall"]["depends_on"].keys() == hosts


def nginx_here(name: str, folder: Path, ports: dict[str, int], upstream: int) -> Path:
    """A configuration of the compose file with this machine's paths and ports."""
    text = (COMPOSE / name).read_text()
    for old, new in {
        "worker_processes auto": "daemon off; worker_processes 1",
        # Before the folder's own path, which may begin with /tmp as well.
        " /tmp/": f" {folder}/",
        "/dev/stderr": f"{folder}/error.log",
        "/etc/nginx/footfall.conf": str(COMPOSE / "footfall.conf"),
        "/etc/nginx/tls.conf": str(folder / "tls.conf"),
        "server footfall:8000": f"server 127.0.0.1:{upstream}",
    }.items():
        assert old in text or name == "nginx.conf", old
        text = text.replace(old, new)
    for port, here in ports.items():
        text = text.replace(f"listen {port}", f"listen 127.0.0.1:{here}")
    # From 1.25.1 on; Debian's is older.
    text = text.replace("        http2 on;\n", "")
    config = folder / "nginx.conf"
    config.write_text(text)
    return config


def test_nginx_takes_both_configurations(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    tls = (COMPOSE / "tls.conf").read_text()
    tls = tls.replace("/etc/nginx/tls/fullchain.pem", str(certificate)).replace("/etc/nginx/tls/privkey.pem", str(key))
    (tmp_path / "tls.conf").write_text(tls)
    for name in ("nginx.conf", "nginx.tls.conf"):
        config = nginx_here(name, tmp_path, {"8080": free_port(), "8443": free_port()}, free_port())
        command = [str(program("nginx")), "-t", "-p", str(tmp_path), "-c", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_suite_passes_on_real_stores_behind_nginx(
    tmp_path: Path, postgresql_settings: Settings, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "app_database_url": postgresql_settings.app_database_url,
        "redis_url": redis_url,
        "trusted_proxies": "127.0.0.0/8",
    }
    with running_footfall(tmp_path / "footfall", **settings) as server:
        port = free_port()
        config = nginx_here("nginx.conf", tmp_path, {"8080": port}, server.port)
        nginx = subprocess.Popen(
            [str(program("nginx")), "-p", str(tmp_path), "-c", str(config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )
        try:
            wait_for_port(port, nginx)
            run = tmp_path / "footfall-here"
            exports = "".join(
                f"export {name}='{value}'\n"
                for name, value in server.environment.items()
                if name.startswith("FOOTFALL_")
            )
            run.write_text(f'#!/bin/sh\n{exports}cd {CHECKOUT}\nexec {shlex.join(COMMAND)} "$@"\n')
            run.chmod(0o700)
            status = end_to_end.main(["--url", f"http://127.0.0.1:{port}", "--", str(run)])
        finally:
            nginx.terminate()
            nginx.wait(10)
    seen = capsys.readouterr().out
    assert status == 0, seen
    assert f"{len(end_to_end.CHECKS)} passed, 0 failed" in seen


def test_the_suite_fails_where_nothing_answers(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(end_to_end, "STORED_WITHIN_S", 0.0)
    with closed_port() as port:
        assert end_to_end.main(["--url", f"http://127.0.0.1:{port}", "--", sys.executable]) == 1
    assert "FAILED probes" in capsys.readouterr().out
