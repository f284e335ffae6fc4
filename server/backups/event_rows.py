"""Partitions of ClickHouse as a backup sees them: which there are, what is in one, and how one comes back.

Which tables there are is asked of ClickHouse (`backup_partitions.sql`): every one of our database that stores rows, so
a table that a migration adds is part of the next backup. In the cluster form rows are read and written through the
Distributed tables, so a backup does not depend on how many shards there are.

Order: `closings` comes last, because rows of versions that it does not name would never be found as leftovers; a
version is named there before anything else of it is written, so whatever was copied before is named.

Memory: one block, which ClickHouse cuts at about `BLOCK_BYTES` of content or 65,536 rows, compressed to a quarter.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain, islice

from clickhouse_driver import errors as driver_errors

from server.backups.block_file import BlockFileReader, BlockFileWriter, BlockHead
from server.backups.errors import RowsDiffer, TargetUnavailable
from server.backups.manifest import PartitionCopy
from server.clickhouse_tcp import BlockConnection, Target, quoted
from server.migrate import SchemaForm
from server.queries import run_query
from server.queries.statements import fill, sql_text
from server.retention_moves import STAGING

log = logging.getLogger(__name__)

LAST_TABLE = "closings"
BLOCK_BYTES = 8 * 1024 * 1024
BLOCKS_AT_ONCE = 16
"""In one INSERT: a million rows, of which the server makes one part."""
ATTEMPTS = 3
FIRST_PAUSE_S = 1.0

# Sent compressed: half of what LZ4 leaves, for the server's CPU. Rows come in the order of the parts.
_READING = {
    "network_compression_method": "ZSTD",
    "network_zstd_compression_level": 1,
    "preferred_block_size_bytes": BLOCK_BYTES,
    "max_execution_time": 0,
    "max_rows_to_read": 0,
    "max_result_rows": 0,
    "max_result_bytes": 0,
}

RETRIABLE = (OSError, EOFError, driver_errors.Error)
"""What a lost connection, a restart or a server short of memory raises."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition as it is now. `table` is the name that rows are read by; `rows` includes some that are deleted."""

    table: str
    partition_id: str
    rows: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Copied:
    """What became of one copy. `is_whole`: it has every row that was there when it began."""

    rows: int
    blocks: int
    is_whole: bool


