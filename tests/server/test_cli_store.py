"""The store's commands, each on a fresh data folder with its own embedded server, as an operator runs them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from server.app_database import minimum_watermark, open_app_database, store_watermark
from server.cli_store import audit_command, count_command, migrate_command, spool_group
from server.config import load_settings
from server.data_folder import home_id
from server.embedded import EmbeddedClickHouse, find_engine, home_folder
from server.quarantine import Quarantine
from server.spool import take_folder
from tests.server.segments import write_segment
from tests.services.app_databases import copy_sqlite

LIBRARY = os.environ.get("FOOTFALL_CHDB_LIBRARY", "")


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOOTFALL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("FOOTFALL_CHDB_LIBRARY", LIBRARY)
    return tmp_path


def run(command: object, *arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments), catch_exceptions=False)  # type: ignore[arg-type]


def test_what_ended_processes_left_is_sent_counted_and_audited(data_dir: Path) -> None:
    write_segment(data_dir / "spool" / "a", 10, 4)
    broken = write_segment(data_dir / "spool" / "b", 5, 0)
    broken.path.write_bytes(b"x" * 13 + broken.path.read_bytes()[13:])

    before = run(spool_group, "inspect")
    assert "14 records" in before.output
    drained = run(spool_group, "replay")
    assert "1 segments with 14 records stored, 0 left" in drained.output
    assert drained.exit_code == 1, "one is in quarantine"
    counted = run(count_command)
    assert counted.output.strip().endswith("10 rows")
    audited = run(audit_command, "--answered", "19")
    assert audited.exit_code == 0, audited.output
    expected = "OK 19 answered = 10 stored + 4 dropped + 0 rejected + 0 in spool + 5 in quarantine"
    assert expected in audited.output
    assert run(audit_command, "--answered", "20").exit_code == 1


def test_they_use_the_server_beside_serve(data_dir: Path) -> None:
    server = EmbeddedClickHouse(home_folder(data_dir), find_engine(LIBRARY))
    server.start()
    try:
        assert "applied" in run(migrate_command).output
        assert "up to date" in run(migrate_command).output
        segment = write_segment(data_dir / "spool" / "a", 10, 0)
        assert run(spool_group, "replay", str(segment.path)).exit_code == 0
        assert run(count_command, "--site", "1").output.strip().endswith("5 rows")
        assert server.child_pid is not None
    finally:
        server.stop()


def test_a_quarantined_segment_is_replayed(data_dir: Path) -> None:
    segment = write_segment(data_dir / "spool" / "a", 10, 0)
    quarantine = Quarantine(data_dir / "quarantine")
    quarantine.keep_segment(segment.path, reason="incorrect_data", error="no", records=10)
    segment.path.unlink()
    assert "incorrect_data" in run(spool_group, "inspect").output
    replayed = run(spool_group, "replay", "--quarantine")
    assert "1 segments stored, 0 left" in replayed.output
    assert replayed.exit_code == 0
    assert not quarantine.entries()


def test_a_drained_spool_is_empty_and_nobody_waits_for_its_process(data_dir: Path, sqlite_to_copy: Path) -> None:
    copy_sqlite(sqlite_to_copy, data_dir)
    settings = load_settings()
    engine = open_app_database(settings)
    for folder, suffix in (("a", ".seg"), ("b", ".open")):
        write_segment(data_dir / "spool" / folder, 10, 4, suffix=suffix)
        store_watermark(engine, home_id(settings), folder, ["a", "b"], 1000, 2000)
    drained = run(spool_group, "drain")
    assert drained.output == "2 segments with 28 records stored\nthe spool is empty\n"
    assert drained.exit_code == 0
    assert minimum_watermark(engine) is None
    assert list((data_dir / "spool").iterdir()) == []
    engine.dispose()


def test_what_cannot_be_drained_is_said(data_dir: Path, sqlite_to_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy_sqlite(sqlite_to_copy, data_dir)
    monkeypatch.setenv("FOOTFALL_CLICKHOUSE_URL", "clickhouse://127.0.0.1:1/footfall")
    kept = write_segment(data_dir / "spool" / "ended", 10, 4)
    write_segment(data_dir / "spool" / "running", 3, 0)
    Quarantine(data_dir / "quarantine").keep_segment(kept.path, reason="incorrect_data", error="no", records=14)
    running = take_folder(data_dir / "spool" / "running")
    assert running is not None
    try:
        drained = run(spool_group, "drain", "--patience=0.1")
    finally:
        running.close()
    assert drained.exit_code == 1
    stored, store, *left = drained.output.splitlines()
    assert stored == "0 segments with 0 records stored"
    assert store.startswith("left: network: ")
    assert left == [
        "left: 1 segments with 14 records of an ended process in ended",
        "left: 1 segments with 3 records of a running process in running",
        "left: 1 files with 14 records in quarantine",
    ]


def test_check_lists_pending_migrations_without_applying(data_dir: Path) -> None:
    checked = run(migrate_command, "--check")
    assert checked.exit_code == 1
    assert "pending 2026_11_23_events" in checked.output
