"""The register: one backup at a time, who is kept off by it, and when backups no longer hold something."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from server.app_database import open_app_database, reading, writing
from server.backups.errors import AnotherRuns
from server.backups.manifest import id_time_ms, new_backup_id
from server.backups.register import BEAT_LIFE_MS, beat, begin, end, expires_at_ms, keeps_off, last_expiry
from server.clock import DAY_MS, HOUR_MS
from server.config import Settings
from server.models import Backup

GONE_AT_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("state", "started_at_ms", "holds"),
    [
        ("running", GONE_AT_MS - 1, True),
        ("complete", GONE_AT_MS, True),
        ("failed", GONE_AT_MS - DAY_MS, True),
        ("removed", GONE_AT_MS - DAY_MS, False),
        ("complete", GONE_AT_MS + 1, False),
    ],
)
def test_what_is_gone_is_in_backups_until_their_objects_are_removed(
    sqlite_settings: Settings, state: str, started_at_ms: int, holds: bool
) -> None:
    engine = open_app_database(sqlite_settings)
    with writing(engine) as session:
        ends_at_ms = expires_at_ms(sqlite_settings, started_at_ms)
        session.add(Backup(backup_id="one", state=state, started_at_ms=started_at_ms, expires_at_ms=ends_at_ms))
    with reading(engine) as session:
        said_ms = last_expiry(session, sqlite_settings, GONE_AT_MS)
    engine.dispose()
    removed_at_ms = ends_at_ms + sqlite_settings.backup_safety_hours * HOUR_MS + DAY_MS
    assert said_ms == (removed_at_ms if holds else None)


@pytest.fixture
def engine(database_settings: Settings) -> Iterator[Engine]:
    opened = open_app_database(database_settings)
    yield opened
    opened.dispose()


def test_one_backup_is_made_at_a_time(engine: Engine, database_settings: Settings) -> None:
    begin(engine, database_settings, "first", GONE_AT_MS)
    with pytest.raises(AnotherRuns, match="10 minutes after it was last heard of"):
        begin(engine, database_settings, "second", GONE_AT_MS + BEAT_LIFE_MS)
    beat(engine, "first", GONE_AT_MS + BEAT_LIFE_MS)
    with pytest.raises(AnotherRuns):
        begin(engine, database_settings, "second", GONE_AT_MS + 2 * BEAT_LIFE_MS)
    begin(engine, database_settings, "second", GONE_AT_MS + 2 * BEAT_LIFE_MS + 1)
    with pytest.raises(AnotherRuns, match="was taken for lost"):
        beat(engine, "first", GONE_AT_MS + 2 * BEAT_LIFE_MS + 1)
    end(engine, "first", "complete", GONE_AT_MS + 3 * BEAT_LIFE_MS)
    with reading(engine) as session:
        assert session.get_one(Backup, "first").state == "failed", "it ended when it was taken for lost"


def test_a_backup_that_was_not_heard_of_ends_also_when_nobody_noticed(
    engine: Engine, database_settings: Settings
) -> None:
    """A laptop that slept: what the backup needs may have been deleted meanwhile."""
    begin(engine, database_settings, "first", GONE_AT_MS)
    with pytest.raises(AnotherRuns, match="was taken for lost"):
        beat(engine, "first", GONE_AT_MS + BEAT_LIFE_MS + 1)


def test_whoever_keeps_backups_off_is_waited_for(engine: Engine, database_settings: Settings) -> None:
    begins = threading.Thread(target=begin, args=(engine, database_settings, "first", GONE_AT_MS))
    with writing(engine) as session:
        assert keeps_off(session, GONE_AT_MS)
        begins.start()
        begins.join(0.3)
        assert begins.is_alive(), "it began beside somebody who was told that none is made"
    begins.join(30)
    with writing(engine) as session:
        assert not keeps_off(session, GONE_AT_MS)


def test_ids_are_in_the_order_of_time_to_the_millisecond() -> None:
    times = [GONE_AT_MS + ms for ms in (0, 1, 9, 10, 999, 1_000, 1_001)]
    ids = [new_backup_id(at_ms) for at_ms in times]
    assert sorted(ids) == ids
    assert [id_time_ms(each) for each in ids] == times
