"""What the register says of when backups no longer hold something."""

from __future__ import annotations

import pytest

from server.app_database import open_app_database, reading, writing
from server.backups.manifest import id_time_ms, new_backup_id
from server.backups.register import expires_at_ms, last_expiry
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


def test_ids_are_in_the_order_of_time_to_the_millisecond() -> None:
    times = [GONE_AT_MS + ms for ms in (0, 1, 9, 10, 999, 1_000, 1_001)]
    ids = [new_backup_id(at_ms) for at_ms in times]
    assert sorted(ids) == ids
    assert [id_time_ms(each) for each in ids] == times
