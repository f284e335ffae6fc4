"""Fixtures of the task queue's tests."""

from __future__ import annotations

from tests.server.tasks.fixtures import (
    bench,
    clock,
    engine,
    settings,
)

__all__ = ["bench", "clock", "engine", "settings"]
