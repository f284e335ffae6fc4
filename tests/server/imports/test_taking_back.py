"""Taking imports back, and files that come twice: nothing doubles, nothing stays, nothing of others goes."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from server.accounts.audit_log import Action
from server.app_database import reading, writing
from server.imports.errors import AlreadyImported, ImportBusy
from server.imports.rows import begin, fail, site_imports
from server.imports.starting import repeat_import, take_back
from server.models import AuditEntry, Task
from tests.server.imports.desk import Desk, Stopped, zipped
from tests.server.imports.test_access_logs import LOG, line
from tests.server.imports.test_plausible import EXPORT


def take(desk: Desk, import_id: int) -> None:
    """Ask for an import to be taken back, and carry it out."""
    take_back(desk.services, desk.site.site_id, import_id)
    desk.remove(import_id)


def test_the_same_file_counts_once(desk: Desk) -> None:
    row, _ = desk.bring("access.log", LOG.encode())
    with pytest.raises(AlreadyImported) as refused:
        desk.send("renamed.log", LOG.encode())
    assert refused.value.import_id == row.import_id
    assert "access.log" in str(refused.value)
    assert len(desk.events()) == 4
    assert list(desk.services.settings.data_dir.glob("imports/*")) == []


def test_events_go_with_their_counts_and_those_of_others_stay(desk: Desk) -> None:
    kept, _ = desk.bring("kept.log", (line(5, "/kept") + line(6, "/kept")).encode())
    row, _ = desk.bring("access.log", LOG.encode())
    days = desk.dirty_days()
    take(desk, row.import_id)
    assert [path for _, path in desk.events()] == ["/kept", "/kept"]
    assert desk.outcomes() == {"accepted": 2}
    assert desk.dirty_days() == days
    assert desk.audit().ok
    with reading(desk.services.engine) as session:
        assert [each.import_id for each in site_imports(session, desk.site.site_id)] == [kept.import_id]
        actions = set(session.execute(select(AuditEntry.action)).scalars())
    assert {Action.IMPORT_STARTED, Action.IMPORT_REMOVED} <= actions
    # Once more, under a number that no import had.
    again, _ = desk.bring("access.log", LOG.encode())
    assert again.import_id > row.import_id
    assert len(desk.events()) == 6
    assert desk.audit().ok


def test_figures_go_and_those_of_others_stay(desk: Desk) -> None:
    row, _ = desk.bring("a.zip", zipped(EXPORT))
    before = desk.figures(row.import_id)
    desk.connection.select(
        "INSERT INTO daily (site_id, dimension, value, day, version, visitors) VALUES (1, 'total', '', today(), 99, 7)"
    )
    take(desk, row.import_id)
    assert desk.figures(row.import_id) == {}
    assert len(desk.figures(99)) == 1
    again, _ = desk.bring("a.zip", zipped(EXPORT))
    assert desk.figures(again.import_id) == before


def test_one_that_is_under_way_is_stopped_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.imports.tasks.STOPS_WITHIN_S", 0.2)
    import_id = desk.send("access.log", LOG.encode())
    with pytest.raises(Stopped):
        desk.carry_out(import_id, stop_after=1, part_lines=3)
    take_back(desk.services, desk.site.site_id, import_id)
    task_id = desk.saved(import_id)[0].task_id
    with reading(desk.services.engine) as session:
        assert session.get_one(Task, task_id).state == "cancelled"
    # A worker still has it: what it stores at the moment would stay.
    with writing(desk.services.engine) as session:
        session.get_one(Task, task_id).state = "running"
    with pytest.raises(ImportBusy):
        desk.remove(import_id)
    assert not begin(desk.services.engine, import_id)
    with writing(desk.services.engine) as session:
        session.get_one(Task, task_id).state = "cancelled"
    desk.remove(import_id, attempt=2)
    assert desk.events() == []
    assert desk.outcomes() == {}
    assert not desk.path(import_id).exists()
    with pytest.raises(ImportBusy):
        take_back(desk.services, desk.site.site_id, import_id)


def test_a_removal_that_was_cut_short_has_all_days_closed_again(desk: Desk) -> None:
    row, _ = desk.bring("access.log", LOG.encode())
    take_back(desk.services, desk.site.site_id, row.import_id)
    desk.connection.command(f"DELETE FROM events WHERE import_id = {row.import_id}", lightweight_deletes_sync=2)
    desk.remove(row.import_id, attempt=2)
    assert {row.first_day, row.last_day} <= desk.dirty_days()
    assert desk.outcomes() == {}


def test_one_that_failed_goes_on_where_it_stopped(desk: Desk) -> None:
    import_id = desk.send("access.log", LOG.encode())
    with pytest.raises(Stopped):
        desk.carry_out(import_id, stop_after=1, part_lines=3)
    with writing(desk.services.engine) as session:
        assert fail(session, import_id, "the store was away", 1)
    row, saved = desk.saved(import_id)
    assert (row.state, saved.error) == ("failed", "the store was away")
    with pytest.raises(AlreadyImported):
        desk.send("access.log", LOG.encode())
    repeat_import(desk.services, desk.site.site_id, import_id)
    desk.carry_out(import_id)
    row, saved = desk.saved(import_id)
    assert (row.state, row.rows, saved.error) == ("done", 4, "")
    assert desk.outcomes() == {"accepted": 4, "bot": 1}
    with pytest.raises(ImportBusy):
        repeat_import(desk.services, desk.site.site_id, import_id)


def test_imports_of_another_site_are_not_there(desk: Desk) -> None:
    row, _ = desk.bring("access.log", LOG.encode())
    with pytest.raises(ImportBusy):
        take_back(desk.services, desk.site.site_id + 1, row.import_id)
    assert len(desk.events()) == 4