class EventRows:
    """One connection to the store. Not thread-safe."""

    def __init__(self, connection: BlockConnection, form: SchemaForm) -> None:
        self._connection = connection
        self._form = form

    def partitions(self) -> list[Partition]:
        """Those that have rows, in the order in which to copy them."""
        cluster = self._form.cluster
        parts = f"cluster('{cluster}', system.parts)" if cluster else "system.parts"
        rows = self._connection.select(fill(sql_text("backup_partitions"), parts=parts))
        found = [
            Partition(self._read_name(table), partition, count, mark)
            for table, partition, count, mark in rows
            if not str(table).endswith(STAGING)  # copies of rows that are still where they were
        ]
        return sorted(found, key=_place)

    def copy(
        self,
        partition: Partition,
        cut_s: int,
        write: Callable[[bytes], None],
        progress: Callable[[int], None],
    ) -> Copied:
        """Write a partition's rows, but those of batches after the second `cut_s`. `progress`: bytes so far.

        Raises `RETRIABLE`.
        """
        columns = self.columns(partition.table)
        named = {"partition_id": partition.partition_id}
        condition, is_whole = "1", True
        if any(name == "batch_time" for name, _ in columns):
            later = fill(sql_text("backup_later_rows"), table=partition.table)
            ((count,),) = self._connection.select(later, {**named, "cut_s": cut_s})
            # Also where there are none: some may come before the rows are read.
            condition, is_whole = f"batch_time <= toDateTime({cut_s}, 'UTC')", not count
        text = fill(
            sql_text("backup_rows"),
            columns=", ".join(quoted(name) for name, _ in columns),
            table=partition.table,
            condition=condition,
        )
        writer = BlockFileWriter(write, BlockHead(partition.table, partition.partition_id, columns))
        blocks = self._connection.select_blocks(text, named, **_READING)
        written = 0
        while True:
            try:
                frames = next(blocks)
            except StopIteration as end:
                rows = int(end.value)
                break
            writer.add(frames)
            written += sum(map(len, frames))
            progress(written)
        writer.close()
        return Copied(rows, writer.blocks, is_whole)

    def count(self, table: str, partition_id: str) -> int:
        """How many rows a partition has."""
        text = fill(sql_text("backup_count"), table=table)
        ((rows,),) = self._connection.select(text, {"partition_id": partition_id})
        return int(rows)

    def insert(self, reader: BlockFileReader, token: str, progress: Callable[[int], None]) -> None:
        """Store the blocks of a partition. A table that remembers tokens stores none of them twice."""
        target = Target(reader.head.table, reader.head.columns)
        blocks = reader.blocks()
        sent = 0

        def telling(some: Iterator[bytes]) -> Iterator[list[bytes]]:
            nonlocal sent
            for block in some:
                yield [block]
                sent += len(block)
                progress(sent)

        for number, first in enumerate(iter(lambda: next(blocks, None), None)):
            some = chain([first], islice(blocks, BLOCKS_AT_ONCE - 1))
            self._connection.insert_blocks(
                target,
                telling(some),
                token=f"{token}-{number}",
                query_id=str(uuid.uuid4()),
                settings={"insert_distributed_sync": 1} if self._form.cluster else {},
            )

    def drop(self, table: str, partition_id: str) -> None:
        """Take a partition's rows away, and what the table remembers of their tokens."""
        self._connection.command(
            f"ALTER TABLE {self._form.stored(table)} {self._form.on_cluster} DROP PARTITION ID '{partition_id}'",
            alter_sync=2,
        )

    def pause_expiry(self, *, is_paused: bool) -> None:
        """Have nothing expire, fold or lose columns, or again, so that rows can be counted while they come back."""
        for table in self.tables():
            verb = "STOP" if is_paused else "START"
            self._connection.command(f"SYSTEM {verb} TTL MERGES {self._form.on_cluster} {table}")

    def tables(self) -> list[str]:
        """The tables that store rows."""
        return [str(name) for name, _, stores in run_query(self._connection, "backup_tables") if stores]

    def stored_rows(self) -> int:
        """Rows of all tables but the ledger, and what migrations wrote there."""
        left_out = ("schema_migrations", self._form.ledger)
        rows = run_query(self._connection, "backup_tables")
        return sum(int(count) for name, count, stores in rows if stores and name not in left_out)

    def drop_tables(self) -> None:
        """Take everything away, tables too."""
        for name, _, _ in run_query(self._connection, "backup_tables"):
            self._connection.command(f"DROP TABLE IF EXISTS {name} {self._form.on_cluster} SYNC")

    def columns(self, table: str) -> tuple[tuple[str, str], ...]:
        """Name and type of each column that is stored."""
        rows = run_query(self._connection, "backup_columns", table=table)
        return tuple((str(name), str(type_)) for name, type_ in rows)

    def _read_name(self, stored: str) -> str:
        return str(stored).removesuffix("_local") if self._form.cluster else str(stored)


def in_order(copies: Iterable[PartitionCopy]) -> tuple[PartitionCopy, ...]:
    """As they are to be copied and restored."""
    return tuple(sorted(copies, key=_place))


def _place(partition: Partition | PartitionCopy) -> tuple[bool, str, str]:
    return partition.table == LAST_TABLE, partition.table, partition.partition_id


def restore_partition(
    rows: EventRows,
    table: str,
    partition_id: str,
    expected_rows: int,
    opened: Callable[[], AbstractContextManager[BlockFileReader]],
    token: str,
    progress: Callable[[int], None],
    pause: Callable[[float], None] = time.sleep,
) -> bool:
    """Bring a partition back, whatever is there of it; whether there was something to do. `opened` begins its file
    anew.

    Tokens keep a block of an INSERT whose end nobody saw from being stored twice; a partition that has other rows than
    it should is taken away and sent again. Raises `RowsDiffer`, and `RETRIABLE` when it failed `ATTEMPTS` times.
    """
    for attempt in range(ATTEMPTS):
        try:
            there = rows.count(table, partition_id)
            if there == expected_rows:
                return attempt > 0
            if there:
                rows.drop(table, partition_id)
            with opened() as reader:
                rows.insert(reader, token, progress)
            if rows.count(table, partition_id) == expected_rows:
                return True
        except (*RETRIABLE, TargetUnavailable) as error:
            if attempt == ATTEMPTS - 1:
                raise
            log.warning("a partition is sent again", extra={"reason": type(error).__name__})
            pause(FIRST_PAUSE_S * 2**attempt)
    raise RowsDiffer(
        f"partition {partition_id} of {table} has {rows.count(table, partition_id)} rows and the backup "
        f"{expected_rows}: make sure that nothing else writes to this installation, and restore again"
    )
