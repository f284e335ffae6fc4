"""The end of an account up to its destruction: who asks, who approves, who takes it back, and what people see."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select

from server.accounts.deletion import (
    APPROVED_AFTER_MS,
    DESTROYED_AFTER_MS,
    approve,
    due_for_destruction,
    open_request,
    open_requests,
    refuse,
    request_deletion,
    take_back,
    waiting_too_long,
)
from server.accounts.devices import Device
from server.accounts.errors import FormError, NotAllowed, NotThere
from server.accounts.keys import add_api_key
from server.accounts.sessions import find_login, start_login
from server.app_database import read_version, reading, writing
from server.clock import now_ms
from server.models import AuditEntry, DeletionRequest, LoginSession, MemberRole, Site
from server.services import Services
from server.sites import add_site
from server.snapshot import read_source
from tests.server.accounts.people import add_member, mails_to, make_owner, make_person

OWNER = "owner@example.com"
DEVICE = Device("Firefox on Linux", "")
START_MS = now_ms()


def ask(services: Services, account_id: int = 1, at_ms: int = START_MS) -> int:
    with writing(services.engine) as session:
        return request_deletion(session, services, account_id, 1, " too   quiet ", at_ms).request_id


def log_in(services: Services, user_id: int) -> str:
    with writing(services.engine) as session:
        return start_login(session, user_id, DEVICE, START_MS, second_factor=True)


def site_states(services: Services) -> dict[str, str]:
    with reading(services.engine) as session:
        return {site.domain: site.state for site in session.execute(select(Site)).scalars()}


def actions(services: Services) -> list[str]:
    with reading(services.engine) as session:
        wanted = select(AuditEntry.action).where(AuditEntry.action.startswith("account."))
        return list(session.execute(wanted.order_by(AuditEntry.entry_id)).scalars())


@pytest.fixture
def team(services: Services) -> Callable[[], dict[str, int]]:
    """The first account with its owner, who is staff, and two more people; one of them belongs elsewhere too."""

    def make() -> dict[str, int]:
        owner = make_owner(services)
        only, own = make_person(services, "only@example.com", "Only")
        elsewhere = add_member(services, own, "elsewhere@example.com", MemberRole.OWNER)
        add_site(services.engine, "shop.example", account_id=own)
        add_site(services.engine, "gone.example", account_id=own)
        add_site(services.engine, "other.example", account_id=1)
        return {"owner": owner, "only": only, "elsewhere": elsewhere, "account": own}

    return make


def test_an_account_goes_softly_and_comes_back(services: Services, team: Callable[[], dict[str, int]]) -> None:
    people = team()
    account_id = people["account"]
    with writing(services.engine) as session:
        gone = session.execute(select(Site).where(Site.domain == "gone.example")).scalar_one()
        gone.state, gone.deleted_at_ms = "deleting", START_MS - 1
    add_api_key(services.engine, "mine", account_id)
    tokens = {name: log_in(services, people[name]) for name in ("owner", "only", "elsewhere")}
    request_id = ask(services, account_id)
    with pytest.raises(FormError, match="asked for already"):
        ask(services, account_id)
    assert site_states(services)["shop.example"] == "active", "nothing changes until it is approved"
    with reading(services.engine) as session:
        version = read_version(session)
        assert [each.reason for each in open_requests(session)] == ["too quiet"]
        assert waiting_too_long(session, START_MS + APPROVED_AFTER_MS - 1) == []
        assert len(waiting_too_long(session, START_MS + APPROVED_AFTER_MS)) == 1
    for _ in range(2):
        with writing(services.engine) as session:
            approve(session, services, request_id, people["owner"], START_MS + 5)
    assert site_states(services) == {"shop.example": "deleting", "gone.example": "deleting", "other.example": "active"}
    assert read_source(services.engine).api_keys == (), "its keys do not work"
    assert read_source(services.engine).version > version
    with reading(services.engine) as session:
        assert set(session.execute(select(LoginSession.user_id)).scalars()) == {people["owner"], people["elsewhere"]}
        assert due_for_destruction(session, START_MS + 5 + DESTROYED_AFTER_MS - 1) == []
        assert len(due_for_destruction(session, START_MS + 5 + DESTROYED_AFTER_MS)) == 1
    login = find_login(services.engine, services.settings, tokens["elsewhere"], START_MS)
    assert login is not None
    assert account_id not in {place.account_id for place in login.places}
    assert [place.account_id for place in login.leaving] == [account_id]
    with writing(services.engine) as session:
        take_back(session, services, account_id, people["elsewhere"], START_MS + 9)
    assert site_states(services) == {"shop.example": "active", "gone.example": "deleting", "other.example": "active"}
    assert len(read_source(services.engine).api_keys) == 1
    with writing(services.engine) as session, pytest.raises(NotThere):
        take_back(session, services, account_id, people["elsewhere"], START_MS + 9)
    subjects = [mail.subject for mail in mails_to(services, "only@example.com")]
    assert [subject.removeprefix("The account Only ") for subject in subjects] == [
        "is not deleted",
        "is being deleted",
        "will be deleted",
    ]
    assert actions(services) == ["account.deletion_asked", "account.deletion_approved", "account.deletion_taken_back"]


def test_staff_refuse_before_and_after_an_approval(services: Services, team: Callable[[], dict[str, int]]) -> None:
    people = team()
    for is_approved in (False, True):
        request_id = ask(services, people["account"])
        with writing(services.engine) as session:
            if is_approved:
                approve(session, services, request_id, None, START_MS)
            refuse(session, services, request_id, people["owner"], START_MS + 1)
        assert site_states(services)["shop.example"] == "active"
        with writing(services.engine) as session:
            assert open_request(session, people["account"]) is None
            for change in (approve, refuse):
                with pytest.raises(NotThere):
                    change(session, services, request_id, people["owner"], START_MS + 2)
    with writing(services.engine) as session, pytest.raises(NotThere):
        approve(session, services, 999, None, START_MS)


def test_what_has_begun_is_not_stopped(services: Services, team: Callable[[], dict[str, int]]) -> None:
    people = team()
    request_id = ask(services, people["account"])
    with writing(services.engine) as session:
        approve(session, services, request_id, None, START_MS)
        session.get_one(DeletionRequest, request_id).destruction_began_at_ms = START_MS
    with writing(services.engine) as session:
        with pytest.raises(NotAllowed):
            take_back(session, services, people["account"], people["only"], START_MS)
        with pytest.raises(NotAllowed):
            refuse(session, services, request_id, people["owner"], START_MS)


def test_a_reason_has_a_length_and_an_account_must_be_there(services: Services) -> None:
    make_owner(services)
    with writing(services.engine) as session:
        with pytest.raises(FormError, match="500"):
            request_deletion(session, services, 1, 1, "x" * 501, START_MS)
        with pytest.raises(NotThere):
            request_deletion(session, services, 999, 1, "", START_MS)
