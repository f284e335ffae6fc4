"""The audit on one machine of a fleet: what other machines have not flushed yet is not called missing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from server.app_database import open_app_database, store_watermark
from server.audit import audit_fleet
from server.batch import prepare, targets
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.config import Settings, load_settings
from server.data_folder import home_id, prepare_data_folder
from server.migrate import SchemaForm, migrate
from server.sink import Sink
from tests.server.segments import SegmentFile, write_segment
from tests.services.app_databases import copy_sqlite

FORM = SchemaForm()


@pytest.fixture
def settings(tmp_path: Path, sqlite_to_copy: Path, store_address: ClickHouseAddress) -> Settings:
    migrate(store_address, FORM)
    made = load_settings(data_dir=tmp_path / "data", clickhouse_url=str(store_address))
    copy_sqlite(sqlite_to_copy, made.data_dir)
    prepare_data_folder(made)
    return made


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = open_app_database(settings)
    yield engine
    engine.dispose()


def store(folder: Path, address: ClickHouseAddress, age_s: int) -> SegmentFile:
    """A batch of another machine: stored, and no longer in its spool."""
    created_at_ms = (int(time.time()) - age_s) * 1000
    segment = write_segment(folder / "elsewhere", 10, 2, created_at_ms=created_at_ms)
    with closing(Sink(lambda: address, FORM, *targets(FORM))) as sink:
        sink.store(prepare(segment.path), sent_before=False)
    return segment


def forget_ledger(address: ClickHouseAddress, segment: SegmentFile) -> None:
    """As it is between a block and its ledger."""
    with closing(BlockConnection(address)) as connection:
        connection.command(f"ALTER TABLE ledger DELETE WHERE batch_id = '{segment.id}' SETTINGS mutations_sync = 2")


def test_a_fleet_is_judged_up_to_what_every_machine_has_flushed(
    tmp_path: Path, settings: Settings, engine: Engine, store_address: ClickHouseAddress
) -> None:
    old, young = store(tmp_path, store_address, 3600), store(tmp_path, store_address, 60)
    assert (audit_fleet(settings, engine).stored, audit_fleet(settings, engine).ok) == (20, True)
    forget_ledger(store_address, young)
    assert not audit_fleet(settings, engine).ok, "with one machine nothing can be on its way"
    now_ms = int(time.time() * 1000)
    store_watermark(engine, home_id(settings), "ours", ["ours"], now_ms - 7_200_000, now_ms)
    assert not audit_fleet(settings, engine).ok, "our own spool is looked into"
    store_watermark(engine, "another home", "theirs", ["theirs"], now_ms - 600_000, now_ms)
    report = audit_fleet(settings, engine)
    assert (report.ok, report.stored, report.problems) == (True, 10, [])
    forget_ledger(store_address, old)
    report = audit_fleet(settings, engine)
    assert not report.ok
    assert any(old.id in problem for problem in report.problems)
    assert not any(young.id in problem for problem in report.problems)
