"""The front with the real collector, over real sockets: hits, the application's requests, what clients do wrong."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders, ResponseStartLine
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler, stream_request_body

from server.front import FrontConnection
from tests.server.front_host import HostedFront, Reader, hit, hosted_front

EVENTS: list[str] = []


class Plain(RequestHandler):
    """Echoes."""

    def get(self) -> None:
        self.write(f"hello {self.get_query_argument('name', 'you')} {self.request.remote_ip} {self.request.protocol}")

    def head(self) -> None:
        self.set_header("Content-Length", "5")

    def post(self) -> None:
        self.write(self.request.body)


class Slow(RequestHandler):
    """Answers later, or never when the client goes away first."""

    async def get(self) -> None:
        EVENTS.append("started")
        await asyncio.sleep(float(self.get_query_argument("s", "0.1")))
        self.write("late")

    def on_connection_close(self) -> None:
        EVENTS.append("closed")


class Chunked(RequestHandler):
    """Streams its answer, waiting for the client to read."""

    async def get(self) -> None:
        for _ in range(int(self.get_query_argument("n", "3"))):
            self.write(b"x" * int(self.get_query_argument("size", "5")))
            try:
                await self.flush()
            except StreamClosedError:
                EVENTS.append("stream closed")
                return


@stream_request_body
class Upload(RequestHandler):
    """Takes its body slowly, piece by piece."""

    def prepare(self) -> None:
        self.pieces = 0
        self.received = 0
        if self.request.headers.get("X-Limit"):
            self.request.connection.set_max_body_size(int(self.request.headers["X-Limit"]))  # type: ignore[union-attr]
        if self.request.headers.get("X-Refuse"):
            raise HTTPError(403)

    async def data_received(self, chunk: bytes) -> None:
        self.pieces += 1
        self.received += len(chunk)
        await asyncio.sleep(0.001)

    def put(self) -> None:
        self.write(f"{self.received}")

    def on_connection_close(self) -> None:
        EVENTS.append("upload closed")


class Broken(RequestHandler):
    """Fails in each way a handler can."""

    def get(self) -> None:
        match self.get_query_argument("how"):
            case "error":
                raise RuntimeError("secret detail")
            case "crlf":
                self.request.connection.write_headers(  # type: ignore[union-attr]
                    ResponseStartLine("HTTP/1.1", 200, "OK"), HTTPHeaders({"X": "a"}), b""
                )
            case "short":
                self.set_header("Content-Length", "10")
                self.write("short")


class Empty(RequestHandler):
    """No body at all."""

    def get(self) -> None:
        self.set_status(204)


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostedFront]:
    routes: list[Any] = [
        ("/plain", Plain),
        ("/slow", Slow),
        ("/chunked", Chunked),
        ("/upload", Upload),
        ("/broken", Broken),
        ("/empty", Empty),
    ]
    application = Application(routes, log_function=lambda handler: None)
    with hosted_front(tmp_path_factory.mktemp("front"), application) as hosted:
        yield hosted


@pytest.fixture(autouse=True)
def _no_events() -> None:
    EVENTS.clear()


def ask(front: HostedFront, request: bytes, answers: int = 1) -> list[tuple[int, bytes]]:
    with front.connect() as connection:
        connection.sendall(request)
        reader = Reader(connection)
        return [(answer.status, answer.body) for answer in (reader.answer() for _ in range(answers))]


def get(path: str, more: str = "", method: str = "GET", version: str = "1.1") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n{more}\r\n".encode()


def wait_for(event: str) -> None:
    deadline = time.monotonic() + 5
    while event not in EVENTS:
        assert time.monotonic() < deadline, f"{event!r} is not in {EVENTS}"
        time.sleep(0.01)


def test_a_get_is_answered_by_the_application(front: HostedFront) -> None:
    assert ask(front, get("/plain?name=x")) == [(200, b"hello x 127.0.0.1 http")]


def test_a_hit_is_answered_after_its_record_is_in_the_spool(front: HostedFront) -> None:
    before = front.call(front.collector.stats)["records_written"]
    assert ask(front, hit()) == [(202, b"ok")]
    assert front.call(front.collector.stats)["records_written"] == before + 1


def test_hits_and_requests_are_answered_in_the_order_sent(front: HostedFront) -> None:
    post = b"POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
    pipelined = hit() + get("/plain") + hit() + hit() + get("/slow?s=0.05") + hit() + post + hit()
    answers = ask(front, pipelined, 8)
    assert [status for status, _ in answers] == [202, 200, 202, 202, 200, 202, 200, 202]
    assert [body for _, body in answers][4::2] == [b"late", b"body"]


def test_every_split_of_a_mixed_pipeline_gives_the_same_answers(front: HostedFront) -> None:
    request = (
        hit() + b"POST /plain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + hit()
    )
    for cut in range(1, len(request), 7):
        with front.connect() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(request[:cut])
            time.sleep(0.001)
            connection.sendall(request[cut:])
            reader = Reader(connection)
            assert [reader.answer().body for _ in range(3)] == [b"ok", b"abc", b"ok"], cut


def test_a_thousand_pipelined_requests_are_all_answered(front: HostedFront) -> None:
    answers = ask(front, get("/plain") * 300 + hit() * 1000 + get("/plain"), 1301)
    assert [status for status, _ in answers] == [200] * 300 + [202] * 1000 + [200]


def test_head_has_headers_and_no_body(front: HostedFront) -> None:
    with front.connect() as connection:
        connection.sendall(get("/plain", method="HEAD") + get("/plain?name=next"))
        reader = Reader(connection)
        assert reader.answer(head_only=True).headers["content-length"] == "5"
        assert reader.answer().body.startswith(b"hello next")


def test_204_has_neither_length_nor_chunks(front: HostedFront) -> None:
    with front.connect() as connection:
        connection.sendall(get("/empty") + get("/plain"))
        reader = Reader(connection)
        answer = reader.answer()
        assert answer.status == 204
        assert "transfer-encoding" not in answer.headers
        assert reader.answer().status == 200


@pytest.mark.parametrize(
    ("version", "more", "expected", "stays"),
    [
        ("1.1", "", None, True),
        ("1.1", "Connection: close\r\n", "close", False),
        ("1.0", "", "close", False),
        ("1.0", "Connection: keep-alive\r\n", "Keep-Alive", True),
    ],
)
def test_persistence_follows_version_and_header(
    front: HostedFront, version: str, more: str, expected: str | None, stays: bool
) -> None:
    with front.connect() as connection:
        connection.sendall(get("/plain", more, version=version))
        reader = Reader(connection)
        assert reader.answer().headers.get("connection") == expected
        if stays:
            connection.sendall(get("/plain"))
            assert reader.answer().status == 200
        else:
            assert reader.rest() == b""


def test_a_streamed_answer_is_chunked_for_1_1_and_closed_for_1_0(front: HostedFront) -> None:
    with front.connect() as connection:
        connection.sendall(get("/chunked"))
        answer = Reader(connection).answer()
        assert (answer.headers["transfer-encoding"], answer.body) == ("chunked", b"x" * 15)
    with front.connect() as connection:
        connection.sendall(get("/chunked", version="1.0"))
        answer = Reader(connection).answer()
        assert (answer.headers.get("transfer-encoding"), answer.body) == (None, b"x" * 15)


def test_a_streamed_body_waits_for_the_handler_and_arrives_whole(front: HostedFront) -> None:
    body = b"u" * 3_000_000
    head = f"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    assert ask(front, head + body + hit(), 2) == [(200, b"3000000"), (202, b"ok")]


def test_100_continue_comes_before_the_body(front: HostedFront) -> None:
    with front.connect() as connection:
        connection.sendall(b"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        reader = Reader(connection)
        assert reader.answer().status == 100
        connection.sendall(b"abc")
        assert reader.answer().body == b"3"


def test_an_application_that_refuses_early_closes(front: HostedFront) -> None:
    with front.connect() as connection:
        connection.sendall(b"PUT /upload HTTP/1.1\r\nHost: a\r\nX-Refuse: 1\r\nContent-Length: 900000\r\n\r\nabc")
        reader = Reader(connection)
        answer = reader.answer()
        assert (answer.status, answer.headers["connection"]) == (403, "close")
        assert reader.rest() == b""


@pytest.mark.parametrize("framing", ["Content-Length: 100\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n40\r\n"])
def test_a_handlers_own_body_limit_answers_413(front: HostedFront, framing: str) -> None:
    request = f"PUT /upload HTTP/1.1\r\nHost: a\r\nX-Limit: 50\r\n{framing}{'x' * 64}\r\n"
    assert ask(front, request.encode()) == [(413, b"")]


def test_a_body_over_the_fronts_limit_answers_413(front: HostedFront) -> None:
    assert ask(front, b"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")[0][0] == 413


def test_malformed_chunks_answer_400_and_tell_the_handler(front: HostedFront) -> None:
    answers = ask(front, b"PUT /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXX")
    assert answers[0][0] == 400
    wait_for("upload closed")


def test_a_client_that_leaves_while_it_waits_is_noticed(front: HostedFront) -> None:
    with front.connect() as connection:
        connection.sendall(get("/slow?s=0.3"))
        wait_for("started")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    wait_for("closed")


def test_a_client_that_leaves_inside_its_body_is_noticed(front: HostedFront) -> None:
    with front.connect() as connection:
        connection.sendall(b"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        time.sleep(0.05)
    wait_for("upload closed")


def test_a_client_that_only_sends_still_gets_its_answers(front: HostedFront) -> None:
    with front.connect() as connection:
        connection.sendall(hit() + get("/slow?s=0.05"))
        connection.shutdown(socket.SHUT_WR)
        reader = Reader(connection)
        assert [reader.answer().status for _ in range(2)] == [202, 200]
        assert reader.rest() == b""


def test_a_client_that_reads_nothing_stops_the_writer_not_the_front(front: HostedFront) -> None:
    with front.connect() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(get("/chunked?n=400&size=100000"))
        time.sleep(0.2)
        assert ask(front, hit()) == [(202, b"ok")]
    wait_for("stream closed")


def test_a_client_that_reads_late_gets_every_byte(front: HostedFront) -> None:
    with front.connect() as late:
        late.sendall(get("/chunked?n=200&size=100000"))
        time.sleep(0.2)
        assert len(Reader(late).answer().body) == 20_000_000


def test_a_client_that_reads_nothing_for_long_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.front.WRITE_STALL_S", 1.0)
    monkeypatch.setattr("server.front.LONGEST_CHECK_S", 0.2)
    application = Application([("/chunked", Chunked)], log_function=lambda handler: None)
    with hosted_front(tmp_path, application) as front, front.connect() as stalled:
        stalled.sendall(get("/chunked?n=1000&size=100000"))
        wait_for("stream closed")
        with pytest.raises(AssertionError, match="the connection ended"):
            Reader(stalled).answer()


def test_a_last_answer_may_be_read_slowly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than the connection lingers: what it must read is more than sockets hold."""
    monkeypatch.setattr("server.front.LONGEST_CHECK_S", 0.2)
    application = Application([("/chunked", Chunked)], log_function=lambda handler: None)
    with hosted_front(tmp_path, application, limits={"linger_ms": 100}) as front, front.connect() as slow:
        slow.sendall(get("/chunked?n=80&size=100000", "Connection: close\r\n"))
        time.sleep(2.5)
        assert len(Reader(slow).answer().body) == 8_000_000


