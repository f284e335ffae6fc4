"""Handing a site over: to the person whose address it was offered to, into an account of theirs, once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from server.accounts.errors import FormError, LinkInvalid, NotAllowed, NotThere
from server.app_database import read_version, reading, writing
from server.clock import now_ms
from server.config import Settings
from server.models import MemberRole, Site
from server.services import Services, open_services
from server.site_transfer import OFFER_LIFE_MS, accept_offer, look_at_offer, offer_site, open_offer, revoke_offer
from server.sites import add_site
from tests.server.accounts.people import mails_to, make_owner, make_person, token_in

ANN = "ann@example.com"


@pytest.fixture
def services(database_settings: Settings) -> Iterator[Services]:
    opened = open_services(database_settings)
    yield opened
    opened.close()


@pytest.fixture
def site_id(services: Services) -> int:
    make_owner(services)
    return add_site(services.engine, "shop.example", account_id=1).site_id


def offered(services: Services, site_id: int, email: str = ANN) -> str:
    """The token of an offer that was sent."""
    offer_site(services, site_id, email, 1, now_ms())
    return token_in(mails_to(services, email)[0])


def account_of(services: Services, site_id: int) -> int:
    with reading(services.engine) as session:
        return session.get_one(Site, site_id).account_id


def test_a_site_moves_to_whom_it_was_offered(services: Services, site_id: int) -> None:
    ann, account = make_person(services, ANN, "Ann")
    token = offered(services, site_id)
    offer = look_at_offer(services, token, ann, now_ms())
    assert (offer.domain, [number for number, _ in offer.accounts]) == ("shop.example", [account])
    with reading(services.engine) as session:
        before = read_version(session)
    assert accept_offer(services, token, ann, account, now_ms()) == "shop.example"
    assert account_of(services, site_id) == account
    with reading(services.engine) as session:
        assert read_version(session) == before + 1, "hits of the site are its new account's at once"
        assert open_offer(session, site_id, now_ms()) is None
    with pytest.raises(LinkInvalid):
        accept_offer(services, token, ann, account, now_ms())


def test_nobody_else_can_use_the_link(services: Services, site_id: int) -> None:
    make_person(services, ANN)
    eve, account = make_person(services, "eve@example.com")
    token = offered(services, site_id)
    for work in (
        lambda: look_at_offer(services, token, eve, now_ms()),
        lambda: accept_offer(services, token, eve, account, now_ms()),
        lambda: look_at_offer(services, "x" * 43, eve, now_ms()),
    ):
        with pytest.raises(LinkInvalid):
            work()
    assert account_of(services, site_id) == 1


def test_an_offer_ends_by_time_by_a_newer_one_or_taken_back(services: Services, site_id: int) -> None:
    ann, _ = make_person(services, ANN)
    first = offered(services, site_id)
    second = offered(services, site_id)
    with pytest.raises(LinkInvalid):
        look_at_offer(services, first, ann, now_ms())
    with pytest.raises(LinkInvalid):
        look_at_offer(services, second, ann, now_ms() + OFFER_LIFE_MS + 1)
    revoke_offer(services, site_id, 1)
    with pytest.raises(LinkInvalid):
        look_at_offer(services, second, ann, now_ms())
    with pytest.raises(NotThere):
        revoke_offer(services, site_id, 1)
    with pytest.raises(FormError):
        offer_site(services, site_id, "nobody", 1, now_ms())


def test_it_goes_only_into_an_account_that_one_looks_after(services: Services, site_id: int) -> None:
    ann, own = make_person(services, ANN)
    _, others = make_person(services, "bob@example.com")
    viewed = add_member_of(services, others, ann, MemberRole.VIEWER)
    add_member_of(services, 1, ann, MemberRole.ADMIN)
    token = offered(services, site_id)
    assert [number for number, _ in look_at_offer(services, token, ann, now_ms()).accounts] == [own]
    for account_id in (viewed, 1, 999):
        with pytest.raises(NotAllowed):
            accept_offer(services, token, ann, account_id, now_ms())
    accept_offer(services, token, ann, own, now_ms())


def add_member_of(services: Services, account_id: int, user_id: int, role: MemberRole) -> int:
    from server.models import Membership

    with writing(services.engine) as session:
        session.add(Membership(account_id=account_id, user_id=user_id, role=role, created_at_ms=now_ms()))
    return account_id


def test_of_two_who_accept_at_once_one_does(services: Services, site_id: int) -> None:
    ann, account = make_person(services, ANN)
    token = offered(services, site_id)

    def accept(_: int) -> bool:
        try:
            accept_offer(services, token, ann, account, now_ms())
        except LinkInvalid:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(accept, range(4))) == [False, False, False, True]


def test_a_site_that_is_being_deleted_is_no_offer(services: Services, site_id: int) -> None:
    ann, account = make_person(services, ANN)
    token = offered(services, site_id)
    with writing(services.engine) as session:
        session.get_one(Site, site_id).state = "deleting"
    with pytest.raises(LinkInvalid):
        look_at_offer(services, token, ann, now_ms())
    with pytest.raises(LinkInvalid):
        accept_offer(services, token, ann, account, now_ms())
    with pytest.raises(NotThere):
        offer_site(services, site_id, ANN, 1, now_ms())
