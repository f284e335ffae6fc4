"""The embedded server: one per folder, alive while its owner is, found by whoever needs it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from server.clickhouse_tcp import BlockConnection
from server.embedded import (
    EmbeddedClickHouse,
    EmbeddedUnavailable,
    Engine,
    embedded_session,
    find_engine,
    home_folder,
    is_served,
    published_address,
    wait_until_ready,
)

LIBRARY = os.environ.get("FOOTFALL_CHDB_LIBRARY", "")
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return home_folder(tmp_path)


@pytest.fixture
def server(home: Path) -> Iterator[EmbeddedClickHouse]:
    made = EmbeddedClickHouse(home, find_engine(LIBRARY))
    made.start()
    yield made
    made.stop()


def wait(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def query(home: Path, text: str) -> object:
    connection = BlockConnection(wait_until_ready(home))
    try:
        return connection.select(text)[0][0]
    finally:
        connection.close()


def command(home: Path, text: str) -> None:
    import dataclasses

    connection = BlockConnection(dataclasses.replace(wait_until_ready(home), database="default"))
    connection.command(text)
    connection.close()


def test_it_starts_within_a_second_or_two_and_stops(home: Path) -> None:
    made = EmbeddedClickHouse(home, find_engine(LIBRARY))
    started_s = time.monotonic()
    made.start()
    assert time.monotonic() - started_s < 10.0
    assert is_served(home)
    made.stop()
    assert not is_served(home)


def test_data_survives_a_kill_and_the_server_comes_back(home: Path, server: EmbeddedClickHouse) -> None:
    command(home, "CREATE DATABASE footfall")
    command(home, "CREATE TABLE footfall.t (n UInt32) ENGINE = MergeTree ORDER BY n")
    command(home, "INSERT INTO footfall.t SELECT number FROM numbers(1000)")
    pid = server.child_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait(lambda: server.child_pid not in (None, pid))
    assert query(home, "SELECT count() FROM t") == 1000
    assert server.restarts == 1


def test_only_loopback_is_listened_on(home: Path, server: EmbeddedClickHouse) -> None:
    port = published_address(home).hosts[0][1]
    listening = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = {fields[1].split(":")[0] for fields in listening if int(fields[1].split(":")[1], 16) == port}
    assert "0100007F" in ours
    assert "00000000" not in ours


def test_a_session_uses_the_server_that_runs(home: Path, server: EmbeddedClickHouse) -> None:
    with embedded_session(home, LIBRARY) as address:
        assert address == server.address()
    assert is_served(home)


def test_a_session_starts_its_own_and_ends_it(home: Path) -> None:
    with embedded_session(home, LIBRARY):
        assert is_served(home)
    assert not is_served(home)


def test_serve_takes_over_from_a_session(home: Path) -> None:
    made = EmbeddedClickHouse(home, find_engine(LIBRARY))
    with embedded_session(home, LIBRARY) as address:
        assert made.start() == address
        assert made.child_pid is None or published_address(home) == address
    wait(lambda: is_served(home))
    wait_until_ready(home)
    assert made.child_pid is not None
    assert made.restarts == 0
    made.stop()


PARENT = """
import sys, time
from pathlib import Path
from server.embedded import EmbeddedClickHouse, find_engine
made = EmbeddedClickHouse(Path(sys.argv[1]), find_engine(sys.argv[2]))
made.start()
print(made.child_pid, flush=True)
time.sleep(60)
"""


def test_it_ends_when_its_parent_is_killed(home: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(home), LIBRARY], stdout=subprocess.PIPE, cwd=CHECKOUT
    ) as parent:
        assert parent.stdout is not None
        assert int(parent.stdout.readline()) > 0
        assert is_served(home)
        parent.kill()
    wait(lambda: not is_served(home))


def test_an_engine_that_does_not_start_is_said(home: Path, tmp_path: Path) -> None:
    broken = tmp_path / "libchdb.so"
    broken.write_bytes(b"not a library")
    made = EmbeddedClickHouse(home, Engine("library", broken))
    with pytest.raises(EmbeddedUnavailable, match=r"did not start within 0\.5 s, see .*clickhouse\.log"):
        made.start(timeout_s=0.5)
    assert "cannot load" in (home / "clickhouse.log").read_text()


def test_a_named_library_must_exist() -> None:
    with pytest.raises(EmbeddedUnavailable, match="chdb_library is '/nowhere', allowed: the path of an existing"):
        find_engine("/nowhere")


def fake_clickhouse(folder: Path, version: str, body: str = "") -> None:
    folder.mkdir(exist_ok=True)
    program = folder / "clickhouse"
    program.write_text(
        f"#!/bin/sh\nif [ \"$1\" = local ]; then echo 'ClickHouse local version {version}.'; exit; fi\n{body}\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize(("version", "kind"), [("26.7.1.1", "binary"), ("25.3.0.1", "binary"), ("18.16.1", "library")])
def test_clickhouse_on_path_is_used_when_recent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, kind: str
) -> None:
    fake_clickhouse(tmp_path / "bin", version)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    library = tmp_path / "node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"
    library.parent.mkdir(parents=True)
    library.touch()
    monkeypatch.chdir(tmp_path)
    assert find_engine().kind == kind


def test_a_binary_is_started_with_our_config_and_ended_in_order(home: Path, tmp_path: Path) -> None:
    """No `clickhouse` program can be had here, so its part is played by one that listens on the configured port."""
    fake_clickhouse(
        tmp_path / "bin",
        "26.7.1.1",
        f'echo "$@" > {tmp_path}/arguments\n'
        f'exec {sys.executable} -c "\n'
        "import re, signal, socket, sys\n"
        f"text = open('{home}/config.xml').read()\n"
        "port = int(re.search(r'<tcp_port>(\\d+)<', text)[1])\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (open('{tmp_path}/ended', 'w').write('x'), sys.exit(0)))\n"
        "listener = socket.create_server(('127.0.0.1', port))\n"
        "while True: listener.accept()\n"
        '"',
    )
    made = EmbeddedClickHouse(home, Engine("binary", tmp_path / "bin" / "clickhouse"))
    made.start()
    assert (tmp_path / "arguments").read_text().strip() == f"server --config-file={home}/config.xml"
    made.stop()
    assert (tmp_path / "ended").exists()
    assert not is_served(home)
