"""A server that knows the token of an INSERT and has none of its rows: it was killed between writing the two."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.batch import Batch, Encoded, prepare, targets
from server.clickhouse_tcp import BlockConnection, Target
from server.deduplication import MOST_TOKENS, may_know_missing_rows, tokens_of
from server.destruction import RowsOfSite
from server.migrate import SchemaForm, migrate
from server.queries import run_query
from server.retry import TokensUsedUp
from server.sink import Sink
from tests.server.segments import write_segment
from tests.services.clickhouse import ClickHouseServer, running_clickhouse

FORM = SchemaForm()
LATER_S = 2**31


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ClickHouseServer]:
    with running_clickhouse(tmp_path / "clickhouse") as started:
        migrate(started.address, FORM)
        yield started


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return prepare(write_segment(tmp_path, 100, shorts=2).path)


def count(server: ClickHouseServer, table: str, counted: str = "count()") -> int:
    with closing(BlockConnection(server.address)) as connection:
        return int(connection.select(f"SELECT {counted} FROM {table}")[0][0])


def lose_parts(server: ClickHouseServer, table: str) -> None:
    """Kill the server and take a table's parts from its disk; its deduplication log stays."""
    with closing(BlockConnection(server.address)) as connection:
        # Parts that were merged would come back.
        question = "SELECT path FROM system.parts WHERE table = %(table)s"
        paths = [Path(str(path)) for (path,) in connection.select(question, {"table": table})]
    server.kill()
    for path in paths:
        shutil.rmtree(path)
    server.start()


def block_of(batch: Batch, table: str) -> tuple[Target, Encoded, str]:
    """What of a batch goes into a table, and its first token."""
    events, ledger = targets(FORM)
    if table == "events":
        return events, batch.events, batch.events_token
    return ledger, batch.ledger, batch.ledger_token


def use_up(server: ClickHouseServer, batch: Batch, table: str, tokens: int) -> None:
    """Have the server know the first so many tokens of a block that it does not have."""
    target, block, first = block_of(batch, table)
    with closing(BlockConnection(server.address)) as connection:
        connection.command(f"SYSTEM STOP MERGES {table}")
        for token in tokens_of(first)[:tokens]:
            connection.insert_block(target, block.parts, token=token, query_id=f"by-hand-{token}")
    lose_parts(server, table)


def store_again(server: ClickHouseServer, batch: Batch) -> bool:
    with closing(Sink(lambda: server.address, FORM, *targets(FORM))) as sink:
        return sink.store(batch, sent_before=True).found


@pytest.mark.parametrize("table", ["events", "ledger"])
def test_a_server_that_was_killed_drops_what_it_does_not_have(
    server: ClickHouseServer, batch: Batch, table: str
) -> None:
    """Why nothing is believed to be stored because a repetition was acknowledged."""
    use_up(server, batch, table, 1)
    target, block, token = block_of(batch, table)
    with closing(BlockConnection(server.address)) as connection:
        connection.insert_block(target, block.parts, token=token, query_id="again")
        assert may_know_missing_rows(connection, table)
    assert count(server, table) == 0


@pytest.mark.parametrize("table", ["events", "ledger"])
@pytest.mark.parametrize("used_up", [1, 3])
def test_a_repetition_is_stored_under_the_next_token(
    server: ClickHouseServer, batch: Batch, table: str, used_up: int
) -> None:
    use_up(server, batch, table, used_up)
    assert not store_again(server, batch)
    assert (count(server, "events"), count(server, "ledger", "sum(count)")) == (100, 102)
    # And only once: by whoever asks first, and by its token if somebody does not.
    assert store_again(server, batch)
    assert (count(server, "events"), count(server, "ledger", "sum(count)")) == (100, 102)


def test_a_server_that_knows_every_token_is_tried_again_later(server: ClickHouseServer, batch: Batch) -> None:
    use_up(server, batch, "events", MOST_TOKENS)
    with pytest.raises(TokensUsedUp, match="events knows every token"):
        store_again(server, batch)
    assert count(server, "events") == 0


def test_what_a_destruction_takes_is_counted_all_the_same(server: ClickHouseServer, batch: Batch) -> None:
    with closing(Sink(lambda: server.address, FORM, *targets(FORM))) as sink:
        sink.store(batch, sent_before=False)
    for site_id in (1, 2):
        with closing(BlockConnection(server.address)) as connection:
            rows = RowsOfSite(connection, FORM, site_id, LATER_S, 1, lambda *_: None)
            ((month, _),) = run_query(connection, "destruction_months", site_id=site_id, until_s=LATER_S)
            rows._post(int(str(month)))
        if site_id == 1:
            lose_parts(server, "ledger")
    with closing(BlockConnection(server.address)) as connection:
        RowsOfSite(connection, FORM, 1, LATER_S, 1, lambda *_: None).destroy(lambda: None)
        posted = connection.select(
            "SELECT site_id, sum(count) FROM ledger WHERE outcome = 'destroyed' GROUP BY site_id"
        )
    assert dict(posted) == {1: 50, 2: 50}


def test_tokens_follow_one_another() -> None:
    assert tokens_of("a")[:3] == ("a", "a.2", "a.3")
    assert len(set(tokens_of("a"))) == MOST_TOKENS
