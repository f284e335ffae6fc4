"""Fixtures: an app database on each store; for closing, an event store and one app database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clickhouse_driver import Client
from sqlalchemy import Engine

from server.app_database import open_app_database
from server.clickhouse_url import ClickHouseAddress
from server.config import Settings
from server.migrate import SchemaForm, migrate
from tests.jobs.one_job import World
from tests.services.clickhouse import fresh_database, shared_clickhouse


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


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseAddress]:
    """A migrated database for the tests of one module."""
    with shared_clickhouse(tmp_path_factory.mktemp("clickhouse")) as server, fresh_database(server) as address:
        migrate(address, SchemaForm())
        yield address


@pytest.fixture(scope="module")
def client(address: ClickHouseAddress) -> Iterator[Client]:
    """A connection to it."""
    host, port = address.hosts[0]
    with Client(host=host, port=port, database=address.database, settings={"async_insert": 0}) as connected:
        yield connected


@pytest.fixture
def app(sqlite_settings: Settings) -> Iterator[Engine]:
    """An app database where one kind is enough."""
    engine = open_app_database(sqlite_settings)
    yield engine
    engine.dispose()
