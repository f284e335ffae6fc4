"""A site's zones over the years: no change moves a day that has begun, and days follow each other without a gap."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from server.app_database import open_app_database, writing
from server.config import Settings, load_settings
from server.models import Site, SiteTimezone
from server.site_zones import BEGINNING, Zones, change_zone, date_at, start_of, zones_of
from server.sites import add_site
from server.snapshot import site_days
from tests.services.app_databases import copy_sqlite

NAMES = ("UTC", "Asia/Kathmandu", "Pacific/Chatham", "Australia/Lord_Howe", "America/New_York", "Pacific/Kiritimati")
FIRST_MS = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, sqlite_to_copy: Path) -> Iterator[Engine]:
    data_dir = tmp_path_factory.mktemp("zones") / "data"
    copy_sqlite(sqlite_to_copy, data_dir)
    opened = open_app_database(load_settings(data_dir=data_dir))
    add_site(opened, "shop.example")
    yield opened
    opened.dispose()


def on_a_new_site(engine: Engine, zone: str, changes: list[tuple[int, str]]) -> list[tuple[Zones, date | None]]:
    """The zones before, and after each change, with the first date of the new one."""
    with writing(engine) as session:
        session.query(SiteTimezone).delete()
        site = session.get_one(Site, 1)
        site.timezone = zone
        found: list[tuple[Zones, date | None]] = [(zones_of(session, site), None)]
        for at_ms, name in changes:
            first = change_zone(session, site, name, at_ms)
            session.flush()
            found.append((zones_of(session, site), first))
    return found


def test_a_change_holds_from_the_next_midnight(engine: Engine) -> None:
    at_ms = int(datetime(2026, 6, 10, 12, tzinfo=UTC).timestamp() * 1000)
    (_, _), (zones, first) = on_a_new_site(engine, "Europe/Berlin", [(at_ms, "America/New_York")])
    assert first == date(2026, 6, 11)
    assert zones == ((BEGINNING, "Europe/Berlin"), (date(2026, 6, 11), "America/New_York"))
    assert start_of(zones, date(2026, 6, 10)) == datetime(2026, 6, 9, 22, tzinfo=UTC).timestamp()
    assert start_of(zones, date(2026, 6, 11)) == datetime(2026, 6, 11, 4, tzinfo=UTC).timestamp()


def test_a_change_that_has_not_begun_is_replaced_or_taken_back(engine: Engine) -> None:
    changes = [(FIRST_MS, "UTC"), (FIRST_MS + HOUR_MS, "Asia/Kathmandu"), (FIRST_MS + 2 * HOUR_MS, "Europe/Berlin")]
    _, (first, _), (second, _), (third, none) = on_a_new_site(engine, "Europe/Berlin", changes)
    assert [zone for _, zone in first] == ["Europe/Berlin", "UTC"]
    assert [zone for _, zone in second] == ["Europe/Berlin", "Asia/Kathmandu"]
    assert ([zone for _, zone in third], none) == (["Europe/Berlin"], None)


CHANGES = st.lists(st.tuples(st.integers(0, 400), st.sampled_from(NAMES)), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), CHANGES)
def test_no_change_moves_a_day_that_has_begun(engine: Engine, zone: str, changes: list[tuple[int, str]]) -> None:
    times = [(FIRST_MS + hours * HOUR_MS, name) for hours, name in sorted(changes, key=lambda change: change[0])]
    states = on_a_new_site(engine, zone, times)
    for (before, _), (after, first), (at_ms, name) in zip(states, states[1:], times, strict=False):
        today = date_at(before, at_ms)
        assert date_at(after, at_ms) == today
        for back in range(20):
            assert start_of(after, today - timedelta(days=back)) == start_of(before, today - timedelta(days=back))
        if first is not None:
            assert start_of(after, first) * 1000 > at_ms
            assert start_of(after, first) == int(
                datetime(first.year, first.month, first.day, tzinfo=ZoneInfo(name)).timestamp()
            )
    zones = states[-1][0]
    for now_ms in range(FIRST_MS, FIRST_MS + 420 * HOUR_MS, 11 * HOUR_MS):
        days = site_days(zones, now_ms)
        assert all(start < following for (start, _), (following, _) in pairwise(days))
        (current,) = [
            day for (start, day), (following, _) in pairwise(days) if start * 1000 <= now_ms < following * 1000
        ]
        assert current == str(date_at(zones, now_ms))


def test_every_site_has_zones_in_the_snapshot_of_an_earlier_release(sqlite_settings: Settings) -> None:
    from server.snapshot import zones_in

    assert zones_in({"timezone": "Europe/Berlin"}) == ((BEGINNING, "Europe/Berlin"),)
