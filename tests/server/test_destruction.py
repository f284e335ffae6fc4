"""Destroying a site's figures in a real ClickHouse: all of it goes, nothing else does, and the books still balance."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from server.accounts.errors import FormError, NotThere
from server.app_database import reading, store_watermark, writing
from server.clickhouse_tcp import BlockConnection
from server.clickhouse_url import ClickHouseAddress
from server.clock import now_ms
from server.config import Settings
from server.destruction import RowsOfSite, next_number
from server.migrate import SchemaForm, migrate
from server.models import ClosedDay, Goal, Site, Task
from server.queries import run_query
from server.services import Services, open_services
from server.site_deletion import ask_for_reset, delete_site, is_being_reset, restore_site
from server.sites import add_site, find_site
from tests.server.accounts.people import finish_tasks, make_owner

# Of the present: a batch id leaves its rows and its counts after seven days, a row of a short plan after some months.
UNTIL_S = now_ms() // 1000 - 3_600
HOURS = tuple(time.strftime("%Y-%m-%d %H:00:00", time.gmtime(UNTIL_S - days_ago * 86_400)) for days_ago in (75, 1))


class Stopped(Exception):
    """A worker that was told to stop."""


@pytest.fixture
def connection(store_address: ClickHouseAddress) -> Iterator[BlockConnection]:
    migrate(store_address, SchemaForm())
    with closing(BlockConnection(store_address)) as opened:
        yield opened


def store_rows(connection: BlockConnection, site_id: int, batch_s: int, *, rows: int = 10, import_id: int = 0) -> None:
    """Rows in each month, and the lines of the ledger that say they were accepted."""
    for hour in HOURS:
        values = {"site": site_id, "hour": hour, "batch_s": batch_s, "rows": rows, "import": import_id}
        batch_id = f"{site_id}-{hour[:7]}-{batch_s}-{import_id}"
        connection.select(
            "INSERT INTO events (site_id, hour, time, retention_class, batch_time, batch_id, import_id) "
            "SELECT %(site)s, toDateTime(%(hour)s, 'UTC'), toDateTime(%(hour)s, 'UTC'), 1, "
            "toDateTime(%(batch_s)s, 'UTC'), %(batch)s, %(import)s FROM numbers(%(rows)s)",
            {**values, "batch": batch_id},
        )
        connection.select(
            "INSERT INTO ledger (site_id, hour, outcome, bot_reasons, count, batch_time, batch_id, import_id) "
            "SELECT %(site)s, toDateTime(%(hour)s, 'UTC'), 'accepted', 0, %(rows)s, toDateTime(%(batch_s)s, 'UTC'), "
            "%(batch)s, %(import)s",
            {**values, "batch": batch_id},
        )


def rows_of(connection: BlockConnection, site_id: int) -> int:
    return int(connection.select("SELECT count() FROM events WHERE site_id = %(site)s", {"site": site_id})[0][0])


def wrong_batches(connection: BlockConnection) -> list[object]:
    all_s = UNTIL_S + 3_600
    return list(
        run_query(connection, "audit_batches", batches_since_s=0, until_s=all_s, settled_s=all_s, unfinished=[""])
    )


def destroy(connection: BlockConnection, number: int, site_id: int = 1, stop_at: int | None = None) -> list[str]:
    """Destroy a site's rows; told is what was done. A worker that stops does so at the given word of progress."""
    told: list[str] = []

    def progress(done: int, total: int, message: str) -> None:
        assert 0 <= done <= total
        told.append(message)
        # Not `==`: what is told between two words of progress must not let a worker slip past its end.
        if stop_at is not None and len(told) >= stop_at:
            raise Stopped

    RowsOfSite(connection, SchemaForm(), site_id, UNTIL_S, number, progress).destroy(lambda: told.append("closed days"))
    return told


def test_all_rows_of_one_site_go_and_the_books_balance(connection: BlockConnection) -> None:
    store_rows(connection, 1, UNTIL_S)
    store_rows(connection, 1, UNTIL_S - 60, import_id=7)
    store_rows(connection, 1, UNTIL_S + 60, rows=3)
    store_rows(connection, 2, UNTIL_S)
    told = destroy(connection, next_number(connection, 1))
    assert "closed days" in told
    assert f"rows of {HOURS[0][:7]}" in told
    assert rows_of(connection, 1) == 6, "what came later stays"
    assert rows_of(connection, 2) == 20
    assert wrong_batches(connection) == []
    lines = connection.select(
        "SELECT outcome, import_id, toInt64(sum(count)) FROM ledger WHERE site_id = 1 "
        "GROUP BY outcome, import_id ORDER BY outcome"
    )
    assert lines == [("accepted", 0, 26), ("destroyed", 0, 20)]
    masked = connection.select("SELECT sum(has_lightweight_delete) FROM system.parts WHERE active AND table = 'events'")
    assert masked == [(0,)], "the rows are still on the disk"


def test_a_second_destruction_takes_what_came_since(connection: BlockConnection) -> None:
    store_rows(connection, 1, UNTIL_S)
    destroy(connection, next_number(connection, 1))
    store_rows(connection, 1, UNTIL_S - 5, rows=4)
    assert next_number(connection, 1) == 2
    destroy(connection, 2)
    assert rows_of(connection, 1) == 0
    assert wrong_batches(connection) == []


