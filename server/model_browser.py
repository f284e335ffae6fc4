"""Every table of the app database, to be looked at and never changed: what may be shown, lists, rows, links.

Nothing secret is ever shown. A column is hidden when

- it holds bytes, or a type that is not of `_SHOWN_TYPES`;
- its name or free form suggests a secret (`_SUSPECT`), and it is not in `HARMLESS`;
- it is in `HIDDEN`.

`HARMLESS` and `HIDDEN` together name every suspect column: a test fails when a new one is in neither. Until somebody
decided, it is hidden. Hidden columns are not read from the database at all, and cannot be filtered by.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    select,
    tuple_,
)
from sqlalchemy.orm import Session

from server.models import Base

PAGE_ROWS = 50

# Of a text, what a list shows; the row's page has more.
LIST_CHARS = 80
ROW_CHARS = 10_000

# Tables whose rows have no number of their own to show are paged by place; nobody reads further.
MOST_SKIPPED_ROWS = 5_000

_SHOWN_TYPES = (Integer, BigInteger, Boolean, String, Text, JSON)

_SUSPECT = re.compile(
    r"hash|secret|token|seal|passw|salt|totp|key|slug|code|cookie|credential|private|signature|nonce|answer|link|url"
)

HIDDEN = frozenset(
    (
        "api_keys.key_hash",
        "batch_claims.answer",
        "batch_claims.body_hash",
        "batch_claims.key_hash",
        "guests.token_hash",
        # Of a failed import or sign-up they may hold what somebody typed.
        "tasks.arguments",
        "tasks.checkpoint",
        "tasks.lease_token",
        "tasks.unique_key",
        "invitations.token_hash",
        "job_runs.lock_token",
        "job_states.lock_token",
        "known_devices.device_hash",
        "login_sessions.token_hash",
        "mails.body_sealed",
        "one_time_tokens.token_hash",
        "recovery_codes.code_hash",
        "salts.salt",
        # Whoever has it sees the site.
        "share_links.password_hash",
        "share_links.slug",
        "site_transfers.token_hash",
        # One may be a person's address.
        "sites.blocked_networks",
        "users.password_hash",
        "users.totp_last_step",
        "users.totp_sealed",
    )
)
"""Never shown: secrets, what they are hashed to, and free forms that may hold them."""

HARMLESS = frozenset(
    (
        "alerts.detail",
        "alerts.key",
        "announcements.text",
        "api_keys.key_id",
        "api_keys.scopes",
        "audit_log.detail",
        "billing_profiles.plan_code",
        "feature_flags.account_ids",
        "funnels.goal_ids",
        "imports.content_hash",
        "imports.report",
        "plan_changes.from_plan_code",
        "plan_changes.to_plan_code",
        "segments.filters",
        "share_links.share_link_id",
        "sites.allowed_hostnames",
        "sites.blocked_countries",
        "sites.blocked_paths",
        "sites.embed_origins",
        "subscriptions.entitled_plan_code",
        "users.totp_enabled_at_ms",
    )
)
"""Suspect by name or form, and shown all the same: somebody looked."""


class NoSuchTable(LookupError):
    """There is no table of this name, or no such row or column to be seen in it."""


@dataclass(frozen=True)
class Cell:
    """A value as it is shown. `path`: the row that it refers to, as `table/key`; empty for a plain value."""

    column: str
    text: str
    at_ms: int | None
    path: str


@dataclass(frozen=True)
class Line:
    """A row. `path`: where its page is, as `table/key`; empty when its key is secret."""

    path: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class TablePage:
    """One page of a table. `next_after`: what the next page goes on after; empty on the last one."""

    table: str
    columns: tuple[str, ...]
    filters: tuple[str, ...]
    lines: tuple[Line, ...]
    next_after: str
    hidden: int


@dataclass(frozen=True)
class RowPage:
    """One row, and where rows that refer to it are listed: (table, column, value)."""

    table: str
    line: Line
    hidden: tuple[str, ...]
    referring: tuple[tuple[str, str, str], ...]


def is_suspect(column: Column[Any]) -> bool:
    """Whether somebody has to decide if this column may be shown."""
    is_free_form = isinstance(column.type, JSON | Text)
    return is_free_form or not isinstance(column.type, _SHOWN_TYPES) or _SUSPECT.search(column.name) is not None


def is_shown(column: Column[Any]) -> bool:
    """Whether a column is shown."""
    name = f"{column.table.name}.{column.name}"
    if name in HIDDEN or not isinstance(column.type, _SHOWN_TYPES):
        return False
    return not is_suspect(column) or name in HARMLESS


def tables() -> list[tuple[str, str]]:
    """Every table with the first sentence of what its model says, by name."""
    said = {
        mapper.local_table.name: (mapper.class_.__doc__ or "").strip().partition("\n")[0].partition(". ")[0].rstrip(".")
        for mapper in Base.registry.mappers
        if isinstance(mapper.local_table, Table)
    }
    return sorted((name, said.get(name, "")) for name in Base.metadata.tables)


def filters_of(table: Table) -> tuple[str, ...]:
    """The shown columns that rows can be found by without reading all: those that a key or an index begins with."""
    first = {next(iter(index.columns)).name for index in table.indexes if len(index.columns)}
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint | PrimaryKeyConstraint) and len(constraint.columns):
            first.add(next(iter(constraint.columns)).name)
    return tuple(column.name for column in table.columns if column.name in first and is_shown(column))


def read_table(
    session: Session, name: str, filters: Mapping[str, str], after: str, limit: int = PAGE_ROWS
) -> TablePage:
    """A page of a table, the newest key first. Raises `NoSuchTable`; ValueError for a value that no column takes."""
    table = _table(name)
    allowed = filters_of(table)
    shown = [column for column in table.columns if is_shown(column)]
    key = list(table.primary_key.columns)
    has_open_key = all(is_shown(column) for column in key)
    question = select(*shown).limit(limit + 1)
    for column, text in filters.items():
        if column not in allowed:
            raise NoSuchTable(f"{name} cannot be filtered by {column}")
        question = question.where(table.c[column] == _value(table.c[column], text))
    skipped = 0
    if has_open_key:
        question = question.order_by(*(column.desc() for column in key))
        if after:
            question = question.where(tuple_(*key) < tuple_(*_key_values(table, after)))
    else:
        skipped = min(int(after), MOST_SKIPPED_ROWS) if after else 0
        question = question.order_by(*(column.desc() for column in shown)).offset(skipped)
    found = session.execute(question).mappings().all()
    lines = tuple(_line(table, dict(row), LIST_CHARS) for row in found[:limit])
    next_after = ""
    if len(found) > limit:
        next_after = _path_of(table, dict(found[limit - 1])) if has_open_key else str(skipped + limit)
    return TablePage(
        table=name,
        columns=tuple(column.name for column in shown),
        filters=allowed,
        lines=lines,
        next_after=next_after,
        hidden=len(table.columns) - len(shown),
    )


def read_row(session: Session, name: str, key_text: str) -> RowPage:
    """One row. Raises `NoSuchTable`; ValueError for what is no key."""
    table = _table(name)
    key = list(table.primary_key.columns)
    if not all(is_shown(column) for column in key):
        raise NoSuchTable(f"rows of {name} have no page")
    shown = [column for column in table.columns if is_shown(column)]
    ours = and_(*(column == value for column, value in zip(key, _key_values(table, key_text), strict=True)))
    row = session.execute(select(*shown).where(ours)).mappings().one_or_none()
    if row is None:
        raise NoSuchTable(f"there is no such row of {name}")
    return RowPage(
        table=name,
        line=_line(table, dict(row), ROW_CHARS),
        hidden=tuple(column.name for column in table.columns if not is_shown(column)),
        referring=tuple(_referring(table, dict(row))),
    )


def _table(name: str) -> Table:
    try:
        return Base.metadata.tables[name]
    except KeyError:
        raise NoSuchTable(f"there is no table {name}") from None


def _line(table: Table, row: Mapping[str, Any], most_chars: int) -> Line:
    cells = tuple(_cell(table.c[name], value, most_chars) for name, value in row.items())
    has_page = all(is_shown(column) for column in table.primary_key.columns)
    return Line(f"{table.name}/{_path_of(table, row)}" if has_page else "", cells)


def _cell(column: Column[Any], value: Any, most_chars: int) -> Cell:
    at_ms = value if column.name.endswith("_at_ms") and isinstance(value, int) and value > 0 else None
    text = "" if value is None else str(value)
    if len(text) > most_chars:
        text = text[:most_chars] + "…"
    path = ""
    for foreign_key in column.foreign_keys:
        target = foreign_key.column.table
        if value is not None and list(target.primary_key.columns) == [foreign_key.column]:
            path = f"{target.name}/{_escaped(value)}"
    return Cell(column.name, text, at_ms, path)


def _referring(table: Table, row: Mapping[str, Any]) -> Sequence[tuple[str, str, str]]:
    return sorted(
        (other.name, column.name, str(row[foreign_key.column.name]))
        for other in Base.metadata.tables.values()
        for column in other.columns
        for foreign_key in column.foreign_keys
        if foreign_key.column.table is table and column.name in filters_of(other)
    )


def _path_of(table: Table, row: Mapping[str, Any]) -> str:
    return ",".join(_escaped(row[column.name]) for column in table.primary_key.columns)


def _escaped(value: Any) -> str:
    """A value of a key as a part of a path: signs that have a meaning there as `~` and two digits each."""
    return re.sub(r"[^A-Za-z0-9_.@:-]", lambda found: "".join(f"~{byte:02x}" for byte in found[0].encode()), str(value))


def _key_values(table: Table, text: str) -> list[Any]:
    parts = text.split(",")
    key = list(table.primary_key.columns)
    if len(parts) != len(key):
        raise ValueError(f"a key of {table.name} has {len(key)} parts")
    plain = [re.sub(r"((?:~[0-9a-f]{2})+)", lambda found: _unescaped(found[1]), part) for part in parts]
    return [_value(column, part) for column, part in zip(key, plain, strict=True)]


def _unescaped(text: str) -> str:
    return bytes.fromhex(text.replace("~", "")).decode("utf-8", "replace")


def _value(column: Column[Any], text: str) -> Any:
    """What a person typed, as the column's type. Raises ValueError."""
    if isinstance(column.type, Boolean):
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError(f"{column.name} is true or false")
        return text.lower() in ("true", "1")
    if isinstance(column.type, Integer):
        number = int(text) if len(text) <= 19 else 2**63
        largest = 2**63 - 1 if isinstance(column.type, BigInteger) else 2**31 - 1
        if abs(number) > largest:
            raise ValueError(f"{column.name} is a smaller number")
        return number
    return text.replace("\0", "")
