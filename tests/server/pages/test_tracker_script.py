"""The tracker as it is sent: small, in the best encoding, kept by browsers, with the parts that each address names."""

from __future__ import annotations

import gzip
import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.config import load_settings
from server.pages.built_assets import NotBuilt
from server.pages.tracker_script import CORE, MODULE, MORE, PLAUSIBLE, TRACKER_DIR, accepted_encodings, script
from server.services import open_services
from server.snippet import snippet
from tests.server.pages.site_host import hosted

# Issue 4, from DESIGN section 8.
CORE_MAX_BYTES = 1_000
ALL_MAX_BYTES = 3_600

PATH = "/static/app.js"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, sqlite_to_copy: Path) -> Iterator[int]:
    """An application whose script has a name of its own."""
    from tests.services.app_databases import copy_sqlite

    data_dir = tmp_path_factory.mktemp("script") / "data"
    copy_sqlite(sqlite_to_copy, data_dir)
    services = open_services(load_settings(data_dir=data_dir, script_path=PATH))
    with hosted(services) as host:
        yield host.port
    services.close()


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, None, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    finally:
        connection.close()


def test_the_core_and_all_of_it_are_small() -> None:
    sizes = {name: len(gzip.compress((TRACKER_DIR / name).read_bytes(), 9)) for name in (CORE, MORE)}
    assert sizes[CORE] <= CORE_MAX_BYTES
    assert sum(sizes.values()) <= ALL_MAX_BYTES


@pytest.mark.parametrize(("query", "name"), [("", CORE), ("?v=3", CORE), ("?more", MORE), ("?v=3?more", MORE)])
def test_each_encoding_has_a_strong_tag_of_its_own(port: int, query: str, name: str) -> None:
    tags = set()
    for accepts, encoding in (("", None), ("gzip", "gzip"), ("gzip, deflate, br", "br"), ("br;q=0, gzip", "gzip")):
        status, body, headers = ask(port, PATH + query, Accept_Encoding=accepts)
        assert (status, headers.get("content-encoding")) == (200, encoding)
        assert headers["content-type"] == "text/javascript; charset=utf-8"
        assert headers["cache-control"] == "public, max-age=3600"
        assert headers["vary"] == "Accept-Encoding"
        assert headers["cross-origin-resource-policy"] == "cross-origin"
        assert "set-cookie" not in headers
        if encoding == "gzip":
            body = gzip.decompress(body)
        if encoding != "br":
            assert body == (TRACKER_DIR / name).read_bytes()
        tag = headers["etag"]
        assert tag.startswith('"')
        tags.add(tag)
        status, body, headers = ask(port, PATH + query, Accept_Encoding=accepts, If_None_Match=tag)
        assert (status, body, headers["etag"]) == (304, b"", tag)
    assert len(tags) == 3


def test_the_module_is_beside_the_script(port: int) -> None:
    status, body, _ = ask(port, PATH.replace(".js", ".mjs"), Accept_Encoding="identity")
    assert (status, body) == (200, (TRACKER_DIR / MODULE).read_bytes())
    assert ask(port, "/js/footfall.js")[0] == 404
    assert ask(port, PATH, "HEAD")[:2] == (200, b"")


def test_plausibles_names_lead_to_a_script_of_its_own(port: int) -> None:
    for path, name in (("/js/script.js", PLAUSIBLE), ("/js/script.hash.file-downloads.js", PLAUSIBLE)):
        assert ask(port, path)[1] == (TRACKER_DIR / name).read_bytes()
        assert ask(port, path + "?more")[1] == (TRACKER_DIR / MORE).read_bytes()
    assert ask(port, "/js/scripts.js")[0] == 404


def test_what_was_not_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotBuilt, match="make build"):
        script(CORE, tmp_path)


def test_weights_of_zero_refuse() -> None:
    assert accepted_encodings("br;q=0.0, gzip;q=0.5,deflate ; q=0") == {"gzip"}


def test_the_snippet_names_the_script_and_the_endpoint_of_this_installation() -> None:
    def line(**settings: str) -> str:
        return snippet(load_settings(**settings), "example.com")

    public = "https://count.example.net"
    assert line(public_url=public) == (
        f'<script defer data-domain="example.com" src="{public}/js/footfall.js"></script>'
    )
    aliased = line(public_url=public, script_path="/a.js", endpoint_aliases="/px/s=/api/send,/px/e=/api/event")
    assert aliased == f'<script defer data-domain="example.com" data-api="/px/e" src="{public}/a.js"></script>'
    assert " data-gpc " in snippet(load_settings(public_url=public), "example.com", respects_gpc=True)
    # Footfall on a laptop counts the laptop's own pages.
    assert " data-local " in line()