def test_a_destruction_that_is_cut_anywhere_is_completed(connection: BlockConnection) -> None:
    store_rows(connection, 1, UNTIL_S)
    number, steps = next_number(connection, 1), 0
    while True:
        steps += 1
        try:
            destroy(connection, number, stop_at=steps)
        except Stopped:
            continue
        break
    assert steps > 10
    assert rows_of(connection, 1) == 0
    assert wrong_batches(connection) == []
    assert connection.select("SELECT toInt64(sum(count)) FROM ledger WHERE outcome = 'destroyed'") == [(20,)]


def test_every_other_table_with_rows_of_sites_is_emptied(connection: BlockConnection) -> None:
    connection.command("CREATE TABLE figures_of_days (site_id UInt32, n UInt32) ENGINE = MergeTree ORDER BY site_id")
    connection.command("INSERT INTO figures_of_days SELECT number % 2 + 1, number FROM numbers(100)")
    assert "figures of days" in destroy(connection, 1)
    assert connection.select("SELECT DISTINCT site_id FROM figures_of_days") == [(2,)]


# -- as tasks -----------------------------------------------------------------------------------------------------


@pytest.fixture
def services(sqlite_settings: Settings, store_address: ClickHouseAddress, tmp_path: Path) -> Iterator[Services]:
    host, port = store_address.hosts[0]
    url = f"clickhouse://{host}:{port}/{store_address.database}"
    opened = open_services(sqlite_settings.model_copy(update={"clickhouse_url": url}))
    make_owner(opened)
    yield opened
    opened.close()


@pytest.fixture
def site(services: Services, connection: BlockConnection) -> Site:
    added = add_site(services.engine, "shop.example", account_id=1)
    store_rows(connection, added.site_id, UNTIL_S)
    with writing(services.engine) as session:
        session.add(
            ClosedDay(site_id=added.site_id, day="2026-10-31", version=1, starts_at_ms=1, ends_at_ms=2, closed_at_ms=3)
        )
        session.add(Goal(site_id=added.site_id, display_name="Sign-up", kind="event", created_at_ms=1))
        session.get_one(Site, added.site_id).first_hit_at_ms = 1
    return added


def count(services: Services, model: type) -> int:
    with reading(services.engine) as session:
        return session.execute(select(func.count()).select_from(model)).scalar_one()


def states(services: Services, kind: str) -> list[str]:
    with reading(services.engine) as session:
        return list(session.execute(select(Task.state).where(Task.kind == kind)).scalars())


def test_a_reset_waits_for_hits_under_way_and_keeps_what_was_set_up(
    services: Services, connection: BlockConnection, site: Site
) -> None:
    with pytest.raises(FormError, match=r"Type shop\.example"):
        ask_for_reset(services, site.site_id, "shop", 1)
    store_watermark(services.engine, "home", "spool", [], now_ms() + 3_600_000, now_ms())
    for _ in range(2):
        ask_for_reset(services, site.site_id, " Shop.example ", 1)
    with reading(services.engine) as session:
        assert is_being_reset(session, site.site_id)
    finish_tasks(services)
    assert states(services, "site.reset") == ["succeeded"], "asked twice, done once"
    assert rows_of(connection, site.site_id) == 0
    assert (count(services, ClosedDay), count(services, Goal)) == (0, 1)
    with reading(services.engine) as session:
        assert session.get_one(Site, site.site_id).first_hit_at_ms is None
        assert not is_being_reset(session, site.site_id)


@pytest.mark.parametrize("state", ["active", "blocked", "depleted"])
def test_a_deletion_hides_a_site_and_can_be_taken_back(services: Services, site: Site, state: str) -> None:
    with writing(services.engine) as session:
        session.get_one(Site, site.site_id).state = state
    delete_site(services, site.site_id, "shop.example", 1)
    kept = find_site(services.engine, "shop.example")
    assert kept is not None
    assert kept.state == "deleting"
    with pytest.raises(NotThere):
        delete_site(services, site.site_id, "shop.example", 1)
    restore_site(services, site.site_id, 1)
    restored = find_site(services.engine, "shop.example")
    assert restored is not None
    assert restored.state == state, "staff's block outlives a deletion that is taken back"
    with pytest.raises(NotThere):
        restore_site(services, site.site_id, 1)


def test_a_hit_under_way_holds_the_reset_up(services: Services, connection: BlockConnection, site: Site) -> None:
    from server import site_deletion

    asked: list[int] = []

    @dataclasses.dataclass
    class Run:
        services: Services

        def progress(self, done: int, total: int | None, message: str) -> None:
            assert message.startswith("Waiting")
            asked.append(done)
            store_watermark(self.services.engine, "home", "spool", [], UNTIL_S * 1000 + 1, now_ms())

    store_watermark(services.engine, "home", "spool", [], UNTIL_S * 1000, now_ms())
    site_deletion._wait_for_spools(Run(services), UNTIL_S * 1000)  # type: ignore[arg-type]
    assert asked == [0]
    assert rows_of(connection, site.site_id) == 20
