"""The same on PostgreSQL: from upload over a kill to the end, and back again."""

from __future__ import annotations

import pytest

from server.clickhouse_url import ClickHouseAddress
from server.config import Settings
from server.imports.errors import AlreadyImported
from server.imports.starting import take_back
from tests.server.imports.desk import Stopped, open_desk, zipped
from tests.server.imports.test_access_logs import LOG
from tests.server.imports.test_plausible import EXPORT


def test_both_kinds_come_and_go(postgresql_settings: Settings, store_address: ClickHouseAddress) -> None:
    with open_desk(postgresql_settings, store_address) as desk:
        figures, _ = desk.bring("plausible.zip", zipped(EXPORT))
        events = desk.send("access.log", LOG.encode())
        with pytest.raises(Stopped):
            desk.carry_out(events, stop_after=1, part_lines=4)
        desk.carry_out(events)
        assert desk.saved(events)[0].rows == 4
        assert len(desk.dirty_days()) == 2
        assert len(desk.figures(figures.import_id)) > 20
        with pytest.raises(AlreadyImported):
            desk.send("access.log", LOG.encode())
        for import_id in (events, figures.import_id):
            take_back(desk.services, desk.site.site_id, import_id)
            desk.remove(import_id)
        assert desk.events() == []
        assert desk.figures(figures.import_id) == {}
        assert desk.audit().ok