def test_pipelined_hits_whose_answers_are_read_late_are_all_answered(front: HostedFront) -> None:
    count = 20_000
    with front.connect() as connection:
        sender = threading.Thread(target=connection.sendall, args=(hit() * count,))
        sender.start()
        time.sleep(0.3)
        reader = Reader(connection)
        assert all(reader.answer().status == 202 for _ in range(count))
        sender.join(10)


def test_a_failing_handler_answers_500_without_its_detail(front: HostedFront, caplog: pytest.LogCaptureFixture) -> None:
    status, body = ask(front, get("/broken?how=error"))[0]
    assert status == 500
    assert b"secret" not in body
    assert b"Traceback" not in body


def test_an_answer_shorter_than_its_length_closes(front: HostedFront, caplog: pytest.LogCaptureFixture) -> None:
    with front.connect() as connection:
        connection.sendall(get("/broken?how=short"))
        with pytest.raises(AssertionError, match="ended"):
            Reader(connection).answer()


def test_an_unknown_path_is_404_for_any_method(front: HostedFront) -> None:
    assert [status for status, _ in ask(front, get("/none") + get("/none", method="DELETE"), 2)] == [404, 404]


def test_without_a_snapshot_hits_are_503_and_can_be_repeated(tmp_path: Path) -> None:
    with hosted_front(tmp_path, Application(), with_snapshot=False) as front:
        with front.connect() as connection:
            connection.sendall(hit() + hit())
            reader = Reader(connection)
            answers = [reader.answer() for _ in range(2)]
        assert [answer.status for answer in answers] == [503, 503]
        assert answers[0].headers["retry-after"]


