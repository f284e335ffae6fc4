"""Moving rows of a site from one retention class to another, so that they expire when its plan says.

The class is part of the partition key, which no ALTER UPDATE may touch (ClickHouse: code 420), so rows go through a
staging table of the same form, one (table, site, month, class) at a time:

    copy, nobody sees it ─▶ state `switching` ─▶ DELETE of the old ones ─▶ MOVE PARTITION of the new ones ─▶ done

The copy takes as long as it takes; between the DELETE and the MOVE, about a second for a month, a reader may miss
the month. Each step may be cut and is done again: until `switching` the copy is thrown away and made anew; afterwards
the DELETE finds nothing more, and a MOVE takes what is still in the staging table, so no row is there twice or never.
`server.audit` counts a month that is switching in the staging table.

Only rows that nobody adds to any more are moved: of batches before the watermark, of closings that are older than any
that is under way. What comes later is moved by a later run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from server.clickhouse_tcp import BlockConnection
from server.closed_days import DAY_NUMBERS
from server.closed_months import MONTH_BIT
from server.destruction import MutationFailed
from server.migrate import RETENTION_DAYS
from server.models import RetentionMove
from server.queries import run_query

STAGING = "_moving"
"""Ends the names of staging tables."""
MUTATION_POLL_S = 0.1
CLOSING_AGE_MS = 30 * 60_000
"""A chunk of a closing takes a minute, and its job's run at most 14."""

_IN_BACKGROUND = {"mutations_sync": 0, "lightweight_deletes_sync": 0}


class RowsChanged(Exception):
    """Rows came to a month while it was copied. Nothing was moved; a later run does it."""


@dataclass(frozen=True)
class ClassTable:
    """A table of a node's own rows whose rows have a class."""

    name: str
    month_of: str
    condition: str
    """Which rows nobody adds to any more, with `%(cutoff)s`."""
    counts_batches: bool

    @property
    def staging(self) -> str:
        """Where its rows are on their way."""
        return f"{self.name}{STAGING}"


@dataclass(frozen=True, order=True)
class Piece:
    """Rows of one site, table, month and class."""

    table: str
    site_id: int
    month: int
    from_class: int


def class_tables(connection: BlockConnection) -> list[ClassTable]:
    """Every table whose rows have a class, whoever added it. One with neither versions nor batches is not moved."""
    found = []
    for table, has_version, has_batch in run_query(connection, "tables_of_classes"):
        if has_batch:
            condition = "batch_time < toDateTime(%(cutoff)s, 'UTC')"
            found.append(ClassTable(str(table), "toYYYYMM(hour)", condition, counts_batches=True))
        elif has_version:
            # Of a day's version, and of a month's beside its days.
            condition = f"intDiv(bitAnd(version, {MONTH_BIT - 1}), {2 * DAY_NUMBERS}) < %(cutoff)s"
            found.append(ClassTable(str(table), "toYYYYMM(day)", condition, counts_batches=False))
    return found


def cutoff_of(table: ClassTable, complete_until_ms: int, now_ms: int) -> int:
    """For `ClassTable.condition`: everything before it is stored, or written to its end."""
    return complete_until_ms // 1000 if table.counts_batches else now_ms - CLOSING_AGE_MS


def pieces_of(connection: BlockConnection, table: ClassTable, classes: dict[int, int]) -> list[Piece]:
    """What is not in the class of its site. `classes`: the class of each site."""
    # Only the columns of the primary key and the class are read; sites of one class, which is most, end here.
    rows = connection.select(
        f"SELECT site_id, {table.month_of} AS month, retention_class FROM {table.name} "  # noqa: S608 - our tables
        "GROUP BY site_id, month, retention_class"
    )
    known = [(int(site_id), int(str(month)), int(str(stored))) for site_id, month, stored in rows]
    return sorted(
        Piece(table.name, site_id, month, stored)
        for site_id, month, stored in known
        if stored != classes.get(site_id, stored)
    )


