"""Fixtures of the task queue's tests."""

from __future__ import annotations

from tests.server.tasks.fixtures import (
    bench,
    clock,
    engine,
    migrated_postgresql,
    migrated_sqlite,
    settings,
    sqlite_settings,
)

__all__ = ["bench", "clock", "engine", "migrated_postgresql", "migrated_sqlite", "settings", "sqlite_settings"]
