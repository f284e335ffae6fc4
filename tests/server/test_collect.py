"""How the collect process's settings reach the ingest core."""

from __future__ import annotations

import time
from pathlib import Path

from rust_ext import COMMIT, Collector
from server.collect import RULES_PATH, collector_settings
from server.config import Settings, load_settings
from tests.server.front_host import BROWSER, snapshot_json

BODY = b'{"n":"pageview","u":"http://localhost/","d":"localhost"}'


def answers(folder: Path, settings: Settings, request: bytes) -> bytes:
    """What the core answers to one request from this machine."""
    collector = Collector(
        rules_path=str(RULES_PATH), spool_folder=str(folder / "spool"), settings=collector_settings(settings)
    )
    collector.apply_snapshot(snapshot_json())
    written: list[bytes] = []
    connection = collector.connection("127.0.0.1", 1, written.append, lambda mask: None)
    if connection.feed(request) & COMMIT:
        collector.commit()
    deadline = time.monotonic() + 5
    while not written and time.monotonic() < deadline:
        collector.complete()
        time.sleep(0.005)
    collector.close()
    return b"".join(written)


def post(path: str, more: str = "") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nUser-Agent: {BROWSER}\r\n{more}Content-Length: {len(BODY)}\r\n\r\n"
    return head.encode() + BODY


def test_an_alias_takes_hits(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, endpoint_aliases="/px/e=/api/event, /px/i.gif=/hit.gif")
    answer = answers(tmp_path, settings, post("/px/e"))
    assert answer.startswith(b"HTTP/1.1 202")
    assert b"X-Footfall-Dropped" not in answer


def test_a_trusted_proxys_header_names_the_client(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, trusted_proxies="127.0.0.0/8", forwarded_header="CF-Connecting-IP")
    more = "X-Debug-Request: true\r\nCF-Connecting-IP: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.1\r\n"
    answer = answers(tmp_path, settings, post("/api/event", more))
    assert b"203.0.113.9" in answer
    assert b"198.51.100.1" not in answer


def test_nobody_is_trusted_when_asked_so(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, trusted_proxies="none")
    more = "X-Debug-Request: true\r\nX-Forwarded-For: 198.51.100.1\r\n"
    answer = answers(tmp_path, settings, post("/api/event", more))
    assert b"127.0.0.1" in answer
    assert b"198.51.100.1" not in answer


def test_a_proxy_line_names_the_client(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, trusted_proxies="127.0.0.1", proxy_protocol=True)
    request = b"PROXY TCP4 203.0.113.9 127.0.0.1 4711 80\r\n" + post("/api/event", "X-Debug-Request: true\r\n")
    assert b"203.0.113.9" in answers(tmp_path, settings, request)
