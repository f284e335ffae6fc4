"""Fixtures: an app database on each store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from server.app_database import open_app_database
from server.config import Settings, load_settings
from tests.jobs.one_job import World
from tests.services.app_databases import copied_postgresql, copy_sqlite


@pytest.fixture
def postgresql_url(postgresql_to_copy: str) -> Iterator[str]:
    with copied_postgresql(postgresql_to_copy) as url:
        yield url


@pytest.fixture
def sqlite_settings(tmp_path: Path, sqlite_to_copy: Path) -> Settings:
    copy_sqlite(sqlite_to_copy, tmp_path / "data")
    return load_settings(data_dir=tmp_path / "data")


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    if request.param == "postgresql":
        (tmp_path / "data").mkdir(mode=0o700)
        url = request.getfixturevalue("postgresql_url")
        return load_settings(data_dir=tmp_path / "data", app_database_url=url)
    ours: Settings = request.getfixturevalue("sqlite_settings")
    return ours


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    engine = open_app_database(settings)
    yield engine
    engine.dispose()


@pytest.fixture
def world(settings: Settings, engine: Engine) -> World:
    made = World(settings, engine)
    made.runner().tick()
    return made