def test_slow_heads_and_idle_connections_meet_their_deadlines(tmp_path: Path) -> None:
    limits = {"head_deadline_ms": 300, "keep_alive_idle_ms": 300, "hit_body_deadline_ms": 300}
    with (
        hosted_front(tmp_path, Application(), limits=limits) as front,
        front.connect() as silent,
        front.connect() as head,
        front.connect() as body,
        front.connect() as idle,
    ):
        head.sendall(b"GET / HTTP/1.1\r\nHos")
        body.sendall(hit()[:-5])
        idle.sendall(hit())
        assert Reader(idle).answer().status == 202
        started_s = time.monotonic()
        assert b"408" in Reader(head).rest()
        assert b"408" in Reader(body).rest()
        assert Reader(idle).rest() == b""
        Reader(silent).rest()
        # A deadline is noticed at the latest when the wheel looks at the connection again.
        assert time.monotonic() - started_s < 10


def test_too_many_connections_are_refused_with_503(tmp_path: Path) -> None:
    with hosted_front(tmp_path, Application(), max_connections=3) as front:
        held = [front.connect() for _ in range(3)]
        try:
            for connection in held:
                connection.sendall(hit())
                assert Reader(connection).answer().status == 202
            with front.connect() as fourth:
                assert Reader(fourth).answer().status == 503
            held.pop().close()
            time.sleep(0.05)
            assert ask(front, hit()) == [(202, b"ok")]
        finally:
            for connection in held:
                connection.close()


