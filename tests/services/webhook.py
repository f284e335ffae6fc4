"""A real HTTP receiver of webhooks on a free loopback port: it records what came, and answers as a test says."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as it came; `document` is its body as JSON."""

    method: str
    path: str
    headers: dict[str, str]
    document: Any


@dataclass
class WebhookReceiver:
    """What came, and what the next answers are: statuses, or a status with headers. Afterwards 200."""

    url: str = ""
    requests: list[ReceivedRequest] = field(default_factory=list)
    answers: deque[int | tuple[int, dict[str, str]] | None] = field(default_factory=deque)
    """None ends the connection without an answer."""


@contextlib.contextmanager
def running_webhook() -> Iterator[WebhookReceiver]:
    """A receiver that lives inside the `with`."""
    receiver = WebhookReceiver()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            document = json.loads(body) if body else None
            receiver.requests.append(ReceivedRequest(self.command, self.path, dict(self.headers), document))
            answer = receiver.answers.popleft() if receiver.answers else 200
            if answer is None:
                self.close_connection = True
                return
            status, headers = answer if isinstance(answer, tuple) else (answer, {})
            self.send_response(status)
            for name, value in {"Content-Length": "2", **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"ok")

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
