"""Services on each kind of store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.config import Settings
from server.services import Services, open_services


@pytest.fixture
def services(stores: Settings) -> Iterator[Services]:
    """Services on empty stores."""
    opened = open_services(stores)
    yield opened
    opened.close()
