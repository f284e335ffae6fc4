"""Goals, funnels, segments and annotations on each app database, also when many change them at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from server.accounts.errors import FormError, NotAllowed, NotThere
from server.app_database import reading, writing
from server.config import Settings
from server.models import MemberRole, Site
from server.reader_handler import Reader
from server.services import Services, open_services
from server.sites import add_site
from server.stats_api.annotations import Annotations
from server.stats_api.cursors import PageAsked, page_of
from server.stats_api.funnels import Funnels
from server.stats_api.goals import Goals
from server.stats_api.segments import Segments
from server.stats_api.setup import Editor, SetupKind, change_setup
from tests.server.accounts.people import make_owner

ADMIN = Editor(1, MemberRole.ADMIN)


class Store:
    """One site's things."""

    def __init__(self, services: Services) -> None:
        self.services = services
        make_owner(services)
        self.site_id = add_site(services.engine, "shop.example", account_id=1).site_id

    def add(self, kind: SetupKind, fields: dict[str, Any]) -> dict[str, Any]:
        engine, cache = self.services.engine, self.services.cache
        return change_setup(
            engine, cache, self.site_id, kind, lambda session: kind.add(session, self.site_id, fields, ADMIN), adds=True
        )

    def change(self, kind: SetupKind, number: int, fields: dict[str, Any]) -> dict[str, Any]:
        engine, cache = self.services.engine, self.services.cache
        return change_setup(
            engine, cache, self.site_id, kind, lambda session: kind.change(session, self.site_id, number, fields, ADMIN)
        )

    def remove(self, kind: SetupKind, number: int) -> None:
        engine, cache = self.services.engine, self.services.cache
        change_setup(
            engine, cache, self.site_id, kind, lambda session: kind.remove(session, self.site_id, number, ADMIN)
        )

    def rows(self, kind: SetupKind) -> list[dict[str, Any]]:
        with reading(self.services.engine) as session:
            return kind.rows(session, self.site_id, Reader(user_id=1))


@pytest.fixture
def store(database_settings: Settings) -> Iterator[Store]:
    services = open_services(database_settings)
    yield Store(services)
    services.close()


def test_each_kind_is_kept_changed_and_removed(store: Store) -> None:
    goals = [store.add(Goals(), {"kind": "event", "event_name": name})["goal_id"] for name in ("Look", "Buy")]
    funnel = store.add(Funnels(), {"name": "Buyers", "goal_ids": goals})
    segment = store.add(Segments(), {"name": "Estonia", "filters": [["is", "visit:country", ["EE"]]]})
    note = store.add(Annotations(), {"day": "2026-11-25", "text": "ß"})
    assert store.rows(Funnels()) == [funnel]
    assert store.rows(Segments()) == [segment]
    assert store.rows(Annotations()) == [note]
    assert store.change(Funnels(), funnel["funnel_id"], {"goal_ids": goals[::-1]})["goal_ids"] == goals[::-1]
    with pytest.raises(NotAllowed):
        store.remove(Goals(), goals[0])
    with pytest.raises(FormError, match="already"):
        store.add(Goals(), {"kind": "event", "event_name": "Look"})
    with pytest.raises(FormError, match="already"):
        store.change(Goals(), goals[0], {"display_name": "Buy"})
    store.remove(Funnels(), funnel["funnel_id"])
    store.remove(Goals(), goals[0])
    with pytest.raises(NotThere):
        store.remove(Goals(), goals[0])
    assert [goal["display_name"] for goal in store.rows(Goals())] == ["Buy"]


def test_a_site_that_is_going_takes_no_changes(store: Store) -> None:
    with writing(store.services.engine) as session:
        session.get_one(Site, store.site_id).state = "deleting"
    with pytest.raises(NotThere):
        store.add(Annotations(), {"day": "2026-11-25", "text": "Late"})


def test_many_at_once_neither_pass_the_limit_nor_share_a_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Goals, "most", 3)
    refused: list[str] = []

    def add(name: str) -> None:
        try:
            store.add(Goals(), {"kind": "event", "event_name": name})
        except FormError as error:
            refused.append(error.field)

    names = ("A", "A", "B", "C", "D", "E")
    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    kept = [goal["display_name"] for goal in store.rows(Goals())]
    assert len(kept) == len(set(kept)) == 3
    assert len(refused) == 3


def test_pages_by_number(store: Store) -> None:
    for number in range(3):
        add_site(store.services.engine, f"page-{number}.example", account_id=1)
    sites = select(Site).where(Site.account_id == 1)
    with reading(store.services.engine) as session:
        first, meta = page_of(session, sites, Site.site_id, PageAsked.of("2", "", ""))
        last, end = page_of(session, sites, Site.site_id, PageAsked.of("2", meta["after"], ""))
        again, start = page_of(session, sites, Site.site_id, PageAsked.of("2", "", end["before"]))
    assert [site.domain for site in (*first, *last)] == ["shop.example", *(f"page-{n}.example" for n in range(3))]
    assert (meta["before"], end["after"]) == (None, None)
    assert ([site.domain for site in again], start) == ([site.domain for site in first], meta)
