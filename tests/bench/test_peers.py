"""The suite of peers counts rightly: requests in each form, what is stored, what is lost. Its figures need a quiet
machine.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from bench.harness import Run, choose_cpus
from bench.peers import killing
from bench.peers.answering import Granian, GranianRsgi, Uvicorn
from bench.peers.batching import GranianBatching
from bench.peers.clickhouse_bulk import ClickHouseBulk
from bench.peers.clickhouse_inserts import AsyncInsert, BufferTable, InsertEach
from bench.peers.clickhouse_store import ClickHouseStore
from bench.peers.go_programs import GoProgram
from bench.peers.goatcounter import GoatCounter
from bench.peers.hit_application import asgi
from bench.peers.killing import Loss, loss_when_killed
from bench.peers.peer import AbsentError, Peer, ProcessPeer
from bench.peers.umami import Umami
from bench.suites import peers
from bench.suites.peers import Course, Round, Scripts, comparisons, loss_line, measure_round, verify
from bench.traffic import HitKind, TrafficMix, generate_hits
from bench.wrk import LoadError
from tests.services import program

HITS = list(generate_hits(50, seed=3, mix=TrafficMix(bot_share=0.0)))
QUICK = Run(cpus=choose_cpus(), rounds=1, quick=True)


class FileServer(ProcessPeer):
    """A peer of the test's own: its store is a file."""

    name = "file_server"
    form = "a test's"

    def __init__(self, folder: Path, mode: str) -> None:
        super().__init__(folder)
        self.mode = mode
        self.file = folder / "paths"
        self.patience_s = 0.3

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.bench.forgetful_server", str(self.port), str(self.file), self.mode]

    def stored_paths(self) -> list[str]:
        return self.file.read_text().split()

    def stored(self) -> int:
        return len(self.stored_paths())