@pytest.mark.slow
def test_two_thousand_idle_connections_while_hits_flow(tmp_path: Path) -> None:
    with hosted_front(tmp_path, Application()) as front:
        idle: list[socket.socket] = []
        try:
            while len(idle) < 2000:
                idle.append(front.connect())
            started_s = time.monotonic()
            taken = 0
            with front.connect() as busy:
                reader = Reader(busy)
                while time.monotonic() - started_s < 2:
                    busy.sendall(hit() * 50)
                    taken += sum(reader.answer().status == 202 for _ in range(50))
            assert taken >= 1000
            assert front.call(lambda: front.front.open_connections) >= 2000
            idle[0].sendall(hit())
            assert Reader(idle[0]).answer().status == 202
        finally:
            for connection in idle:
                connection.close()


def test_draining_loses_no_request(tmp_path: Path) -> None:
    """Busy keep-alive clients are told `Connection: close` with an answer; none sees a reset or an unanswered hit."""
    problems: list[str] = []
    closed: list[int] = []
    with hosted_front(tmp_path, Application()) as front:

        def client() -> None:
            with front.connect() as connection:
                reader = Reader(connection)
                for number in range(100_000):
                    connection.sendall(hit())
                    try:
                        answer = reader.answer()
                    except (AssertionError, OSError) as error:
                        problems.append(f"hit {number}: {error!r}")
                        return
                    if answer.headers.get("connection") == "close":
                        closed.append(number)
                        return

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        front.call(front.front.drain, 5.0)
        for thread in threads:
            thread.join(10)
        assert problems == []
        assert len(closed) == 8


def test_closed_connections_leave_nothing_behind(front: HostedFront) -> None:
    def left() -> int:
        for _ in range(50):
            ask(front, hit() + get("/plain"), 2)
        deadline = time.monotonic() + 5
        while front.call(lambda: front.front.open_connections):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        gc.collect()
        return sum(isinstance(thing, FrontConnection) for thing in gc.get_objects())

    left()
    before = left()
    assert left() <= before + 2
