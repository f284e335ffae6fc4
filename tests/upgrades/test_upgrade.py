"""A data folder of the previous release is taken over as it is: schema, sites, keys, saved snapshot, spool. And while a
fleet is upgraded, this version works beside the next one, which has migrated already.

`previous.tar.xz` was made by `make_previous.py`. Its segments are of the format that came before this release's, or of
the same: either must be read.
"""

from __future__ import annotations

import http.client
import json
import sqlite3
import struct
import tarfile
import time
from pathlib import Path

from server.app_database import newest_migration
from server.clickhouse_tcp import BlockConnection
from server.embedded import home_folder, published_address
from tests.reference.crc32c import crc32c
from tests.services.footfall import FootfallServer, running_footfall
from tests.services.waiting import wait_until
from tests.upgrades.make_previous import SPOOLED, STORED, send

FUTURE = "29991231_future"
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


def test_the_previous_release_s_data_is_taken_over_and_the_next_one_s_schema_used(tmp_path: Path) -> None:
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
        assert sql(data_dir, "SELECT version_num FROM alembic_version") == [(newest_migration(),)]
        migrate_as_the_next_version(data_dir)
    with running_footfall(data_dir, first_site_domain="localhost", worker_threads="0") as server:
        send(server.port, STORED + SPOOLED + 10, 10)
        wait_until(lambda: ask(server, "/api/count?site=localhost")["events"] == STORED + SPOOLED + 20)
        assert "a newer version has migrated the app database" in server.log_path.read_text()
    assert sql(data_dir, "SELECT version_num FROM alembic_version") == [(FUTURE,)]


def migrate_as_the_next_version(data_dir: Path) -> None:
    """What a migration may do that runs beside us: add."""
    connection = BlockConnection(published_address(home_folder(data_dir)))
    connection.command("ALTER TABLE events ADD COLUMN added_later UInt8")
    connection.command("ALTER TABLE ledger ADD COLUMN added_later UInt8")
    connection.select("INSERT INTO schema_migrations (name, checksum) SELECT %(name)s, 'x'", {"name": FUTURE})
    connection.close()
    sql(data_dir, "ALTER TABLE sites ADD COLUMN added_later INTEGER DEFAULT 0 NOT NULL")
    sql(data_dir, "CREATE TABLE added_later (id INTEGER PRIMARY KEY)")
    sql(data_dir, f"UPDATE alembic_version SET version_num = '{FUTURE}'")


def sql(data_dir: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(data_dir / "footfall.sqlite", timeout=20)
    try:
        with connection:
            return connection.execute(statement).fetchall()
    finally:
        connection.close()
