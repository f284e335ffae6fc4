"""Fixtures: an app database on each store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from server.app_database import open_app_database
from server.config import Settings
from tests.jobs.one_job import World


@pytest.fixture
def settings(database_settings: Settings) -> Settings:
    return database_settings


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
