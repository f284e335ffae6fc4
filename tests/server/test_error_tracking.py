"""Errors reach Sentry without anything about a person: a handler fails, and a receiver on loopback keeps what comes."""

from __future__ import annotations

import gzip
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.config import load_settings
from server.error_tracking import scrub, start_error_tracking

CHECKOUT = Path(__file__).resolve().parents[2]

# Runs in a process of its own: Sentry's library patches Tornado for good.
PROGRAM = """
import asyncio, logging, sys, urllib.error, urllib.request
import sentry_sdk
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler
from server.config import load_settings
from server.error_tracking import start_error_tracking
from server.app_database import open_app_database, writing
from sqlalchemy import text

settings = load_settings(sentry_dsn=sys.argv[1], data_dir=sys.argv[2], sentry_traces_sample_rate=1.0)
assert start_error_tracking(settings, "test")
engine = open_app_database(settings)

class Fails(RequestHandler):
    def post(self):
        secret_local = "hunter2"
        with writing(engine) as session:
            session.execute(text("SELECT :mail"), {"mail": "ann@example.com"})
        raise RuntimeError("it broke\\nDETAIL:  Key (email)=(ann@example.com) already exists.")

    def log_exception(self, typ, value, tb):
        logging.getLogger("server.handler").error("a handler failed", exc_info=(typ, value, tb))

async def live():
    server = HTTPServer(Application([("/shop", Fails)]))
    server.listen(0, "127.0.0.1")
    port = next(iter(server._sockets.values())).getsockname()[1]
    def ask():
        request = urllib.request.Request(f"http://127.0.0.1:{port}/shop?token=hunter2", data=b"password=hunter2",
            headers={"Cookie": "footfall_session=hunter2", "X-Forwarded-For": "203.0.113.77", "User-Agent": "hunter2"})
        try:
            urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            error.close()
    await asyncio.to_thread(ask)
    server.stop()

asyncio.run(live())
sentry_sdk.flush(10)
engine.dispose()
"""


class Receiver(http.server.BaseHTTPRequestHandler):
    envelopes: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.envelopes.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: test output stays readable."""


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[bytes]]]:
    """A DSN and what arrives there."""
    Receiver.envelopes = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://publickey@127.0.0.1:{server.server_address[1]}/1", Receiver.envelopes
        server.shutdown()
        thread.join()


def items(envelopes: list[bytes]) -> list[dict[str, Any]]:
    """The events and transactions in what arrived: after the envelope's header, pairs of item header and content."""
    found = []
    for envelope in envelopes:
        lines = envelope.split(b"\n")
        for head, content in zip(lines[1::2], lines[2::2], strict=False):
            if head and json.loads(head).get("type") in ("event", "transaction"):
                found.append(json.loads(content))
    return found


def test_a_failure_arrives_with_its_place_and_nothing_else(receiver: tuple[str, list[bytes]], tmp_path: Path) -> None:
    dsn, envelopes = receiver
    program = [sys.executable, "-c", PROGRAM, dsn, str(tmp_path)]
    done = subprocess.run(program, cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    everything = b"\n".join(envelopes)
    for secret in (b"hunter2", b"ann@example.com", b"203.0.113.77", b"token=", b"127.0.0.1:"):
        assert secret not in everything, secret
    events = [item for item in items(envelopes) if "exception" in item]
    (event,) = events
    assert event["exception"]["values"][0]["value"] == "it broke"
    assert event["exception"]["values"][0]["stacktrace"]["frames"][-1]["function"] == "post"
    assert event["request"] == {"method": "POST", "url": "/shop"}
    assert event["tags"] == {"process": "test"}
    assert "user" not in event
    (transaction,) = [item for item in items(envelopes) if item.get("type") == "transaction"]
    assert "SELECT ?" in [span.get("description") for span in transaction["spans"]]


def test_without_a_dsn_nothing_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys; from server.config import load_settings; from server.error_tracking import start_error_tracking; "
        "sys.exit(start_error_tracking(load_settings(), 'test') or 'sentry_sdk' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=CHECKOUT, timeout=60, check=False).returncode == 0
    assert not start_error_tracking(load_settings(data_dir=tmp_path), "test")


def test_an_event_of_any_shape_is_cut_down() -> None:
    event: Any = {
        "event_id": "1",
        "user": {"ip_address": "203.0.113.77"},
        "request": {"url": "https://a.example/b?c=d", "cookies": {"x": "y"}, "headers": {"Cookie": "z"}},
        "breadcrumbs": {"values": [{"message": "secret"}]},
        "contexts": {"trace": {"trace_id": "t", "data": {"url": "secret"}}, "device": {"name": "secret"}},
        "exception": {"values": [{"type": "E", "value": None}]},
        "server_name": "secret",
    }
    kept: Any = scrub(event)
    assert "secret" not in str(kept)
    assert kept["request"] == {"method": "", "url": "/b"}
    assert kept["contexts"] == {"trace": {"trace_id": "t"}}
    assert scrub({}) == {"request": {"method": "", "url": ""}, "contexts": {}, "spans": []}
