"""Fixtures of the mail tests."""

from __future__ import annotations

from tests.server.tasks.fixtures import clock, engine, settings

__all__ = ["clock", "engine", "settings"]
