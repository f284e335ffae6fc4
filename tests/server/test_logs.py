"""Logs are one JSON object per line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from server.logs import start_logging


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    names = ("tornado.general", "tornado.access", "alembic")
    levels = {name: logging.getLogger(name).level for name in names}
    stream = io.StringIO()
    start_logging("info", stream)
    yield stream
    root.handlers[:], root.level = handlers, level
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def test_a_line_carries_its_extras(lines: io.StringIO) -> None:
    logging.getLogger("server.test").info("done %d", 3, extra={"rows": 7, "path": object()})
    line = json.loads(lines.getvalue())
    assert (line["level"], line["logger"], line["message"], line["rows"]) == ("info", "server.test", "done 3", 7)
    assert line["time"].endswith("Z")


def test_an_exception_is_one_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logging.getLogger("server.test").exception("it failed")
    (text,) = lines.getvalue().splitlines()
    assert json.loads(text)["error"] == "ValueError"
    assert "test_logs.py" in json.loads(text)["trace"]


def test_what_would_name_addresses_is_silent(lines: io.StringIO) -> None:
    logging.getLogger("tornado.general").warning("Malformed HTTP message from 192.0.2.1")
    logging.getLogger("tornado.access").warning("404 GET /x?token=1 (192.0.2.1)")
    logging.getLogger("server.test").debug("too fine")
    assert lines.getvalue() == ""
