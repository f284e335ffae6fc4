"""The nightly dump of a small installation, run by its own script against a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
from sqlalchemy import make_url

from server.app_database import open_app_database, writing
from server.config import Settings
from server.models import Salt
from tests.k8s.built import K8S
from tests.services import find_program

SCRIPT = K8S / "apps/footfall/overlays/single/postgresql/dump.sh"


def environment(settings: Settings, folder: Path) -> dict[str, str]:
    url = make_url(settings.app_database_url)
    programs = find_program("postgres")
    assert programs is not None
    host = url.host or str(url.query.get("host", "127.0.0.1"))
    return {
        **os.environ,
        "PATH": f"{programs.parent}:{programs.resolve().parent}:{os.environ['PATH']}",
        "PGHOST": host,
        "PGPORT": str(url.port or url.query.get("port", 5432)),
        "PGUSER": url.username or "postgres",
        "PGPASSWORD": str(url.password or ""),
        "PGDATABASE": url.database or "",
        "DUMP_FOLDER": str(folder),
    }


def test_a_dump_holds_the_rows_and_no_salts(postgresql_settings: Settings, tmp_path: Path) -> None:
    engine = open_app_database(postgresql_settings)
    with writing(engine) as session:
        session.add(Salt(date="2026-11-30", salt=bytes(16)))
    engine.dispose()
    folder = tmp_path / "dumps"
    folder.mkdir()
    old, killed = folder / "footfall-20260101T000000Z.dump", folder / ".footfall-20260101T000000Z.dump.part"
    for path in (old, killed):
        path.write_bytes(b"")
        os.utime(path, (time.time() - 20 * 86_400,) * 2)
    done = subprocess.run(
        ["sh", str(SCRIPT)],
        env=environment(postgresql_settings, folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (dump,) = folder.iterdir()
    assert dump.stat().st_mode & 0o077 == 0
    listed = subprocess.run(
        ["pg_restore", "--file=-", str(dump)],
        env=environment(postgresql_settings, folder),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "CREATE TABLE public.salts" in listed
    assert "COPY public.salts " not in listed
    assert "COPY public.alembic_version " in listed


def test_a_dump_that_fails_leaves_no_file(postgresql_settings: Settings, tmp_path: Path) -> None:
    wrong = {**environment(postgresql_settings, tmp_path), "PGDATABASE": "no_such_database"}
    done = subprocess.run(["sh", str(SCRIPT)], env=wrong, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert not list(tmp_path.glob("*.dump"))


@pytest.mark.parametrize("tool", ["pg_dump --format=custom --exclude-table-data=salts", "pg_restore --list"])
def test_the_script_says_what_it_leaves_out_and_checks_what_it_made(tool: str) -> None:
    assert tool in SCRIPT.read_text()
