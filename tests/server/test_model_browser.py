"""What staff may see of the tables: no secret, every row that has a key of its own, links along foreign keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import JSON, BigInteger, Column, LargeBinary, MetaData, String, Table
from sqlalchemy.orm import Session

from server.app_database import reading, writing
from server.config import Settings
from server.model_browser import (
    HARMLESS,
    HIDDEN,
    PAGE_ROWS,
    NoSuchTable,
    filters_of,
    is_shown,
    is_suspect,
    read_row,
    read_table,
    tables,
)
from server.models import ApiKey, Base, FeatureFlag, OneTimeToken, Task
from server.services import Services, open_services
from tests.server.accounts.people import make_owner, make_person

ALL_COLUMNS = [column for table in Base.metadata.tables.values() for column in table.columns]


def named(column: Column[object]) -> str:
    return f"{column.table.name}.{column.name}"


def test_somebody_decided_about_every_suspect_column() -> None:
    suspect = {named(column) for column in ALL_COLUMNS if is_suspect(column)}
    assert suspect - HIDDEN - HARMLESS == set(), "put each into server.model_browser.HIDDEN or, if no secret, HARMLESS"
    assert (HIDDEN | HARMLESS) - {named(column) for column in ALL_COLUMNS} == set(), "these columns are gone"
    assert set() == HIDDEN & HARMLESS


@pytest.mark.parametrize("name", ["reset_token", "backup_key", "password_hash", "unsubscribe_secret", "sealed_body"])
def test_a_new_column_that_sounds_like_a_secret_is_hidden_and_found(name: str) -> None:
    table = Table("things", MetaData(), Column("thing_id", BigInteger, primary_key=True), Column(name, String(64)))
    assert is_suspect(table.c[name])
    assert not is_shown(table.c[name])
    assert is_shown(table.c.thing_id)


def test_bytes_and_free_forms_are_suspect_whatever_their_name() -> None:
    table = Table("things", MetaData(), Column("one", LargeBinary), Column("two", JSON))
    assert not is_shown(table.c.one)
    assert not is_shown(table.c.two)


@pytest.fixture
def services(sqlite_settings: Settings) -> Iterator[Services]:
    opened = open_services(sqlite_settings)
    make_owner(opened)
    yield opened
    opened.close()


@pytest.fixture
def session(services: Services) -> Iterator[Session]:
    with reading(services.engine) as opened:
        yield opened


def test_no_secret_of_a_real_row_is_in_any_page(services: Services) -> None:
    secrets = ["7f" * 32, "5a" * 32]
    with writing(services.engine) as session:
        session.add(ApiKey(account_id=1, name="k", key_hash=secrets[0], created_at_ms=1))
        session.add(OneTimeToken(token_hash=secrets[1], purpose="x", email="a@b.c", created_at_ms=1, expires_at_ms=1))
        session.add(Task(kind="x", arguments={"token": "in-arguments"}, run_at_ms=1, created_at_ms=1))
    with reading(services.engine) as session:
        for name, _ in tables():
            page = repr(read_table(session, name, {}, ""))
            assert "argon2" not in page
            assert "in-arguments" not in page
            assert not [secret for secret in secrets if secret in page], name
        assert read_table(session, "one_time_tokens", {}, "").lines[0].path == "", "its key is a secret"
        with pytest.raises(NoSuchTable):
            read_row(session, "one_time_tokens", secrets[1])
        with pytest.raises(NoSuchTable):
            read_table(session, "users", {"password_hash": "x"}, "")
        with pytest.raises(NoSuchTable):
            read_table(session, "alembic_version", {}, "")


def test_pages_follow_each_other_without_gaps(services: Services) -> None:
    with writing(services.engine) as session:
        for number in range(2 * PAGE_ROWS + 5):
            session.add(FeatureFlag(name=f"flag/{number:03d} ä,~", is_on=bool(number % 2)))
    with reading(services.engine) as session:
        after, seen = "", []
        for _ in range(5):
            page = read_table(session, "feature_flags", {}, after)
            seen += [line.cells[0].text for line in page.lines]
            for line in page.lines[:3]:
                table, _, key = line.path.partition("/")
                assert read_row(session, table, key).line.cells[0].text == line.cells[0].text
            after = page.next_after
            if not after:
                break
    assert seen == sorted(seen, reverse=True)
    assert len(seen) == len(set(seen)) == 2 * PAGE_ROWS + 5


def test_rows_lead_to_what_they_refer_to_and_back(services: Services) -> None:
    ann, account = make_person(services, "ann@example.com")
    with reading(services.engine) as session:
        page = read_table(session, "memberships", {"user_id": str(ann)}, "")
        (line,) = page.lines
        links = {cell.column: cell.path for cell in line.cells}
        assert (links["account_id"], links["user_id"]) == (f"accounts/{account}", f"users/{ann}")
        row = read_row(session, "users", str(ann))
        assert ("memberships", "user_id", str(ann)) in row.referring
        assert "password_hash" in row.hidden
        assert "ann@example.com" in [cell.text for cell in row.line.cells]
        assert set(filters_of(Base.metadata.tables["users"])) == {"user_id", "email"}
        for key in ("x", "1,2", "9" * 30):
            with pytest.raises(ValueError, match=r".*"):
                read_row(session, "users", key)
        with pytest.raises(NoSuchTable):
            read_row(session, "users", "999")
