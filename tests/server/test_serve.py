"""A whole `footfall serve`: first start, hits to rows and back, restarts, stops, several processes, live settings."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from jobs import state
from jobs.job import Shard
from server.app_database import minimum_watermark, open_app_database
from server.clickhouse_url import ClickHouseAddress
from server.config import load_settings
from server.models import JobRun, Watermark
from tests.server.front_host import Answer, Reader, hit
from tests.services.clickhouse import fresh_database
from tests.services.footfall import CHECKOUT, FootfallServer, running_footfall
from tests.services.postgresql import running_postgresql
from tests.services.redis import running_redis

# Nobody listens there: hits wait in the spool.
NO_CLICKHOUSE = "clickhouse://127.0.0.1:1/footfall"

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FootfallServer]:
    with running_footfall(tmp_path_factory.mktemp("serve") / "data") as running:
        yield running


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def bearer(server: FootfallServer) -> str:
    return "Bearer " + (server.data_dir / "local_key").read_text().strip()


def stored(server: FootfallServer) -> int:
    status, body, _ = ask(server.port, "GET", "/api/count?site=localhost", Authorization=bearer(server))
    assert status == 200, body
    return int(json.loads(body)["events"])


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def metric(server: FootfallServer, name: str) -> float:
    _, body, _ = ask(server.internal_port, "GET", "/metrics")
    return sum(float(line.split()[-1]) for line in body.decode().splitlines() if line.startswith(name))


def send_hits(port: int, count: int) -> list[Answer]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(hit() * count)
        reader = Reader(connection)
        return [reader.answer() for _ in range(count)]


def test_the_first_start_prints_lines_that_work(server: FootfallServer) -> None:
    def lines_for_a_shell() -> list[str]:
        return [line.strip() for line in server.log_path.read_text().splitlines() if line.strip().startswith("curl ")]

    # It answers a moment before it says so.
    wait_until(lambda: len(lines_for_a_shell()) == 2)
    lines = lines_for_a_shell()
    before = stored(server)
    sent = subprocess.run(lines[0], shell=True, capture_output=True, text=True, timeout=20, check=True)
    assert "202" in sent.stdout.splitlines()[0]
    wait_until(lambda: stored(server) == before + 1)
    read = subprocess.run(lines[1], shell=True, capture_output=True, text=True, timeout=20, check=True)
    assert json.loads(read.stdout)["kinds"]["pageview"] == before + 1
    assert "data-domain=" in server.log_path.read_text()


def test_the_data_folder_is_private(server: FootfallServer) -> None:
    assert server.data_dir.stat().st_mode & 0o777 == 0o700
    for name in ("secret_key", "local_key", "snapshot.json", "home_id"):
        assert (server.data_dir / name).stat().st_mode & 0o777 == 0o600, name


@pytest.mark.parametrize("path", ["/", "/demo", "/demo/page-2"])
def test_pages_show_and_carry_security_headers(server: FootfallServer, path: str) -> None:
    status, body, headers = ask(server.port, "GET", path)
    assert status == 200
    assert b"</html>" in body
    assert "script-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "server" not in headers


def test_the_script_may_be_loaded_from_other_sites(server: FootfallServer) -> None:
    status, body, headers = ask(server.port, "GET", "/js/footfall.js")
    assert (status, headers["cross-origin-resource-policy"]) == (200, "cross-origin")
    assert b"/api/event" in body
    assert ask(server.port, "GET", "/js/footfall.js", If_None_Match=headers["etag"])[0] == 304


def test_errors_are_short_and_have_no_traceback(server: FootfallServer) -> None:
    status, body, _ = ask(server.port, "GET", "/api/none")
    assert (status, json.loads(body)["error"]["status"]) == (404, 404)
    status, body, _ = ask(server.port, "GET", "/none")
    assert status == 404
    assert b"<h1>Not Found</h1>" in body
    assert ask(server.port, "GET", "/api/count?site=localhost")[0] == 401
    assert ask(server.port, "GET", "/api/count?site=localhost", Authorization="Bearer ff_wrong")[0] == 401
    status, body, _ = ask(server.port, "GET", "/api/count", Authorization=bearer(server))
    assert (status, json.loads(body)["error"]["message"]) == (400, "The parameter site is missing.")
    assert ask(server.port, "GET", "/api/count?site=other.example", Authorization=bearer(server))[0] == 404


def test_metrics_are_on_the_internal_port_only(server: FootfallServer) -> None:
    assert ask(server.port, "GET", "/metrics")[0] == 404
    # The first report comes a moment after the first answer.
    wait_until(lambda: metric(server, "footfall_spool_max_bytes") > 0)
    status, body, _ = ask(server.internal_port, "GET", "/metrics")
    assert status == 200
    assert b'footfall_hits_total{outcome="accepted",process="0"}' in body
    for port in (server.port, server.internal_port):
        assert ask(port, "GET", "/healthz")[0] == 200
        assert ask(port, "GET", "/readyz")[0] == 200


def test_a_site_added_beside_the_server_is_known_within_seconds(server: FootfallServer) -> None:
    done = server.command("sites", "add", "new.example")
    assert done.returncode == 0, done.stderr
    body = b'{"n":"pageview","u":"http://new.example/","d":"new.example"}'

    def is_known() -> bool:
        status, _, headers = ask(server.port, "POST", "/api/event", body, User_Agent=BROWSER)
        assert status == 202
        return "x-footfall-dropped" not in headers

    wait_until(is_known, 5)
    assert "new.example" in server.command("sites", "list").stdout


def test_a_server_batch_is_taken_once_per_key(server: FootfallServer) -> None:
    events = [
        {"n": "Order", "u": "http://localhost/shop", "d": "localhost", "user_agent": BROWSER, "ip": f"192.0.2.{number}"}
        for number in range(20)
    ]
    body = json.dumps(events).encode()
    given = {"Authorization": bearer(server), "Idempotency_Key": "order-1"}
    before = stored(server)
    status, report, _ = ask(server.port, "POST", "/api/events", body, **given)
    assert (status, json.loads(report)["outcomes"]) == (202, {"accepted": 20})
    again = ask(server.port, "POST", "/api/events", body, **given)
    assert (again[0], again[1], again[2]["idempotent-replayed"]) == (202, report, "true")
    assert ask(server.port, "POST", "/api/events", body + b" ", **given)[0] == 422
    assert ask(server.port, "POST", "/api/events", body)[0] == 401
    assert ask(server.port, "POST", "/api/events", b"{not json", Authorization=bearer(server))[0] in (202, 400)
    assert ask(server.port, "POST", "/api/events", b"", Authorization=bearer(server))[0] == 400
    assert ask(server.port, "GET", "/api/events")[0] == 405
    wait_until(lambda: stored(server) == before + 20)


def test_no_line_of_the_log_carries_an_address_a_query_or_a_key(server: FootfallServer) -> None:
    ask(server.port, "GET", "/none?token=very-secret")
    server.command("config")
    printed = [line for line in server.log_path.read_text().splitlines() if line.startswith("{")]
    assert printed
    for line in printed:
        assert json.loads(line)["level"] in ("info", "warning"), line
        assert "very-secret" not in line
        assert bearer(server)[7:] not in line


def test_a_killed_process_is_replaced_and_its_hits_are_stored(tmp_path: Path) -> None:
    with running_footfall(tmp_path / "data", batch_max_age_ms="60000") as server:
        answers = send_hits(server.port, 300)
        assert {answer.status for answer in answers} == {202}
        (process,) = server.collect_processes()
        process.kill()
        wait_until(lambda: [child.pid for child in server.collect_processes()] not in ([], [process.pid]))
        server.wait_ready()
        wait_until(lambda: stored(server) == 300, 30)
        assert metric(server, "footfall_process_respawns_total") == 1


def test_a_stop_stores_what_was_answered(tmp_path: Path) -> None:
    with running_footfall(tmp_path / "data", batch_max_age_ms="60000") as server:
        assert len(send_hits(server.port, 200)) == 200
        assert server.stop() == 0
        assert list((server.data_dir / "spool").iterdir()) == []
        counted = server.command("count")
        assert "200 rows" in counted.stdout, counted.stdout + counted.stderr


def test_without_clickhouse_hits_wait_in_the_spool_and_are_stored_later(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data")
    with running_footfall(tmp_path / "data", clickhouse_url=NO_CLICKHOUSE, stop_grace_s="1") as server:
        assert len(send_hits(server.port, 50)) == 50
        wait_until(lambda: metric(server, "footfall_core_segments_waiting") >= 1)
        wait_until(lambda: metric(server, "footfall_oldest_unflushed_seconds") > 0)
        assert server.stop() == 0
    engine = open_app_database(settings)
    oldest_ms = minimum_watermark(engine)
    assert oldest_ms is not None, "the folder with hits keeps its watermark"
    assert oldest_ms < time.time() * 1000
    with running_footfall(tmp_path / "data") as server:
        wait_until(lambda: stored(server) == 50, 30)
        wait_until(lambda: metric(server, "footfall_oldest_unflushed_seconds") == 0)
        wait_until(lambda: _watermark_ids(engine) == _spool_ids(server), 30)


def _watermark_ids(engine: Any) -> set[str]:
    from sqlalchemy import select

    with engine.connect() as connection:
        return set(connection.execute(select(Watermark.spool_id)).scalars())


def _spool_ids(server: FootfallServer) -> set[str]:
    return {path.name for path in (server.data_dir / "spool").iterdir()}


LIBRARIES = "sqlalchemy.orm, tornado.web, clickhouse_driver, pydantic_settings, redis, huey.api, psycopg, limits"


def test_a_second_start_costs_little_more_than_its_libraries(tmp_path: Path) -> None:
    """In CPU of the two processes, against what an interpreter takes for the packages alone: however fast the machine,
    and whatever else runs on it. Under three seconds on the machine that README speaks of.
    """
    before = os.times()
    subprocess.run([sys.executable, "-c", f"import server, {LIBRARIES}"], check=True, cwd=CHECKOUT)
    after = os.times()
    libraries_s = after.children_user + after.children_system - before.children_user - before.children_system
    with running_footfall(tmp_path / "data"):
        pass
    server = FootfallServer(tmp_path / "data")
    try:
        server.start()
        assert server._process is not None
        family = [psutil.Process(server._process.pid), *server.collect_processes()]
        spent_s = sum(sum(process.cpu_times()[:2]) for process in family)
        assert spent_s < 2 * len(family) * libraries_s
    finally:
        server.stop()


def test_a_full_spool_answers_503_and_recovers(tmp_path: Path) -> None:
    file = tmp_path / "batch.yaml"
    file.write_text("spool_max_bytes: 1048576\n")
    settings = {"batch_settings_file": str(file), "clickhouse_url": NO_CLICKHOUSE, "stop_grace_s": "1"}
    with running_footfall(tmp_path / "data", **settings) as server:
        # What is on its way to the disk counts as on it too for a moment: a refusal alone is not the end.
        while ask(server.port, "GET", "/readyz")[0] == 200:
            assert {answer.status for answer in send_hits(server.port, 500)} <= {202, 503}
        (refused,) = send_hits(server.port, 1)
        assert refused.status == 503
        assert refused.headers["retry-after"]
        assert b"the spool is full" in ask(server.port, "GET", "/readyz")[1]
        assert ask(server.port, "GET", "/healthz")[0] == 200
        assert metric(server, "footfall_spool_max_bytes") == 1_048_576
        file.write_text("spool_max_bytes: 104857600\n")
        wait_until(lambda: ask(server.port, "GET", "/readyz")[0] == 200, 10)
        wait_until(lambda: metric(server, "footfall_spool_max_bytes") == 104_857_600, 10)
        assert {answer.status for answer in send_hits(server.port, 10)} == {202}


def test_roles_take_what_is_theirs(tmp_path: Path) -> None:
    with running_footfall(tmp_path / "data", role="collect") as collect:
        assert ask(collect.port, "GET", "/")[0] == 404
        assert ask(collect.port, "GET", "/js/footfall.js")[0] == 200
        assert send_hits(collect.port, 1)[0].status == 202
    with running_footfall(tmp_path / "data", role="web") as web:
        assert ask(web.port, "GET", "/")[0] == 200
        assert ask(web.port, "POST", "/api/event", b"{}")[0] == 404


def test_children_stop_when_their_parent_is_killed(tmp_path: Path) -> None:
    server = FootfallServer(tmp_path / "data", clickhouse_url=NO_CLICKHOUSE, stop_grace_s="1")
    server.start()
    assert server._process is not None
    children = server.collect_processes()
    os.kill(server._process.pid, signal.SIGKILL)
    server._process.wait(10)
    _, alive = psutil.wait_procs(children, timeout=20)
    for process in alive:
        process.kill()
    assert alive == []


@pytest.mark.parametrize("taken", ["port", "internal_port"])
def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path, taken: str) -> None:
    server = FootfallServer(tmp_path / "data")
    with contextlib.closing(socket.create_server(("127.0.0.1", getattr(server, taken)))):
        done = server.command("serve", timeout_s=60)
    assert done.returncode == 2
    name = f"FOOTFALL_{taken.upper()}"
    port = getattr(server, taken)
    assert done.stderr == f"{name}={port} is not allowed: expected a port that no other program listens on\n"
    assert not server.data_dir.exists()


def test_a_data_folder_that_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = FootfallServer(tmp_path / "file" / "data").command("serve", timeout_s=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("FOOTFALL_DATA_DIR=")


def test_an_app_database_that_is_away_is_said_in_one_line_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://me:hunter2@127.0.0.1:1/none"
    done = FootfallServer(tmp_path / "data", app_database_url=url).command("serve", timeout_s=60)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("FOOTFALL_APP_DATABASE_URL=postgresql://me:***@127.0.0.1:1/none")
    assert "hunter2" not in done.stderr


def test_the_stores_of_production_and_two_processes(tmp_path: Path, clickhouse: ClickHouseAddress) -> None:
    """ClickHouse over TCP, PostgreSQL and Redis, with a change that is pushed."""
    (tmp_path / "redis").mkdir()
    with (
        fresh_database(clickhouse) as address,
        running_postgresql() as postgresql_url,
        running_redis(tmp_path / "redis") as redis_url,
        running_footfall(
            tmp_path / "data",
            processes="2",
            clickhouse_url=str(address),
            app_database_url=postgresql_url,
            redis_url=redis_url,
        ) as server,
    ):
        for _ in range(10):
            assert {answer.status for answer in send_hits(server.port, 20)} == {202}
        wait_until(lambda: stored(server) == 200)
        assert server.command("sites", "add", "pushed.example").returncode == 0
        assert not (server.data_dir / "footfall.sqlite").exists()
        settings = load_settings(data_dir=server.data_dir, app_database_url=postgresql_url)
        engine = open_app_database(settings)
        wait_until(lambda: len(_watermark_ids(engine)) == 2)
        engine.dispose()
        audited = server.command("audit")
        assert audited.returncode == 0, audited.stdout


def test_a_start_while_the_app_database_is_away_uses_the_saved_snapshot(tmp_path: Path) -> None:
    with running_postgresql() as url:
        server = FootfallServer(tmp_path / "data", app_database_url=url, clickhouse_url=NO_CLICKHOUSE, stop_grace_s="1")
        try:
            server.start()
        finally:
            server.stop()
    try:
        server.start()
        assert {answer.status for answer in send_hits(server.port, 5)} == {202}
        wait_until(lambda: metric(server, 'footfall_hits_total{outcome="accepted"') == 5)
    finally:
        server.stop()


def worker_of(server: FootfallServer) -> psutil.Process | None:
    assert server._process is not None
    for child in psutil.Process(server._process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if "jobs.worker" in child.cmdline():
                return child
    return None


def notes(server: FootfallServer) -> list[str]:
    status, body, _ = ask(server.internal_port, "GET", "/healthz")
    assert status == 200, body
    found: list[str] = json.loads(body).get("notes", [])
    return found


def job_outcomes(engine: Any, job: str) -> list[str]:
    from sqlalchemy import select

    with engine.connect() as connection:
        return list(connection.execute(select(JobRun.outcome).where(JobRun.job == job)).scalars())


def test_jobs_run_beside_the_other_processes_and_outlive_their_worker(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data")
    with running_footfall(tmp_path / "data") as server:
        wait_until(lambda: notes(server) == [])
        engine = open_app_database(settings)
        seen = state.read_standing(engine, "audit", Shard())
        assert seen is not None, "a fresh installation knows its jobs"
        assert job_outcomes(engine, "audit") == [], "nothing is due for the time before"
        # As if the worker had not run for two hours: the next one's first look finds it.
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE job_states SET settled_until_ms = settled_until_ms - 7200000")
        first = worker_of(server)
        assert first is not None
        first.kill()
        wait_until(lambda: worker_of(server) not in (None, first))
        wait_until(lambda: "succeeded" in job_outcomes(engine, "audit"), 30)
        assert ask(server.port, "GET", "/readyz")[0] == 200
        assert metric(server, "footfall_process_respawns_total") == 1
        assert metric(server, "footfall_worker_up") == 1
        counted = 'footfall_job_runs_total{job="audit",outcome="succeeded",process="worker"'
        wait_until(lambda: metric(server, counted) == 1)
        engine.dispose()
        assert server.stop() == 0


@pytest.mark.slow
def test_a_worker_that_does_not_work_takes_nothing_from_the_others(tmp_path: Path) -> None:
    """Frozen: it is a note of the internal port's health, and no reason to restart or to send no requests."""
    with running_footfall(tmp_path / "data", clickhouse_url=NO_CLICKHOUSE, stop_grace_s="1") as server:
        wait_until(lambda: notes(server) == [])
        worker = worker_of(server)
        assert worker is not None
        worker.suspend()
        wait_until(lambda: any(note.startswith("worker: silent for") for note in notes(server)))
        for port in (server.port, server.internal_port):
            assert ask(port, "GET", "/readyz")[0] == 200
            assert ask(port, "GET", "/healthz")[0] == 200
        assert metric(server, "footfall_worker_up") == 0
        assert {answer.status for answer in send_hits(server.port, 5)} == {202}
        worker.resume()
        wait_until(lambda: notes(server) == [])


def test_a_rolling_restart_replaces_the_worker_too(tmp_path: Path) -> None:
    with running_footfall(tmp_path / "data", clickhouse_url=NO_CLICKHOUSE, stop_grace_s="1") as server:
        wait_until(lambda: notes(server) == [])
        first = worker_of(server)
        assert first is not None
        server.reload()
        wait_until(lambda: not first.is_running() and worker_of(server) is not None)
        wait_until(lambda: notes(server) == [])
        assert metric(server, "footfall_process_respawns_total") == 0


@pytest.mark.parametrize("settings", [{"worker_threads": "0"}, {"role": "collect"}])
def test_no_worker_runs_where_none_is_wanted(tmp_path: Path, settings: dict[str, str]) -> None:
    given = {"clickhouse_url": NO_CLICKHOUSE, "stop_grace_s": "1", **settings}
    with running_footfall(tmp_path / "data", **given) as server:
        time.sleep(0.5)
        assert worker_of(server) is None
        assert notes(server) == []
        assert "footfall_worker_up" not in ask(server.internal_port, "GET", "/metrics")[1].decode()
