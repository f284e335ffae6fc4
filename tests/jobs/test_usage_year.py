"""A simulated year: usage is what a naive count says, for every account and period, and nobody is told twice or not.

Across plans that change both ways, subscriptions by month and year, time zones and daylight saving, sites that change
hands, hits that are stored days late, and a job that dies at any statement.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.config import PlanLimits, Settings, load_settings
from server.services import open_services
from tests.jobs.usage_simulation import Year, live
from tests.server.accounts.people import make_owner, make_person
from tests.services.app_databases import copy_sqlite


def begin(database: Settings, seed: int) -> Year:
    services = open_services(database.model_copy(update={"plan_limits": PlanLimits.ON}))
    make_owner(services)
    accounts = [1, *(make_person(services, f"p{number}@example.com")[1] for number in range(2))]
    return Year(services, seed, accounts)


def run(database: Settings, seed: int, days: int) -> Year:
    year = begin(database, seed)
    try:
        live(year, days)
        year.check()
    finally:
        year.services.close()
    return year


def run_on_sqlite(sqlite_to_copy: Path, folder: Path, seed: int, days: int) -> Year:
    copy_sqlite(sqlite_to_copy, folder)
    return run(load_settings(data_dir=folder), seed, days)


def test_a_year(sqlite_to_copy: Path, tmp_path: Path) -> None:
    year = run_on_sqlite(sqlite_to_copy, tmp_path / "data", seed=4, days=366)
    # It was no quiet year.
    assert year.runs > 80
    assert year.crashes > 10
    assert len(year.expected_over) > 3
    assert year.rejected


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(1, 2**32))
def test_any_months(sqlite_to_copy: Path, tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    run_on_sqlite(sqlite_to_copy, tmp_path_factory.mktemp("months"), seed, days=90)


def test_some_weeks_on_postgresql(postgresql_settings: Settings) -> None:
    assert run(postgresql_settings, seed=7, days=40).crashes
