"""Staff send quarantined hits again: to a real store, once, and without those of sites that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from server.accounts.audit_log import Action
from server.app_database import writing
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.clock import now_ms
from server.config import Settings
from server.flusher import REPLAY_MAX_AGE_S
from server.migrate import SchemaForm, migrate
from server.models import Site
from server.quarantine import Quarantine
from server.services import open_services
from tests.server.pages.site_host import hosted
from tests.server.pages.test_admin import Panel, made
from tests.server.segments import SegmentFile, write_segment

ROOM = "/admin/quarantine"
ROWS, DROPS = 10, 2


@pytest.fixture
def panel(sqlite_settings: Settings, store_address: ClickHouseAddress) -> Iterator[Panel]:
    """An installation with a store that answers."""
    migrate(store_address, SchemaForm())
    services = open_services(sqlite_settings.model_copy(update={"clickhouse_url": str(store_address)}))
    with hosted(services) as host:
        yield made(services, host)
    services.close()


@pytest.fixture
def store(panel: Panel, store_address: ClickHouseAddress) -> Iterator[BlockConnection]:
    connection = BlockConnection(store_address)
    yield connection
    connection.close()


def kept(panel: Panel, folder: Path, *, age_s: float = 0.0) -> SegmentFile:
    """A segment of Ann's site in the quarantine."""
    created_at_ms = now_ms() - int(age_s * 1000)
    segment = write_segment(folder, ROWS, DROPS, site_ids=(panel.site.site_id,), created_at_ms=created_at_ms)
    set_aside(panel, segment)
    return segment


def set_aside(panel: Panel, segment: SegmentFile) -> None:
    """Into the quarantine, as a flusher does."""
    quarantine = Quarantine(panel.services.settings.quarantine_dir)
    quarantine.keep_segment(segment.path, reason="refused", error="code 16: no such column", records=ROWS + DROPS)


def stored(store: BlockConnection) -> int:
    ((rows,),) = store.select("SELECT count() FROM events")
    return int(rows)


def test_hits_are_stored_once_and_leave_the_quarantine(panel: Panel, store: BlockConnection, tmp_path: Path) -> None:
    segment = kept(panel, tmp_path)
    name = segment.path.name
    assert f'value="{name}"' in panel.staff.get(ROOM).text
    answer = panel.staff.post(ROOM, {"name": name})
    assert (answer.status, answer.location) == (303, f"{ROOM}?done=replayed")
    page = panel.staff.get(answer.location).text
    assert "Stored, and out of the quarantine." in page
    assert "Empty. Every answered hit is stored" in page
    assert stored(store) == ROWS
    assert panel.entry(Action.QUARANTINE_REPLAYED).target == name
    assert panel.staff.post(ROOM, {"name": name}).status == 404, "it is not there any more"

    # The flusher had an answer that was lost: the same segment was set aside although it is stored.
    set_aside(panel, segment)
    answer = panel.staff.post(ROOM, {"name": name})
    assert answer.location == f"{ROOM}?done=replay-found"
    assert "It was stored already" in panel.staff.get(answer.location).text
    assert stored(store) == ROWS


def test_old_hits_are_sent_only_when_that_was_said_and_those_of_a_site_that_is_gone_never(
    panel: Panel, store: BlockConnection, tmp_path: Path
) -> None:
    old = kept(panel, tmp_path, age_s=REPLAY_MAX_AGE_S + 3_600)
    assert "even if doubled" not in panel.staff.get(ROOM).text, "it came here just now"
    answer = panel.staff.post(ROOM, {"name": old.path.name})
    assert answer.status == 400
    assert "older than 7 days: nobody can tell whether it was stored" in answer.text
    assert "even if doubled" in answer.text
    assert stored(store) == 0
    assert panel.staff.post(ROOM, {"name": old.path.name, "even_if_old": "yes"}).location == f"{ROOM}?done=replayed"
    assert stored(store) == ROWS
    assert panel.entry(Action.QUARANTINE_REPLAYED).detail == {"records": ROWS + DROPS, "even_if_old": True}

    gone = kept(panel, tmp_path)
    with writing(panel.services.engine) as session:
        session.execute(update(Site).where(Site.site_id == panel.site.site_id).values(state="destroyed"))
    assert panel.staff.post(ROOM, {"name": gone.path.name}).location == f"{ROOM}?done=replayed"
    assert stored(store) == ROWS
    blocked = "SELECT sum(count) FROM ledger WHERE outcome = 'blocked'"
    assert store.select(blocked) == [(ROWS,)]
