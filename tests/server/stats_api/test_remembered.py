"""The result cache: what is kept, for how long, and what ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, cast

import orjson
import pytest

from server.cache import Cache
from server.closed_days import closed_topic
from server.config import Settings
from server.queries.closed_figures import DataVersion
from server.queries.engine import StatsEngine
from server.queries.errors import QueryCancelled, StoreAway
from server.queries.event_reader import Ticket
from server.queries.model import Query
from server.queries.parsing import SiteFacts, parse_query
from server.queries.periods import SiteCalendar
from server.services import Services, open_services
from server.stats_api.remembered import (
    OPEN_TTL_S,
    SETTLED_TTL_S,
    remembered_document,
    setup_topic,
)
from tests.server.stats_api.dummy_site import NOW_MS

SITE = 7
DOCUMENT = {"site_id": "dummy.site", "metrics": ["visitors"], "date_range": ["2024-08-01", "2024-08-02"]}


class CountingEngine:
    """Answers with how often it was asked. `fails` is raised instead, once each."""

    def __init__(self) -> None:
        self.version = DataVersion("1", True)
        self.asked = 0
        self.fails: list[Exception] = []
        self.meanwhile: Callable[[], None] = lambda: None

    def data_version(self, query: Query) -> DataVersion:
        return self.version

    def document(self, query: Query, asked: Any, now_ms: int, ticket: Ticket) -> dict[str, Any]:
        self.asked += 1
        number = self.asked
        self.meanwhile()
        if self.fails:
            raise self.fails.pop(0)
        return {"asked": number}


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def services(sqlite_settings: Settings) -> Iterator[Services]:
    opened = open_services(sqlite_settings)
    yield opened
    opened.close()


class Asker:
    """Asks through a cache of its own."""

    def __init__(self, services: Services) -> None:
        self.clock, self.engine = Clock(), CountingEngine()
        self.cache = Cache(services.settings, services.engine, clock=self.clock)
        self.cache.poll()

    def ask(self, document: dict[str, Any] = DOCUMENT, ticket: Ticket | None = None) -> int:
        facts = SiteFacts(SITE, SiteCalendar(((date.min, "UTC"),)), NOW_MS)
        query = parse_query(document, facts)
        engine = cast(StatsEngine, self.engine)
        body = remembered_document(self.cache, engine, query, document, NOW_MS, ticket or Ticket())
        return int(orjson.loads(body)["asked"])

    def wait(self, duration_s: float) -> None:
        self.clock.now_s += duration_s
        self.cache.poll()


@pytest.fixture
def asker(services: Services) -> Asker:
    return Asker(services)


def test_what_cannot_change_is_kept_until_it_does(asker: Asker) -> None:
    assert [asker.ask(), asker.ask()] == [1, 1]
    asker.wait(SETTLED_TTL_S - 1)
    assert asker.ask() == 1
    asker.engine.version = DataVersion("2", True)
    assert asker.ask() == 2, "a day was closed again: another version"
    asker.engine.version = DataVersion("1", True)
    assert asker.ask({**DOCUMENT, "metrics": ["visits"]}) == 3
    assert asker.ask({**DOCUMENT, "pagination": {"limit": 5}}) == 4


def test_what_hits_still_change_is_kept_for_ten_seconds(asker: Asker) -> None:
    asker.engine.version = DataVersion("1", False)
    assert [asker.ask(), asker.ask()] == [1, 1]
    asker.wait(OPEN_TTL_S - 1)
    assert asker.ask() == 1
    asker.wait(1)
    assert asker.ask() == 2


def test_topics_end_answers_of_their_site_alone(asker: Asker) -> None:
    assert asker.ask() == 1
    asker.cache.invalidate(setup_topic(SITE + 1))
    asker.cache.invalidate(closed_topic(SITE + 1))
    assert asker.ask() == 1
    asker.cache.invalidate(setup_topic(SITE))
    assert asker.ask() == 2
    asker.cache.invalidate(closed_topic(SITE))
    assert asker.ask() == 3


def test_failures_are_not_kept(asker: Asker) -> None:
    asker.engine.fails = [StoreAway("away")]
    with pytest.raises(StoreAway):
        asker.ask()
    assert asker.ask() == 2


def test_many_who_ask_the_same_share_one_answer(asker: Asker) -> None:
    asked, may_end = threading.Event(), threading.Event()
    answers: list[int] = []

    def wait() -> None:
        asked.set()
        may_end.wait(5)

    asker.engine.meanwhile = wait
    threads = [threading.Thread(target=lambda: answers.append(asker.ask())) for _ in range(3)]
    threads[0].start()
    assert asked.wait(5)
    for thread in threads[1:]:
        thread.start()
    threads[1].join(0.1)  # it waits for the first one, so this ends by its time
    may_end.set()
    for thread in threads:
        thread.join(5)
    assert answers == [1, 1, 1]


def test_who_waited_for_somebody_who_left_asks_again(asker: Asker) -> None:
    asker.engine.fails = [QueryCancelled("gone")]
    assert asker.ask() == 2
    gone = Ticket()
    gone.is_revoked = True
    asker.engine.fails = [QueryCancelled("gone")]
    with pytest.raises(QueryCancelled):
        asker.ask({**DOCUMENT, "metrics": ["visits"]}, gone)