class Mover:
    """Moves one piece at a time on one node. For one thread."""

    def __init__(self, connection: BlockConnection, progress: Callable[[str], None]) -> None:
        """`progress` is told each step, and may raise to end the work."""
        self._connection = connection
        self._tell = progress

    def copy(self, table: ClassTable, piece: Piece, to_class: int, cutoff: int) -> int:
        """Fill the staging table anew; how many rows. Raises `RowsChanged`."""
        self._tell(f"copying {piece.table} {piece.month}")
        self.drop(table)
        self._connection.command(f"CREATE TABLE {table.staging} AS {table.name}")
        # What expires by its new class does so where it belongs, not while it is counted. To take the table's TTL away
        # instead would leave parts that know of no time at which they end.
        self._connection.command(f"SYSTEM STOP MERGES {table.staging}")
        values = {**self._values(piece, cutoff), "to": to_class}
        where = self._where(table)
        self._connection.select(
            f"INSERT INTO {table.staging} SELECT * REPLACE (toUInt8(%(to)s) AS retention_class) "  # noqa: S608 - ours
            f"FROM (SELECT * FROM {table.name} WHERE {where})",
            values,
        )
        copied = self._count(table.staging)
        if copied != self.left(table, piece, cutoff):
            raise RowsChanged(f"{piece.table} {piece.month} of site {piece.site_id}")
        return copied

    def left(self, table: ClassTable, piece: Piece, cutoff: int) -> int:
        """How many rows of the piece are where they were."""
        question = f"SELECT count() FROM {table.name} WHERE {self._where(table)}"  # noqa: S608 - ours
        return int(self._connection.select(question, self._values(piece, cutoff))[0][0])

    def switch(self, table: ClassTable, piece: Piece, to_class: int, cutoff: int) -> None:
        """Let the copy take the place of the rows. Safe to repeat."""
        self._tell(f"moving {piece.table} {piece.month}")
        partition = f"({piece.from_class}, {piece.month})"
        if self.left(table, piece, cutoff):
            self._mutate(
                table.name,
                f"DELETE FROM {table.name} IN PARTITION {partition} "  # noqa: S608 - ours
                f"WHERE {self._where(table) % self._values(piece, cutoff)}",
            )
        self._tell(f"moving {piece.table} {piece.month}")
        if self.is_staged(table) and self._count(table.staging):
            self._connection.command(
                f"ALTER TABLE {table.staging} MOVE PARTITION ({to_class}, {piece.month}) TO TABLE {table.name}"
            )
        self._tell(f"moved {piece.table} {piece.month}")
        self.drop(table)

    def scrub(self, table: ClassTable, piece: Piece) -> None:
        """Write the partition that was left anew without the deleted rows: masked ones stay on the disk otherwise."""
        partition = f"({piece.from_class}, {piece.month})"
        there = self._connection.select(
            "SELECT 1 FROM system.parts WHERE database = currentDatabase() AND table = %(table)s AND active "
            "AND partition = %(partition)s AND has_lightweight_delete LIMIT 1",
            {"table": table.name, "partition": partition.replace(" ", "")},
        )
        if there:
            self._tell(f"files of {piece.table} {piece.month}")
            self._mutate(table.name, f"ALTER TABLE {table.name} APPLY DELETED MASK IN PARTITION {partition}")

    def is_staged(self, table: ClassTable) -> bool:
        """Whether there is a staging table."""
        return bool(self._connection.select(f"EXISTS TABLE {table.staging}")[0][0])

    def drop(self, table: ClassTable) -> None:
        """Throw the staging table away."""
        self._connection.command(f"DROP TABLE IF EXISTS {table.staging} SYNC")

    def _count(self, name: str) -> int:
        return int(self._connection.select(f"SELECT count() FROM {name}")[0][0])  # noqa: S608 - our table

    def _where(self, table: ClassTable) -> str:
        return (
            f"site_id = %(site)s AND {table.month_of} = %(month)s AND retention_class = %(from)s AND {table.condition}"
        )

    def _values(self, piece: Piece, cutoff: int) -> dict[str, int]:
        return {"site": piece.site_id, "month": piece.month, "from": piece.from_class, "cutoff": cutoff}

    def _mutate(self, table: str, statement: str) -> None:
        """Start a mutation and return when it has been carried out."""
        self._connection.command(statement, **_IN_BACKGROUND)
        ours = {number for number, _ in self._unfinished(table)}
        while waiting := [(number, reason) for number, reason in self._unfinished(table) if number in ours]:
            if any(reason for _, reason in waiting):
                raise MutationFailed(table)
            self._tell(f"changing {table}")
            time.sleep(MUTATION_POLL_S)

    def _unfinished(self, table: str) -> Sequence[tuple[str, str]]:
        rows = self._connection.select(
            "SELECT mutation_id, latest_fail_reason FROM system.mutations "
            "WHERE database = currentDatabase() AND table = %(table)s AND NOT is_done",
            {"table": table},
        )
        return [(str(number), str(reason)) for number, reason in rows]


def settle_move(mover: Mover, table: ClassTable, move: RetentionMove) -> None:
    """Finish a move that was left half done, or undo it. Safe to repeat."""
    piece = Piece(move.store_table, move.site_id, move.month, move.from_class)
    if move.state == "switching":
        mover.switch(table, piece, move.to_class, move.cutoff)
    else:
        mover.drop(table)


def is_shorter(one: int, other: int) -> bool:
    """Whether the first class is kept for a shorter time. Classes without a time are kept."""
    never = max(RETENTION_DAYS.values()) + 1
    return RETENTION_DAYS.get(one, never) < RETENTION_DAYS.get(other, never)
