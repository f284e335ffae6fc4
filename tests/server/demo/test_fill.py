"""Filling the demo: rows and counts agree whatever happens, and a later call goes on where the last one stopped.

What is told here begins three days before now; `tests/jobs/test_demo.py` tells a whole year.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import select

from server.app_database import open_app_database, reading
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.config import Settings
from server.demo import fill as filling
from server.demo.fill import Filled, fill, parts
from server.demo.rows import DEMO_DOMAIN, find_demo_link, prepare_demo, save_filled
from server.migrate import SchemaForm, migrate
from server.models import Annotation, Funnel, Goal, Import, ShareLink, Site
from server.queries.statements import sql_text

NOW_MS = int(datetime(2026, 11, 25, 13, 17, 42, tzinfo=UTC).timestamp() * 1000)
MINUTE_MS = 60_000
SCALE = 0.2
DAY_MS = 24 * 60 * MINUTE_MS


class Filling:
    """An empty installation's demo."""

    def __init__(self, settings: Settings, connection: BlockConnection) -> None:
        self.engine = open_app_database(settings)
        self.connection = connection
        self.told: list[tuple[int, int]] = []
        demo = prepare_demo(self.engine, NOW_MS, SCALE)
        save_filled(self.engine, demo, NOW_MS - 3 * DAY_MS, 0)

    def fill(self, now_ms: int = NOW_MS) -> Filled:
        """As the command does."""
        demo = prepare_demo(self.engine, now_ms, SCALE)
        return fill(self.engine, self.connection, SchemaForm(), demo, now_ms, lambda *told: self.told.append(told))

    def counts(self) -> tuple[int, int, int]:
        """Events, what the ledger calls accepted, and everything else in it."""
        ((events,),) = self.connection.select("SELECT count() FROM events")
        found = "SELECT sumIf(count, outcome = 'accepted'), sumIf(count, outcome != 'accepted') FROM ledger"
        ((accepted, kept_out),) = self.connection.select(found)
        return events, accepted, kept_out

    def digest(self, until_ms: int) -> list[tuple[Any, ...]]:
        """All that is told until a moment, without when it was stored."""
        return self.connection.select(
            "SELECT count(), sum(cityHash64(time, kind, visitor_id, load_id, path, event_name, engaged_ms, props)) "
            "FROM events WHERE time < fromUnixTimestamp64Milli(%(until)s)",
            {"until": until_ms},
        )


@pytest.fixture
def demo(sqlite_settings: Settings, store_address: ClickHouseAddress) -> Iterator[Filling]:
    """Nothing filled yet."""
    migrate(store_address, SchemaForm())
    with closing(BlockConnection(store_address)) as connection:
        filling_ = Filling(sqlite_settings, connection)
        yield filling_
        filling_.engine.dispose()


