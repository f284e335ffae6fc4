"""Migrations on a real ClickHouse: idempotent, complete after a cut, and the same columns as the blocks."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from core_ext.native import EVENTS_COLUMNS, LEDGER_COLUMNS
from server.clickhouse_tcp import EVERY_SHARD, BlockConnection, canonical_type
from server.clickhouse_url import ClickHouseAddress
from server.migrate import SCHEMA_FOLDER, MigrationChanged, SchemaForm, migrate, migrations, pending


def columns(address: ClickHouseAddress, table: str) -> list[tuple[str, str]]:
    connection = BlockConnection(address)
    rows = connection.select(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = %(table)s "
        "ORDER BY position",
        {"table": table},
    )
    connection.close()
    return [(str(name), canonical_type(str(type_))) for name, type_ in rows]


def test_migrating_again_changes_nothing(store_address: ClickHouseAddress) -> None:
    names = [migration.name for migration in migrations()]
    assert pending(store_address) == names
    assert migrate(store_address, SchemaForm()) == names
    assert migrate(store_address, SchemaForm()) == []
    assert pending(store_address) == []


@pytest.mark.parametrize(("table", "block"), [("events", EVENTS_COLUMNS), ("ledger", LEDGER_COLUMNS)])
def test_the_tables_have_the_columns_of_the_blocks(
    store_address: ClickHouseAddress, table: str, block: tuple[tuple[str, str], ...]
) -> None:
    migrate(store_address, SchemaForm())
    expected = [(name, canonical_type(type_)) for name, type_ in block]
    assert columns(store_address, table) == [*expected, ("import_id", "UInt32")]


def test_a_migration_that_was_cut_is_completed(store_address: ClickHouseAddress) -> None:
    connection = BlockConnection(store_address)
    first, *_ = migrations()[0].statements(SchemaForm())
    connection.command(first)
    connection.close()
    migrate(store_address, SchemaForm())
    assert columns(store_address, "ledger")


def test_history_may_not_be_edited(store_address: ClickHouseAddress, tmp_path: Path) -> None:
    migrate(store_address, SchemaForm())
    for path in SCHEMA_FOLDER.glob("*.sql"):
        (tmp_path / path.name).write_text(path.read_text() + "\n-- edited\n")
    with pytest.raises(MigrationChanged, match="was edited"):
        migrate(store_address, SchemaForm(), tmp_path)


def test_durability_follows_the_setting(store_address: ClickHouseAddress) -> None:
    connection = BlockConnection(store_address)
    for durability, expected in (("power", 2), ("process", 0)):
        migrate(store_address, SchemaForm(durability=durability))  # type: ignore[arg-type]
        (((created),),) = connection.select("SHOW CREATE TABLE events")
        assert len(re.findall(r"fsync_\w+ = 1", created)) == expected
    connection.close()


def test_the_cluster_form_is_replicated_and_distributed(clickhouse: ClickHouseAddress) -> None:
    """Checked by form and by the server's parser: the embedded server has no coordination service to run it with."""
    statements = [text for migration in migrations() for text in migration.statements(SchemaForm(cluster="stats"))]
    altered = [text for text in statements if text.startswith("ALTER")]
    assert all("ON CLUSTER 'stats'" in text for text in altered)
    made = [text for text in statements if text not in altered]
    created = {re.search(r"EXISTS (\w+)", text)[1]: text for text in made}  # type: ignore[index]
    stored = ("events", "ledger", "names", "closings", "sessions", "daily", "hourly", "vitals")
    assert created.keys() == {*stored, *(f"{name}_local" for name in stored)}
    for name, text in created.items():
        assert "ON CLUSTER 'stats'" in text
        assert ("ReplicatedMergeTree" if name.endswith("_local") else "Distributed('stats'") in text
    assert not any("$" in text for text in statements)
    connection = BlockConnection(dataclasses.replace(clickhouse, database="default"))
    for text in statements:
        formatted = connection.select("SELECT formatQuery(%(text)s)", {"text": text})[0][0]
        assert formatted.startswith("ALTER TABLE" if text in altered else "CREATE TABLE")
    connection.close()


def test_shards_without_a_keeper_are_distributed_and_not_replicated() -> None:
    form = SchemaForm(cluster="stats", replicated=False)
    for migration in migrations():
        for text in migration.statements(form):
            assert EVERY_SHARD in text
            assert "ON CLUSTER" not in text
            assert "Replicated" not in text
            assert "replicated_deduplication_window" not in text.replace("non_replicated_deduplication_window", "")


def test_rows_of_a_batch_forget_its_id_after_a_week(store_address: ClickHouseAddress) -> None:
    migrate(store_address, SchemaForm())
    connection = BlockConnection(store_address)
    for days in (1, 8):
        connection.select(
            "INSERT INTO events (site_id, hour, retention_class, batch_time, batch_id) "
            "SELECT 1, toStartOfHour(now()), 1, now() - toIntervalDay(%(days)s), 'x'",
            {"days": days},
        )
    connection.command("OPTIMIZE TABLE events FINAL")
    assert connection.select("SELECT batch_id FROM events ORDER BY batch_time") == [("",), ("x",)]
    connection.close()