def lost_by(folder: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> Loss:
    monkeypatch.setattr(killing, "CLIENTS", 4)
    peer = FileServer(folder, mode)
    peer.start()
    try:
        return loss_when_killed(peer, "example.com", seconds=0.4)
    finally:
        peer.stop()


def test_a_peer_that_writes_before_it_answers_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = lost_by(tmp_path, "honest", monkeypatch)
    assert loss.answered > 0
    assert (loss.lost, loss.doubled, loss.refused) == (0, 0, 0)


def test_a_peer_that_loses_hits_is_seen_as_losing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loss = lost_by(tmp_path, "forgetful", monkeypatch)
    assert loss.answered > 20
    # Up to four hits were under way when it was killed, and may be stored without an answer.
    assert abs(loss.lost - loss.answered / 10) <= 5
    assert abs(loss.doubled - loss.answered / 10) <= 5
    assert loss.lost > 0
    assert loss.doubled > 0


def test_peers_without_a_store_answer_the_same_hits(tmp_path: Path) -> None:
    scripts = Scripts(tmp_path, HITS)
    for peer in (Uvicorn(tmp_path), Granian(tmp_path), GranianRsgi(tmp_path)):
        peer.start()
        try:
            measured = measure_round(QUICK, Course(peer, scripts.script(peer)), program("wrk"))
        finally:
            peer.stop()
        assert measured.answered > 0
        assert measured.stored is None
        assert measured.server_cpu_s > 0
        assert measured.store_cpu_s == 0
    assert len(list(tmp_path.glob("requests-*"))) == 1, "the same form is written once"


def test_every_hit_that_clickhouse_takes_is_a_row(tmp_path: Path) -> None:
    store = ClickHouseStore(tmp_path / "clickhouse")
    store.start()
    try:
        paths = {"/probe"} | {"/" + hit.url.split("/", 3)[3].split("?")[0] for hit in HITS}
        scripts = Scripts(tmp_path, HITS)
        for peer in (
            InsertEach(tmp_path, store),
            BufferTable(tmp_path, store),
            AsyncInsert(tmp_path, store),
            GranianBatching(tmp_path, store),
        ):
            try:
                peer.start()
            except AbsentError:
                # libchdb has no queue for asynchronous inserts.
                if not isinstance(peer, AsyncInsert):
                    raise
                continue
            try:
                before = peer.stored()
                course = Course(peer, scripts.script(peer))
                measured = measure_round(QUICK, course, program("wrk"))
            finally:
                peer.stop()
            assert peer.stored() - before == measured.stored
            course.rounds.append(measured)
            verify(course)
            assert set(peer.stored_paths()) <= paths
    finally:
        store.kill()


def test_what_the_application_does_not_know_is_no_hit() -> None:
    assert answer_of(b'{"n": "pageview", "u": "https://example.com/"}') == 202
    assert answer_of(b'{"n": "pageview"}') == 400
    assert answer_of(b"no JSON") == 400
    assert answer_of(b"[]") == 400


def answer_of(body: bytes) -> int:
    """The status for a body that comes in two messages."""
    incoming = [{"body": body[:3], "more_body": True}, {"body": body[3:], "more_body": False}]
    outgoing: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return incoming.pop(0)

    async def send(message: dict[str, Any]) -> None:
        outgoing.append(message)

    asyncio.run(asgi({"type": "http"}, receive, send))
    status: int = outgoing[0]["status"]
    return status


def test_a_row_holds_the_hit_with_its_address_and_agent() -> None:
    store = ClickHouseStore(Path("unused"))
    request = InsertEach(Path("unused"), store).request(HITS[0])
    head, _, body = request.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert b"INSERT+INTO+insert_each+FORMAT+JSONEachRow" in head
    row = orjson.loads(body)
    assert (row["u"], row["address"], row["agent"]) == (HITS[0].url, HITS[0].address, HITS[0].agent.text)
    assert b"wait_for_async_insert=1" in AsyncInsert(Path("unused"), store).request(HITS[0])


class Named(Peer):
    """Neither started nor sent anything."""

    form = "a test's"

    def __init__(self, name: str, *, stores: bool) -> None:
        super().__init__(Path("unused"))
        self.name = name
        self.stores = stores

    def start(self) -> None:
        raise AbsentError("a test")

    def kill(self) -> None:
        pass

    @property
    def server_pids(self) -> list[int]:
        return []


def course(name: str, *, stored: int | None, cpu_s: float) -> Course:
    made = Course(Named(name, stores=stored is not None), Path("unused"))
    made.rounds = [Round(1000, stored, cpu_s, cpu_s, 1.0, 0.1)]
    return made


def test_whoever_stores_is_compared_with_rows_and_who_does_not_with_segments() -> None:
    sealed, stored = course("sealed", stored=1000, cpu_s=0.01), course("stored", stored=1000, cpu_s=0.02)
    others = [course("nginx", stored=None, cpu_s=0.005), course("buffer_table", stored=900, cpu_s=2)]
    absent = {"goat": "there is no Go toolchain here"}
    lines = {line.name: line for line in comparisons(QUICK, sealed, stored, others, absent)}
    assert lines["peers_nginx"].ratio == pytest.approx(0.5)
    assert lines["peers_nginx"].kept is False
    assert lines["peers_buffer_table"].ratio == pytest.approx(100)
    assert lines["peers_buffer_table"].kept
    assert lines["peers_goat"].as_json()["absent"] == "there is no Go toolchain here"
    assert lines["peers_goat"].kept is None


def test_ours_that_lost_one_hit_is_no_result() -> None:
    with pytest.raises(AssertionError):
        verify(course("stored", stored=999, cpu_s=1))
    whole, one_lost, one_doubled = Loss(100, 100, 0, 0, 0), Loss(100, 99, 1, 0, 0), Loss(100, 100, 0, 1, 0)
    assert loss_line(QUICK, "stored", whole).kept
    assert loss_line(QUICK, "stored", one_lost).kept is False
    assert loss_line(QUICK, "stored", one_doubled).kept is False


def test_what_a_peer_lost_stands_beside_ours() -> None:
    line = loss_line(QUICK, "buffer_table", Loss(100, 100, 0, 0, 0), Loss(100, 93, 7, 0, 0))
    assert (line.ours, line.theirs, line.kept) == (0, 7, None)


def test_every_peer_has_a_factor(tmp_path: Path) -> None:
    names = {peer.name for peer in peers.candidates(tmp_path, ClickHouseStore(tmp_path))}
    assert names == peers.AT_LEAST.keys()


FAKE_GO = """#!/bin/sh
echo "$@" >> "{calls}"
{action}
"""


def fake_go(folder: Path, monkeypatch: pytest.MonkeyPatch, action: str) -> Path:
    """A `go` that is first on PATH; the file that its arguments are written to."""
    (folder / "path").mkdir()
    go, calls = folder / "path" / "go", folder / "calls"
    go.write_text(FAKE_GO.format(calls=calls, action=action))
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{go.parent}:{os.environ['PATH']}")
    return calls


def test_a_module_that_go_refuses_is_absent_with_its_words_and_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = fake_go(tmp_path, monkeypatch, "echo 'not available' >&2; exit 1")
    program = GoProgram("goat", "example.com/goat", "v1.2.3")
    for _ in range(2):
        with pytest.raises(AbsentError, match=r"go install example.com/goat@v1.2.3 failed: not available"):
            program.path(tmp_path / "bin")
    assert calls.read_text() == "install example.com/goat@v1.2.3\n"


def test_a_module_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = fake_go(tmp_path, monkeypatch, 'echo built > "$GOBIN/goat"')
    program = GoProgram("goat", "example.com/goat", "v1.2.3")
    for _ in range(2):
        assert program.path(tmp_path / "bin").read_text() == "built\n"
    assert len(calls.read_text().splitlines()) == 1


def test_without_go_its_peers_are_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AbsentError, match="no Go toolchain"):
        GoProgram("goat", "example.com/goat", "v1.2.3").path(tmp_path)
    with pytest.raises(AbsentError, match="libquery_engine"):
        Umami(tmp_path).start()


