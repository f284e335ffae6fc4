"""The switch between versions of a site's days, on both app databases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from server.app_database import open_app_database, reading, writing
from server.closed_days import (
    EPOCH,
    OPEN,
    Standing,
    Switch,
    closed_versions,
    closing_ms_of,
    day_of,
    has_values,
    mark_dirty,
    switch,
    version_of,
)
from server.config import Settings
from server.models import ClosedDay
from server.sites import add_site

DAY = date(2026, 3, 8)
NOW_MS = 1_795_435_200_000
NEVER = Standing()


@pytest.fixture
def engine(database_settings: Settings) -> Iterator[Engine]:
    opened = open_app_database(database_settings)
    add_site(opened, "shop.example")
    yield opened
    opened.dispose()


def a_switch(version: int, before: Standing = NEVER, *, site_id: int = 1, at_ms: int = NOW_MS) -> Switch:
    return Switch(site_id, DAY, before, version, 1_000, 2_000, at_ms)


def make(engine: Engine, *switches: Switch) -> int:
    """How many of them were made."""
    with writing(engine) as session:
        return len(switch(session, switches))


def row(engine: Engine) -> ClosedDay:
    with reading(engine) as session:
        found = session.execute(select(ClosedDay)).scalar_one()
        session.expunge(found)
        return found


def mark(engine: Engine, at_ms: int = NOW_MS) -> None:
    with writing(engine) as session:
        mark_dirty(session, 1, [DAY.isoformat()], at_ms)


def versions(engine: Engine) -> dict[date, int]:
    with reading(engine) as session:
        return closed_versions(session, 1, date(2026, 1, 1), date(2026, 12, 31))


@given(st.integers(0, 2**45), st.dates(EPOCH, date(2148, 12, 31)), st.booleans(), st.dates(EPOCH, date(2148, 12, 31)))
def test_a_version_tells_its_day_and_is_of_no_other(at_ms: int, day: date, large: bool, other: date) -> None:
    version = version_of(at_ms, day, has_values=large)
    assert (closing_ms_of(version), day_of(version), has_values(version)) == (at_ms, day, large)
    assert version < 2**63
    assert (version == version_of(at_ms, other, has_values=large)) == (day == other)


def test_of_two_closings_of_a_day_one_is_switched_to(engine: Engine) -> None:
    assert make(engine, a_switch(10)) == 1
    assert make(engine, a_switch(11)) == 0
    seen = Standing(10, NOW_MS)
    assert make(engine, a_switch(12, seen, at_ms=NOW_MS + 1)) == 1
    assert make(engine, a_switch(13, seen, at_ms=NOW_MS + 1)) == 0
    assert versions(engine) == {DAY: 12}
    assert not row(engine).is_dirty


def test_a_day_that_was_marked_while_it_was_closed_stays_dirty(engine: Engine) -> None:
    mark(engine)
    assert versions(engine) == {}
    assert (row(engine).version, row(engine).is_dirty) == (OPEN, True)
    # Whoever had begun before knew of no row.
    assert make(engine, a_switch(10)) == 1
    assert row(engine).is_dirty
    seen = Standing(10, row(engine).closed_at_ms)
    mark(engine, row(engine).closed_at_ms)  # in the same millisecond
    assert make(engine, a_switch(11, seen, at_ms=NOW_MS + 5)) == 1
    assert row(engine).is_dirty
    seen = Standing(11, row(engine).closed_at_ms)
    assert make(engine, a_switch(12, seen, at_ms=NOW_MS + 6)) == 1
    assert not row(engine).is_dirty


def test_a_site_that_is_gone_is_passed_over(engine: Engine) -> None:
    assert make(engine, replace(a_switch(10), site_id=7), a_switch(10)) == 1
    with writing(engine) as session:
        mark_dirty(session, 7, [DAY], NOW_MS)
    assert versions(engine) == {DAY: 10}
