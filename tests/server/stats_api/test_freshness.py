"""How new the API's answers are: what was remembered is given until its time is over, or a day gets another version."""

from __future__ import annotations

import pytest

from server.app_database import writing
from server.clickhouse_url import ClickHouseAddress
from server.closed_days import closed_topic
from server.models import ClosedDay
from server.services import Services
from tests.server.pages.site_host import Host
from tests.server.stats_api.asking import Client
from tests.server.stats_api.dummy_site import NOW_MS, api_key, dummy_site_id
from tests.server.stats_api.events import store_visitors, visitor

DAY = "2024-08-16"


@pytest.fixture(scope="module")
def client(host: Host, services: Services) -> Client:
    return Client(host, api_key(services))


def visitors(client: Client, services: Services) -> int:
    services.cache.poll()  # as the poller of a process does
    answer = client.query(site_id="dummy.site", metrics=["visitors"], date_range=[DAY, DAY])
    return int(answer["results"][0]["metrics"][0])


def test_a_late_hit_shows_after_a_while_and_a_closed_day_at_once(
    client: Client, services: Services, event_store: ClickHouseAddress
) -> None:
    site_id = dummy_site_id(services)
    assert visitors(client, services) == 1  # Cem
    store_visitors(event_store, [visitor(site_id, "late", f"{DAY} 20:00").view("/")])
    assert visitors(client, services) == 1, "for ten seconds"
    services.cache.invalidate(closed_topic(site_id))
    assert visitors(client, services) == 2
    with writing(services.engine) as session:
        bounds = {"starts_at_ms": NOW_MS - 5 * 86_400_000, "ends_at_ms": NOW_MS - 4 * 86_400_000}
        session.add(ClosedDay(site_id=site_id, day=DAY, version=NOW_MS * 2, closed_at_ms=NOW_MS, **bounds))
    assert visitors(client, services) == 0, "the version that was switched to holds nothing here"
    store_visitors(event_store, [visitor(site_id, "later still", f"{DAY} 21:00").view("/")])
    assert visitors(client, services) == 0, "readers use what was closed, until it is closed again"