def test_goatcounter_is_sent_what_its_script_sends_and_counted_by_its_paths(tmp_path: Path) -> None:
    peer = GoatCounter(tmp_path)
    view = next(hit for hit in HITS if hit.kind is HitKind.PAGEVIEW)
    vitals = next(hit for hit in HITS if hit.kind is HitKind.VITALS)
    line, _, rest = peer.request(view).partition(b"\r\n")
    query = parse_qs(urlsplit(line.split()[1].decode()).query)
    assert query["p"] == [urlsplit(view.url).path]
    assert "e" not in query
    assert b"Content-Length: 0" in rest
    assert f"User-Agent: {view.agent.text}".encode() in rest
    assert b"p=vitals" in peer.request(vitals)
    assert b"e=true" in peer.request(vitals)
    with sqlite3.connect(peer.database) as connection:
        connection.execute("CREATE TABLE paths (path_id INTEGER, path TEXT)")
        connection.execute("CREATE TABLE hits (hit_id INTEGER, path_id INTEGER)")
        connection.execute("INSERT INTO paths VALUES (1, '/a'), (2, '/b')")
        connection.execute("INSERT INTO hits VALUES (1, 1), (2, 2), (3, 1)")
    connection.close()
    assert sorted(peer.stored_paths()) == ["/a", "/a", "/b"]
    assert peer.stored() == 3


def test_clickhouse_bulk_passes_on_to_the_store_of_the_run(tmp_path: Path) -> None:
    store = ClickHouseStore(tmp_path)
    peer = ClickHouseBulk(tmp_path, store)
    assert peer.configuration()["clickhouse"] == {
        "down_timeout": 60,
        "connect_timeout": 10,
        "servers": [f"http://127.0.0.1:{store.http_port}"],
    }
    assert b"INSERT+INTO+clickhouse_bulk+FORMAT+JSONEachRow" in peer.request(HITS[0])


def test_a_peer_that_fails_under_load_is_named_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = course("good", stored=None, cpu_s=1), course("bad", stored=None, cpu_s=1)
    asked: list[str] = []

    def measure(run: Run, one: Course, wrk: Path) -> Round:
        asked.append(one.peer.name)
        if one is bad:
            raise LoadError("some requests failed")
        return Round(1, None, 1.0, 0.0, 1.0, 0.0)

    monkeypatch.setattr(peers, "measure_round", measure)
    run = Run(cpus=choose_cpus(), rounds=2)
    assert peers.interleave(run, [good, bad], tmp_path) == {"bad": "some requests failed"}
    assert asked == ["bad", "good", "good", "good"]
    assert len(good.rounds) == 3, "one that was there, and two after the warming one"
