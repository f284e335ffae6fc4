"""The application on each kind of store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from server.config import Settings
from server.services import Services, open_services
from tests.server.pages.site_host import Host, hosted


@pytest.fixture
def services(stores: Settings) -> Iterator[Services]:
    """Services on empty stores; sign-up is open."""
    opened = open_services(stores.model_copy(update={"invite_only": False}))
    yield opened
    opened.close()


@pytest.fixture
def host(services: Services) -> Iterator[Host]:
    """The application."""
    with hosted(services) as running:
        yield running
