"""Fixtures of the encoder's tests: the server's, where a real ClickHouse has the last word."""

from __future__ import annotations

import os

import pytest

from core_ext import native
from tests.server.conftest import clickhouse, store_address

__all__ = ["clickhouse", "store_address"]


@pytest.fixture(scope="session", autouse=True)
def expected_build() -> None:
    """test_checked_build.py runs the suite on another build, and must not measure this one by mistake."""
    folder = os.environ.get("FOOTFALL_EXPECTED_CORE_EXT")
    if folder:
        assert native.__file__.startswith(folder), native.__file__
        assert native.build_profile() == "checked"