def test_it_is_told_and_told_on(demo: Filling) -> None:
    filled = demo.fill()
    events, accepted, kept_out = demo.counts()
    assert filled.rows == events == accepted > 1_000
    assert kept_out > 20
    assert [str(day) for day in filled.days] == ["2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25"]
    assert demo.told[-1][0] == demo.told[-1][1]
    ((first, last, kinds, loads),) = demo.connection.select(
        "SELECT min(time), max(time), uniq(kind), countIf(load_id = 0) FROM events"
    )
    assert NOW_MS - 3 * DAY_MS <= first.timestamp() * 1000 < last.timestamp() * 1000 < NOW_MS
    assert (kinds, loads) == (5, 0)
    # Nothing to add, then a day and a half later the rest of that day and the next ones.
    assert demo.fill().rows == 0
    assert demo.counts() == (events, accepted, kept_out)
    more = demo.fill(NOW_MS + DAY_MS * 3 // 2)
    assert [str(day) for day in more.days] == ["2026-11-25", "2026-11-26", "2026-11-27"]
    events, accepted, _ = demo.counts()
    assert events == accepted == filled.rows + more.rows
    with reading(demo.engine) as session:
        (row,) = session.execute(select(Import)).scalars()
        assert (row.kind, row.state, row.rows, row.last_day) == ("demo", "done", events, "2026-11-27")


def test_told_in_pieces_it_is_the_same(demo: Filling) -> None:
    step_ms = 31 * 60 * MINUTE_MS + 13
    for number in range(-2, 1):
        demo.fill(NOW_MS + number * step_ms)
    in_pieces, counts = demo.digest(NOW_MS), demo.counts()
    demo.connection.command("TRUNCATE TABLE events")
    demo.connection.command("TRUNCATE TABLE ledger")
    save_filled(demo.engine, prepare_demo(demo.engine, NOW_MS), NOW_MS - 3 * DAY_MS, 0)
    demo.fill()
    assert demo.digest(NOW_MS) == in_pieces
    assert demo.counts() == counts


@pytest.mark.parametrize("killed_at", ["rows", "counts", "note"])
def test_killed_anywhere_it_is_made_whole(demo: Filling, monkeypatch: pytest.MonkeyPatch, killed_at: str) -> None:
    demo.fill(NOW_MS - DAY_MS)
    later_ms = NOW_MS

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if killed_at == "note":
            patched.setattr(filling, "save_filled", killed)
        else:
            name = {"rows": "demo_ledger", "counts": "demo_rows"}[killed_at]
            real = BlockConnection.select

            def select_(self: BlockConnection, query: str, *arguments: Any, **settings: Any) -> Any:
                text = sql_text(name)
                if query == text:
                    raise KeyboardInterrupt
                return real(self, query, *arguments, **settings)

            patched.setattr(BlockConnection, "select", select_)
        with pytest.raises(KeyboardInterrupt):
            demo.fill(later_ms)
    demo.fill(later_ms)
    events, accepted, _ = demo.counts()
    assert events == accepted
    digest = demo.digest(later_ms)
    ((loads, rows),) = demo.connection.select("SELECT uniqExact(load_id, kind, time), count() FROM events")
    assert loads == rows, "something was told twice"
    assert digest[0][0] == events


def test_parts_meet_and_end_with_months(demo: Filling) -> None:
    save_filled(demo.engine, prepare_demo(demo.engine, NOW_MS), NOW_MS - 200 * DAY_MS, 0)
    prepared = prepare_demo(demo.engine, NOW_MS)
    cut = list(parts(prepared, NOW_MS))
    assert cut[0][0] == prepared.filled_until_ms
    assert (len(cut), cut[-1][1]) == (7, NOW_MS)
    assert [until for _, until in cut[:-1]] == [start for start, _ in cut[1:]]
    assert all(prepared.calendar.local(start).day == 1 for start, _ in cut[1:])


def test_what_people_changed_stays(demo: Filling) -> None:
    first = prepare_demo(demo.engine, NOW_MS, SCALE)
    assert find_demo_link(demo.engine) == first.share_path
    with demo.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM goals WHERE display_name = 'Checkout'")
        connection.exec_driver_sql("DELETE FROM share_links")
    second = prepare_demo(demo.engine, NOW_MS + 5, 7.0)
    with demo.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM imports")  # as a reset of the site's figures does
    assert (second.story, second.import_id) == (first.story, first.import_id)
    assert second.slug != first.slug
    with reading(demo.engine) as session:
        names = set(session.execute(select(Goal.display_name)).scalars())
        assert "Purchase" in names
        assert "Checkout" not in names
        assert len(session.execute(select(Funnel)).scalars().all()) == 1
        assert len(session.execute(select(Annotation)).scalars().all()) == 9
        assert session.execute(select(ShareLink)).scalar_one().password_hash is None
        site = session.execute(select(Site)).scalar_one()
        assert (site.domain, site.timezone) == (DEMO_DOMAIN, "Europe/Berlin")
        assert site.first_hit_at_ms == site.created_at_ms < NOW_MS - 364 * DAY_MS
    anew = prepare_demo(demo.engine, NOW_MS + 5, 7.0)
    assert anew.story.scale == 7.0
    assert anew.filled_until_ms == anew.calendar.start_ms(anew.story.first_day)
    with reading(demo.engine) as session:
        assert len(session.execute(select(Annotation)).scalars().all()) == 9
