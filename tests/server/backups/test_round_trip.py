"""A backup brings back what was there: rows, settings, people, and the versions of closed days."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import func, select

from server.app_database import newest_migration, reading, store_watermark, writing
from server.backups.app_rows import LEFT_OUT, kept_tables
from server.backups.creation import BackupMaker
from server.backups.errors import NotEmpty
from server.backups.manifest import load_manifest
from server.backups.verification import verify
from server.clickhouse_tcp import BlockConnection
from server.clock import now_ms
from server.config import Settings, load_settings
from server.models import Base, Goal, LoginSession, Mail, Salt, Site, Task, User
from server.salts import keep_salts
from server.sites import add_site
from tests.server.backups.conftest import KEY, Installation, contents, fill

Places = Callable[[Settings | None], Installation]


def people(installation: Installation) -> None:
    """Some rows of the app database, with all kinds of values."""
    add_site(installation.engine, "a.test", "Europe/Tallinn")
    keep_salts(installation.engine, now_ms())
    with writing(installation.engine) as session:
        session.add(Goal(site_id=1, display_name='ß\n"', kind="event", event_name="x", created_at_ms=2**53 + 1))
        session.add(User(user_id=7, email="o@a.test", password_hash="h", totp_sealed=b"\0\xff", created_at_ms=1))
        session.flush()
        session.add(LoginSession(token_hash="t", user_id=7, device="d", created_at_ms=1, seen_at_ms=1))
        session.add(Mail(to_address="x", template="t", subject="s", body_sealed=b"q", created_at_ms=1))
        session.add(Mail(to_address="x", template="t", subject="s", state="sent", created_at_ms=1))
        session.add(Task(kind="mail.send", arguments={"mail_id": 1}, run_at_ms=1, created_at_ms=1))
        session.add(Task(kind="site.destroy", arguments={"site_id": 1}, run_at_ms=1, created_at_ms=1))


def rows_of(installation: Installation) -> dict[str, list[tuple[object, ...]]]:
    """Every row of the app database that a backup has."""
    found = {}
    with reading(installation.engine) as session:
        for table in kept_tables():
            if table.name != "versions":
                rows = session.execute(select(table)).all()
                found[table.name] = sorted((tuple(row) for row in rows), key=repr)
    return found


@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
def test_everything_comes_back(
    places: Places, here: Installation, into: str, request: pytest.FixtureRequest, tmp_path: object
) -> None:
    people(here)
    for month in ("2026-09", "2026-10"):
        fill(here, 3_000, month)
    here.command("INSERT INTO closings VALUES (1, '2026-09-05', 77, 5)")
    here.command(
        "INSERT INTO sessions (site_id, day, version, pages.id, pages.views, pages.customs, "
        "pages.early_engaged_ms, pages.scroll_percent) VALUES "
        "(1, '2026-09-05', 77, [2, 3], [1, 1], [0, 0], [5, 6], [7, 8])"
    )
    made = here.back_up()
    assert made.notes == ()
    assert made.copied_partitions == len(made.manifest.partitions) == 6
    assert made.manifest.partitions[-1].table == "closings"
    found = verify(here.target, KEY, made.manifest, lambda done, total, what: None, is_quick=False)
    assert (found.problems, found.rows) == ([], made.manifest.rows)

    settings = None
    if into == "postgresql":
        url = request.getfixturevalue("postgresql_settings").app_database_url
        settings = load_settings(data_dir=here.settings.data_dir.parent / "elsewhere", app_database_url=url)
    there = places(settings)
    restored = there.restore(load_manifest(there.target, KEY, made.manifest.backup_id))
    assert (restored.rows, restored.sent_partitions) == (made.manifest.rows, 6)
    assert contents(there) == contents(here)
    ours, theirs = rows_of(here), rows_of(there)
    # What waits to be sent is not sent twice.
    ours["mails"] = [row for row in ours["mails"] if "sent" in row]
    ours["tasks"] = [row for row in ours["tasks"] if "mail.send" not in row]
    assert theirs == ours
    with reading(there.engine) as session:
        for empty in (Salt, LoginSession):
            assert session.execute(select(func.count()).select_from(empty)).scalar() == 0
    # Numbers go on where they were.
    assert add_site(there.engine, "b.test", "UTC").site_id == add_site(here.engine, "b.test", "UTC").site_id
    with writing(there.engine) as session:
        session.add(Mail(to_address="y", template="t", subject="s", created_at_ms=1))
    assert (there.settings.data_dir / "secret_key").read_text() == (here.settings.data_dir / "secret_key").read_text()
    with pytest.raises(NotEmpty, match="2 sites and"):
        there.restore(made.manifest)


def test_every_table_is_kept_or_left_out_for_a_reason() -> None:
    left_out = {table.name for table in Base.metadata.sorted_tables} - {table.name for table in kept_tables()}
    assert left_out == {*LEFT_OUT, "stand_ins"}, "say in LEFT_OUT why, or keep it"
    assert not any(column.type.python_type is float for table in kept_tables() for column in table.columns)


def merge(installation: Installation) -> None:
    """Whatever the server would merge or fold sooner or later, now."""
    for table in ("events", "ledger"):
        installation.command(f"OPTIMIZE TABLE {table} FINAL SETTINGS optimize_skip_merged_partitions = 1")


def test_only_what_changed_is_copied_again(here: Installation) -> None:
    for month in ("2026-09", "2026-10"):
        fill(here, 500, month)
    merge(here)
    first = here.back_up()
    assert here.back_up().copied_partitions == 0
    fill(here, 10, "2026-10")
    merge(here)
    third = here.back_up()
    assert third.copied_partitions == 2
    kept = {each.object.path for each in first.manifest.partitions} & {
        each.object.path for each in third.manifest.partitions
    }
    assert len(kept) == 2
    # A mutation that touches nothing of a part changes its name only.
    here.command("ALTER TABLE events DELETE WHERE site_id = 12345 SETTINGS mutations_sync = 2")
    assert here.back_up().copied_partitions == 0
    # One that takes rows away does not leave them in the next backup.
    here.command("DELETE FROM events WHERE visitor_id = 5")
    fourth = here.back_up()
    assert fourth.copied_partitions == 2
    assert fourth.manifest.rows < third.manifest.rows
    # What somebody lost at the target is copied again.
    here.target.remove(fourth.manifest.partitions[0].object.path)
    assert here.back_up().copied_partitions == 1


def test_batches_after_the_moment_are_left_out(here: Installation) -> None:
    fill(here, 100, "2026-09")
    fill(here, 40, "2036-09")
    made = here.back_up()
    assert sum(each.rows for each in made.manifest.partitions if each.table == "events") == 100
    assert not any(each.rows and each.partition_id.endswith("203609") for each in made.manifest.partitions)
    here.command(
        "INSERT INTO events (site_id, hour, time, batch_time) VALUES "
        "(1, '2026-09-05 00:00:00', '2026-09-05 00:00:00', '2036-01-01 00:00:00')"
    )
    second = here.back_up()
    (mixed,) = [each for each in second.manifest.partitions if each.table == "events"]
    # It is copied again next time: this copy is not all that the partition held.
    assert (mixed.rows, mixed.fingerprint) == (100, "")


class InterruptedConnection(BlockConnection):
    """A batch is stored between the look at a partition and the reading of its rows."""

    comes: str = ""

    def select(self, query: str, parameters: Mapping[str, Any] | None = None, **settings: Any) -> list[Any]:
        """Ask; then the batch comes."""
        rows = super().select(query, parameters, **settings)
        if self.comes and "batch_time > toDateTime" in query:
            statement, self.comes = self.comes, ""
            self.command(statement)
        return rows


@pytest.mark.parametrize(("batch_time", "is_copied"), [("2036-01-01", False), ("2026-09-05", True)])
def test_a_batch_that_comes_while_a_partition_is_read(here: Installation, batch_time: str, is_copied: bool) -> None:
    fill(here, 100)
    connection = InterruptedConnection(here.store.addresses[0]())
    connection.comes = (
        "INSERT INTO events (site_id, hour, time, batch_time) VALUES "
        f"(1, '2026-09-05 00:00:00', '2026-09-05 00:00:00', '{batch_time} 00:00:00')"
    )
    with closing(connection):
        made = BackupMaker(here.settings, here.engine, connection, here.store.form, here.target, KEY, now_ms).make()
    (events,) = [each for each in made.manifest.partitions if each.table == "events"]
    # Either way the next backup copies it again: what its fingerprint says is not what was copied.
    assert (events.rows, events.fingerprint) == (100 + is_copied, "")


def test_hits_in_spools_are_waited_for(here: Installation) -> None:
    at_ms = now_ms()
    waits = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            store_watermark(here.engine, "home", "spool", [], now_ms() + 3_600_000, now_ms())

    store_watermark(here.engine, "home", "spool", [], at_ms - 1, at_ms)
    assert here.back_up(pause=pause).manifest.is_settled
    assert len(waits) == 3
    store_watermark(here.engine, "home", "spool", [], at_ms - 1, at_ms)
    made = here.back_up(pause=lambda seconds: None, settle_s=2)
    assert not made.manifest.is_settled
    assert "some machine still holds hits" in made.notes[0]


def test_the_manifest_says_of_what_it_is(here: Installation) -> None:
    made = here.back_up()
    assert made.manifest.app.migration == newest_migration()
    assert made.manifest.store_migrations[0] == "2026_11_23_events"
    assert load_manifest(here.target, KEY, made.manifest.backup_id) == made.manifest
    with reading(here.engine) as session:
        assert session.execute(select(func.count()).select_from(Site)).scalar() == made.manifest.app.rows["sites"]