def test_retention_drops_whole_parts_by_class(store_address: ClickHouseAddress) -> None:
    migrate(store_address, SchemaForm())
    connection = BlockConnection(store_address)
    for retention_class in (0, 1, 2, 3):
        connection.select(
            "INSERT INTO events (site_id, hour, retention_class, batch_time) "
            "SELECT number, toStartOfHour(now()) - toIntervalDay(500), %(class)s, now() FROM numbers(3)",
            {"class": retention_class},
        )
    connection.command("OPTIMIZE TABLE events FINAL")
    assert connection.select("SELECT DISTINCT retention_class FROM events ORDER BY 1") == [(0,), (2,), (3,)]
    connection.close()


def test_old_lines_of_the_ledger_fold_and_keep_their_sum(store_address: ClickHouseAddress) -> None:
    migrate(store_address, SchemaForm())
    connection = BlockConnection(store_address)
    for days, rows in ((1, 5), (9, 1_000), (8, 100)):
        connection.select(
            "INSERT INTO ledger (site_id, hour, outcome, bot_reasons, count, batch_time, batch_id) "
            "SELECT 1, toStartOfHour(toDateTime('2026-11-02 05:00:00', 'UTC')), 'bot', 1, number, "
            "now() - toIntervalDay(%(days)s), toString(number) FROM numbers(%(rows)s)",
            {"days": days, "rows": rows},
        )
        connection.command("OPTIMIZE TABLE ledger FINAL")
    ((lines, hits),) = connection.select("SELECT count(), sum(count) FROM ledger")
    assert hits == sum(range(5)) + sum(range(1_000)) + sum(range(100))
    assert lines < 12
    connection.close()


def test_lines_of_imports_never_fold(store_address: ClickHouseAddress) -> None:
    migrate(store_address, SchemaForm())
    connection = BlockConnection(store_address)
    for import_id in (0, 7):
        connection.select(
            "INSERT INTO ledger SELECT 1, toStartOfHour(toDateTime('2026-11-02 05:00:00', 'UTC')), 'bot', 1, number, "
            "now() - toIntervalDay(9), toString(number), %(import)s FROM numbers(50)",
            {"import": import_id},
        )
    connection.command("OPTIMIZE TABLE ledger FINAL")
    rows = connection.select("SELECT import_id, count() > 40, sum(count) FROM ledger GROUP BY import_id ORDER BY 1")
    assert rows == [(0, 0, sum(range(50))), (7, 1, sum(range(50)))]
    connection.close()


def test_visits_that_were_closed_before_engagement_say_the_same_afterwards(
    store_address: ClickHouseAddress, tmp_path: Path
) -> None:
    for path in SCHEMA_FOLDER.glob("*.sql"):
        if path.stem < "2026_11_30_engagement":
            (tmp_path / path.name).write_text(path.read_text())
    migrate(store_address, SchemaForm(), tmp_path)
    connection = BlockConnection(store_address)
    connection.command(
        "INSERT INTO sessions (site_id, day, version, engaged_ms, pages.id, pages.views, pages.customs, "
        "pages.early_engaged_ms, pages.scroll_percent) VALUES "
        "(1, '2026-11-01', 1, 900, [2, 3, 4], [1, 1, 1], [0, 0, 0], [250, 0, 0], [255, 0, 80]), "
        "(1, '2026-11-01', 2, 0, [2], [1], [0], [0], [255]), (1, '2026-11-01', 3, 10000, [2], [1], [0], [0], [7])"
    )
    old = connection.select(
        "SELECT engaged_ms, page_engaged_ms, pages.scroll_percent, bounced FROM sessions ORDER BY version"
    )
    assert "2026_11_30_engagement" in migrate(store_address, SchemaForm())
    connection.command(
        "INSERT INTO sessions (site_id, day, version, pages.id, pages.views, pages.customs, pages.scroll_percent, "
        "engagement.place, engagement.ms, engagement.scroll_percent) VALUES "
        "(1, '2026-11-01', 11, [2, 3, 4], [1, 1, 1], [0, 0, 0], [255, 255, 255], "
        "[3, 1, 2], [650, 250, 0], [80, 255, 0]), "
        "(1, '2026-11-01', 12, [2], [1], [0], [255], [], [], []), "
        "(1, '2026-11-01', 13, [2], [1], [0], [255], [1], [10000], [7])"
    )
    seen = "SELECT visit_engaged_ms, page_engaged_ms, page_scroll_percent, bounced FROM sessions "
    assert connection.select(seen + "WHERE version < 10 ORDER BY version") == old
    assert connection.select(seen + "WHERE version > 10 ORDER BY version") == old
    assert [row[0] for row in old] == [900, 0, 10_000]
    silent = connection.select("SELECT DISTINCT silent_pages FROM sessions")
    assert silent == [(-1,)], "nobody counted them: readers ask the views"
    connection.close()
