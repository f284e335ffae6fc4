"""A shop on each kind of app database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.config import Settings
from tests.server.billing.shop import Shop, open_shop


@pytest.fixture
def shop(database_settings: Settings) -> Iterator[Shop]:
    with open_shop(database_settings) as opened:
        yield opened
