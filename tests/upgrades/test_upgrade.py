"""A data folder of the previous release is taken over as it is: schema, sites, keys, saved snapshot, spool.

`previous.tar.xz` was made by `make_previous.py`. Its segments are of the format that came before this release's, or of
the same: either must be read.
"""

from __future__ import annotations

import http.client
import json
import struct
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

from server.app_database import newest_migration
from tests.reference.crc32c import crc32c
from tests.services.footfall import FootfallServer, running_footfall
from tests.upgrades.make_previous import SPOOLED, STORED, send

PREVIOUS = Path(__file__).with_name("previous.tar.xz")

# Of a segment's header: rust_ext/ingest/src/segment.rs, the same in every version.
CREATED_AT, CRC = 32, 60


def unpack(folder: Path) -> Path:
    """The folder, with segments as if they had been written just now: after a week nobody may send them again."""
    with tarfile.open(PREVIOUS) as archive:
        archive.extractall(folder, filter="data")
    data_dir = folder / "data"
    segments = [path for path in (data_dir / "spool").rglob("*") if path.suffix in (".open", ".seg")]
    assert {path.suffix for path in segments} == {".open", ".seg"}
    for path in segments:
        segment = bytearray(path.read_bytes())
        struct.pack_into("<q", segment, CREATED_AT, time.time_ns() // 1_000_000 - 60_000)
        struct.pack_into("<I", segment, CRC, crc32c(bytes(segment[:CRC])))
        path.write_bytes(segment)
    return data_dir


def ask(server: FootfallServer, path: str) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        key = (server.data_dir / "local_key").read_text().strip()
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        document: dict[str, object] = json.loads(body)
        return document
    finally:
        connection.close()


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen in time"
        time.sleep(0.1)


def test_a_data_folder_of_the_previous_release_is_taken_over(tmp_path: Path) -> None:
    data_dir = unpack(tmp_path)
    left = {path.name for path in (data_dir / "spool").iterdir()}
    with running_footfall(data_dir, first_site_domain="localhost", worker_threads="0") as server:
        wait_until(lambda: "ClickHouse is ready" in server.log_path.read_text())
        wait_until(lambda: ask(server, "/api/count?site=localhost")["events"] == STORED + SPOOLED)
        wait_until(lambda: not left & {path.name for path in (data_dir / "spool").iterdir()})
        send(server.port, STORED + SPOOLED, 10)
        wait_until(lambda: ask(server, "/api/count?site=localhost")["events"] == STORED + SPOOLED + 10)
        audited = server.command("audit")
        assert audited.returncode == 0, audited.stdout + audited.stderr
        assert "0 in quarantine" in audited.stdout
        checked = server.command("migrate", "--check")
        assert checked.stdout.strip() == "the schema is up to date", checked.stdout
    assert _revision(data_dir) == newest_migration()


def _revision(data_dir: Path) -> str:
    import sqlite3

    connection = sqlite3.connect(data_dir / "footfall.sqlite")
    try:
        ((revision,),) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return str(revision)
    finally:
        connection.close()
