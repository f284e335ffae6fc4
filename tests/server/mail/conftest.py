"""Fixtures of the mail tests."""

from __future__ import annotations

from tests.server.tasks.fixtures import clock, engine, migrated_postgresql, migrated_sqlite, settings, sqlite_settings

__all__ = ["clock", "engine", "migrated_postgresql", "migrated_sqlite", "settings", "sqlite_settings"]
