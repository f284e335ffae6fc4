"""The app database in a backup: every row as JSON, so that it comes back into SQLite or PostgreSQL, whichever it was.

The content of the object is a deflate stream of lines:

| line | what |
|---|---|
| first | `migration`: the state of the tables; `taken_at_ms`; `secret_key` or its `secret_key_check` |
| table | `table`, `columns`, `binary` (the places of columns whose values are base64) |
| row | an array, in the order of the columns of the table above it |
| last | `counters`: the highest number that each table ever gave out |

It is read in one transaction that sees one state and keeps nobody from writing. SQLite's own copying of files would
take the salts along, and comes back only into SQLite.

What is left out, and why, is `LEFT_OUT`, and with it mails that wait and the tasks that would send them: the mails were
sent soon after. Everything else comes back as it was; tasks and jobs go on from there.

The secret key opens second factors. If it lies in the data folder, it is in the backup, which is encrypted as a whole;
if it is a setting, only a check of it is, so that a restore can tell when it is another one.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    LargeBinary,
    MetaData,
    Select,
    Table,
    func,
    insert,
    select,
    text,
)

from server.backups.errors import DamagedObject
from server.clock import now_ms
from server.config import Settings
from server.data_folder import load_secret_key
from server.models import Base, Mail, Task

LEFT_OUT = {
    "salts": "no backup may hold them; new ones are made, so who came before and comes again that day counts twice",
    "login_sessions": "everybody logs in again",
    "one_time_tokens": "links in mails are good for hours",
    "watermarks": "of spool folders, which are not in a backup",
    "open_days": "made again within a quarter of an hour",
    "cache_invalidations": "one stands for all of them after a restore",
    "retention_moves": "none is under way while a backup is made, and what was only copied is copied again",
    "backups": "read from the place of the backups",
}
"""Tables whose rows no backup has; nor are there rows of tables that need one of theirs (`kept_tables`)."""

MAIL_TASKS = ("mail.send", "mail.send_alert")
UNFINISHED = ("queued", "running")

ROWS_AT_ONCE = 1_000
DEFLATE_LEVEL = 6

INVALIDATIONS_APART = 1_000_000
"""More invalidations than were made between a backup and its restore: see `server.cache.invalidations`."""


def dump(
    engine: Engine,
    settings: Settings,
    migration: str,
    write: Callable[[bytes], None],
    clock: Callable[[], int] = now_ms,
    progress: Callable[[int], None] = lambda rows: None,
) -> tuple[int, dict[str, int]]:
    """Write the content; the moment of which it is, and the rows of each table. Raises what SQLAlchemy raises."""
    deflate = zlib.compressobj(DEFLATE_LEVEL)
    counts: dict[str, int] = {}
    done = 0

    def put(line: object) -> None:
        write(deflate.compress(orjson.dumps(line) + b"\n"))

    with _snapshot(engine) as connection:
        # Its first question fixes what a transaction sees: later than this moment by no more than the question takes.
        connection.execute(text("SELECT count(*) FROM versions"))
        taken_at_ms = clock()
        put({"migration": migration, "taken_at_ms": taken_at_ms, **_secret(settings)})
        for table in kept_tables():
            name = str(table.name)  # SQLAlchemy's own kind of text
            binary = [place for place, column in enumerate(table.columns) if isinstance(column.type, LargeBinary)]
            put({"table": name, "columns": [str(column.name) for column in table.columns], "binary": binary})
            counts[name] = 0
            for row in connection.execution_options(yield_per=ROWS_AT_ONCE).execute(_wanted(table)):
                put([_text(value) if place in binary else value for place, value in enumerate(row)])
                counts[name] += 1
                done += 1
                if done % ROWS_AT_ONCE == 0:
                    progress(done)
        put({"counters": _counters(connection)})
    write(deflate.flush())
    return taken_at_ms, counts


def kept_tables() -> list[Table]:
    """The tables whose rows are in a backup, each after those that it refers to."""
    left_out = set(LEFT_OUT)
    kept = []
    for table in Base.metadata.sorted_tables:
        if any(key.column.table.name in left_out for key in table.foreign_keys):
            left_out.add(table.name)
        if table.name not in left_out:
            kept.append(table)
    return kept


class AppContent:
    """Reads the content from its pieces. Raises `DamagedObject`."""

    def __init__(self, content: Iterator[bytes], path: str) -> None:
        self._path = path
        self._lines = _lines(content, path)
        self.head: dict[str, Any] = self._next()

    def _next(self) -> Any:
        line = next(self._lines, None)
        if line is None:
            raise DamagedObject(self._path, "it ends too early")
        return line

    def rows(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Some rows of a table at a time; then `counters` under the empty name."""
        while True:
            header = self._next()
            if "counters" in header:
                yield "", [header["counters"]]
                return
            yield from self._of_table(header)

    def _of_table(self, header: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        name, columns, binary = header["table"], header["columns"], set(header["binary"])
        some: list[dict[str, Any]] = []
        while isinstance(line := self._next(), list):
            values = [
                base64.b64decode(value) if place in binary and value is not None else value
                for place, value in enumerate(line)
            ]
            some.append(dict(zip(columns, values, strict=True)))
            if len(some) == ROWS_AT_ONCE:
                yield name, some
                some = []
        self._lines = _again(line, self._lines)
        if some:
            yield name, some


def load(connection: Connection, content: AppContent, progress: Callable[[int], None] = lambda rows: None) -> None:
    """Put the rows into the empty tables of the migration that the content is of; part of the caller's transaction."""
    there = MetaData()
    there.reflect(connection)
    for table in reversed(there.sorted_tables):
        if table.name != "alembic_version":
            connection.execute(table.delete())
    done = 0
    counters: dict[str, int] = {}
    for name, rows in content.rows():
        if not name:
            counters = rows[0]
            continue
        connection.execute(insert(there.tables[name]), rows)
        done += len(rows)
        progress(done)
    _continue_counting(connection, there, counters)
    # What was remembered anywhere before is out of date, and whoever has a snapshot sees that there is another one.
    newest = counters.get("cache_invalidations", 0) + INVALIDATIONS_APART
    added = {"invalidation_id": newest, "topic": "restored", "at_ms": now_ms()}
    connection.execute(insert(there.tables["cache_invalidations"]), [added])
    _count_from(connection, there.tables["cache_invalidations"], newest)
    versions = there.tables["versions"]
    connection.execute(versions.update().values(version=versions.c.version + INVALIDATIONS_APART))


@contextmanager
def _snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads and sees one state."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            yield connection
        return
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with engine.connect().execution_options(**options) as connection:
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        yield connection


def _wanted(table: Table) -> Select[Any]:
    wanted = select(table)
    left_out: ColumnElement[bool] | None = None
    if table.name == Mail.__tablename__:
        left_out = table.c.state == "queued"
    if table.name == Task.__tablename__:
        left_out = table.c.kind.in_(MAIL_TASKS) & table.c.state.in_(UNFINISHED)
    return wanted if left_out is None else wanted.where(~left_out)


def _secret(settings: Settings) -> dict[str, str]:
    key = load_secret_key(settings)
    return {"secret_key_check": secret_key_check(key)} if settings.secret_key else {"secret_key": key}


def secret_key_check(key: str) -> str:
    """Tells whether two secret keys are the same, and nothing else of them."""
    return hashlib.pbkdf2_hmac("sha256", key.encode(), b"footfall backup secret key check", 200_000).hex()


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _lines(content: Iterator[bytes], path: str) -> Iterator[Any]:
    inflate = zlib.decompressobj()
    waiting = b""
    try:
        for piece in content:
            *whole, waiting = (waiting + inflate.decompress(piece)).split(b"\n")
            yield from map(orjson.loads, whole)
    except (zlib.error, orjson.JSONDecodeError):
        raise DamagedObject(path, "its content is not that of an app database") from None
    if waiting or not inflate.eof:
        raise DamagedObject(path, "it ends too early")


def _again(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _counted(table: Table) -> str:
    """The column whose numbers the database gives out; empty when there is none."""
    keys = list(table.primary_key.columns)
    return keys[0].name if len(keys) == 1 and keys[0].type.python_type is int else ""


def _counters(connection: Connection) -> dict[str, int]:
    found: dict[str, int] = {}
    if connection.dialect.name == "sqlite":
        return {
            str(name): int(number) for name, number in connection.execute(text("SELECT name, seq FROM sqlite_sequence"))
        }
    for table in Base.metadata.sorted_tables:
        column = _counted(table)
        sequence = column and connection.execute(_SEQUENCE_OF, {"table": table.name, "column": column}).scalar()
        if sequence:
            last = connection.execute(_LAST_OF, {"sequence": sequence}).scalar()
            found[str(table.name)] = int(last or 0)
    return found


_SEQUENCE_OF = text("SELECT pg_get_serial_sequence(:table, :column)")
_LAST_OF = text("SELECT pg_sequence_last_value(CAST(:sequence AS regclass))")
_SET_SEQUENCE = text("SELECT setval(CAST(:sequence AS regclass), :number)")


def _continue_counting(connection: Connection, there: MetaData, counters: dict[str, int]) -> None:
    for table in there.sorted_tables:
        column = _counted(table)
        if column and table.name != "alembic_version":
            highest = connection.execute(select(func.max(table.c[column]))).scalar() or 0
            _count_from(connection, table, max(int(highest), counters.get(table.name, 0)))


def _count_from(connection: Connection, table: Table, number: int) -> None:
    """Have the database give out greater numbers from now on."""
    if number < 1:
        return
    if connection.dialect.name == "sqlite":
        # Only tables that never give a number out twice have a row there, and that once they had one.
        if connection.execute(_KEEPS_COUNT, {"table": table.name}).scalar():
            connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :table"), {"table": table.name})
            connection.execute(_SET_COUNT, {"table": table.name, "number": number})
        return
    sequence = connection.execute(_SEQUENCE_OF, {"table": table.name, "column": _counted(table)}).scalar()
    if sequence:
        connection.execute(_SET_SEQUENCE, {"sequence": sequence, "number": number})


_KEEPS_COUNT = text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = :table AND sql LIKE '%AUTOINCREMENT%'")
_SET_COUNT = text("INSERT INTO sqlite_sequence (name, seq) VALUES (:table, :number)")
