"""App databases of a test's own, migrated: a copy of a file, or a copy of a PostgreSQL database."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from server.app_database import migrate_app_database, open_app_database
from server.config import Settings, load_settings


def migrated_sqlite(folder: Path) -> Path:
    """Make a migrated SQLite file, to be copied."""
    settings = load_settings(data_dir=folder)
    engine = open_app_database(settings)
    migrate_app_database(settings, engine)
    engine.dispose()
    return folder / "footfall.sqlite"


def copy_sqlite(migrated: Path, data_dir: Path) -> None:
    """Give a data folder a copy."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copy(migrated, data_dir / "footfall.sqlite")


def migrate_postgresql(url: str, folder: Path) -> None:
    """Migrate the database of this address, to be copied."""
    settings = load_settings(data_dir=folder, app_database_url=url)
    engine = open_app_database(settings)
    migrate_app_database(settings, engine)
    engine.dispose()


@contextlib.contextmanager
def copied_postgresql(migrated_url: str) -> Iterator[str]:
    """The address of a copy that lives inside the `with`. Nobody may be connected to the one that is copied."""
    base, _, template = migrated_url.rpartition("/")
    name = f"footfall_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        try:
            yield f"{base}/{name}"
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextlib.contextmanager
def copied_database(kind: str, request: pytest.FixtureRequest, data_dir: Path) -> Iterator[Settings]:
    """Settings with an empty app database of this kind (sqlite or postgresql), for fixtures of a whole module."""
    if kind == "sqlite":
        copy_sqlite(request.getfixturevalue("sqlite_to_copy"), data_dir)
        yield load_settings(data_dir=data_dir)
    else:
        with copied_postgresql(request.getfixturevalue("postgresql_to_copy")) as url:
            yield load_settings(data_dir=data_dir, app_database_url=url)
