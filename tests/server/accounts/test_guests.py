"""Guests of one site: invited by mail, let in by the link, and gone with what their grant was about."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import select

import server.accounts.guests
from server.accounts.deletion import only_members
from server.accounts.errors import FormError, LinkInvalid, NotThere
from server.accounts.guests import (
    INVITATION_LIFE_MS,
    accept_guest_as_new,
    accept_guest_as_user,
    change_guest_role,
    find_guest,
    guest_place,
    guest_sites,
    invite_guest,
    leave_site,
    list_guests,
    look_at_guest_invitation,
    remove_guest,
)
from server.accounts.team import accept_as_user, invite
from server.accounts.users import check_login
from server.app_database import reading, writing
from server.clock import now_ms
from server.config import Settings
from server.models import AuditEntry, Guest, GuestRole, MemberRole, Site, User
from server.services import Services, open_services
from server.site_deletion import delete_site, restore_site
from server.site_transfer import accept_offer, offer_site
from server.sites import add_site
from tests.server.accounts.people import (
    PASSWORD,
    add_guest,
    add_member,
    mails_to,
    make_owner,
    make_person,
    token_in,
)
from tests.server.tasks.fixtures import run_in_threads

GINA = "gina@example.org"
VIEWER, EDITOR = GuestRole.VIEWER, GuestRole.EDITOR


@pytest.fixture
def services(database_settings: Settings) -> Iterator[Services]:
    opened = open_services(database_settings)
    yield opened
    opened.close()


@pytest.fixture
def site(services: Services) -> Site:
    make_owner(services)
    return add_site(services.engine, "shop.example", account_id=1)


def invited(services: Services, site: Site, email: str = GINA, role: GuestRole = VIEWER) -> str:
    """The token of an invitation that was sent."""
    _, is_new = invite_guest(services, site.site_id, email, role, 1, now_ms())
    assert is_new
    return token_in(mails_to(services, email)[0])


def role_on(services: Services, site: Site, user_id: int) -> MemberRole | None:
    with reading(services.engine) as session:
        place = guest_place(session, site, user_id)
    return None if place is None else place.role


def emails(services: Services, site: Site) -> list[tuple[str, bool]]:
    with reading(services.engine) as session:
        return [(line.email, line.is_accepted) for line in list_guests(session, site.site_id, now_ms())]


def test_a_new_person_becomes_a_guest_and_nothing_else(services: Services, site: Site) -> None:
    add_site(services.engine, "other.example", account_id=1)
    token = invited(services, site, role=EDITOR)
    mail = mails_to(services, GINA)[0]
    assert "Olga Owner" in mail.text
    assert "the site shop.\u2060example" in mail.text, "no link that we did not make"
    assert "change its goals and settings" in " ".join(mail.text.split())
    offer = look_at_guest_invitation(services, token, now_ms())
    assert (offer.domain, offer.email, offer.role, offer.has_user) == ("shop.example", GINA, EDITOR, False)
    with pytest.raises(FormError):
        accept_guest_as_new(services, token, "Gina", "short", now_ms())
    user_id, domain = accept_guest_as_new(services, token, "Gina", PASSWORD, now_ms())
    assert domain == "shop.example"
    assert check_login(services, GINA, PASSWORD) is not None
    with reading(services.engine) as session:
        assert [each.domain for each in guest_sites(session, user_id)] == ["shop.example"]
        place = guest_place(session, site, user_id)
        actions = session.execute(select(AuditEntry.action).order_by(AuditEntry.entry_id)).scalars().all()
    assert place is not None
    assert (place.name, place.role, place.is_guest) == ("shop.example", MemberRole.ADMIN, True)
    assert actions[-3:] == ["guest.invited", "user.created", "guest.joined"]
    with pytest.raises(LinkInvalid):
        accept_guest_as_new(services, token, "Gina", PASSWORD, now_ms())


def test_the_link_works_for_its_address_alone_and_once(services: Services, site: Site) -> None:
    gina, _ = make_person(services, GINA)
    eve, _ = make_person(services, "eve@example.org")
    token = invited(services, site)
    for work in (
        lambda: accept_guest_as_user(services, token, eve, now_ms()),
        lambda: accept_guest_as_new(services, token, "Not Gina", PASSWORD, now_ms()),
        lambda: look_at_guest_invitation(services, "x" * 43, now_ms()),
        lambda: accept_guest_as_user(services, token, gina, now_ms() + INVITATION_LIFE_MS),
    ):
        with pytest.raises(LinkInvalid):
            work()
    assert accept_guest_as_user(services, token, gina, now_ms()) == "shop.example"
    assert (role_on(services, site, gina), role_on(services, site, eve)) == (MemberRole.VIEWER, None)
    with pytest.raises(LinkInvalid):
        accept_guest_as_user(services, token, gina, now_ms())


def test_inviting_again_sends_nothing_and_changes_nothing(services: Services, site: Site) -> None:
    gina, _ = make_person(services, GINA)
    token = invited(services, site)
    line, is_new = invite_guest(services, site.site_id, GINA.upper(), EDITOR, 1, now_ms())
    assert (line.email, line.role, line.is_accepted, is_new) == (GINA, VIEWER, False, False)
    accept_guest_as_user(services, token, gina, now_ms())
    line, is_new = invite_guest(services, site.site_id, GINA, EDITOR, None, now_ms())
    assert (line.email, line.role, line.is_accepted, is_new) == (GINA, VIEWER, True, False)
    assert len([mail for mail in mails_to(services, GINA) if "invited to a site" in mail.subject]) == 1


def test_an_invitation_that_is_over_is_sent_anew(services: Services, site: Site) -> None:
    invite_guest(services, site.site_id, GINA, VIEWER, 1, now_ms() - INVITATION_LIFE_MS)
    assert emails(services, site) == []
    invited(services, site, role=EDITOR)
    assert emails(services, site) == [(GINA, False)]


def test_members_are_no_guests_and_who_joins_is_one_no_longer(services: Services, site: Site) -> None:
    add_member(services, 1, "member@example.com", MemberRole.VIEWER)
    with pytest.raises(FormError, match="sees all of its sites"):
        invite_guest(services, site.site_id, "member@example.com", VIEWER, 1, now_ms())
    with pytest.raises(FormError, match="not a mail address"):
        invite_guest(services, site.site_id, "nobody", VIEWER, 1, now_ms())
    gina = add_guest(services, "shop.example", GINA, EDITOR)
    ida, _ = make_person(services, "ida@example.org")
    late = invited(services, site, "ida@example.org")
    for email, user_id in ((GINA, gina), ("ida@example.org", ida)):
        invite(services, 1, 1, MemberRole.OWNER, email, MemberRole.VIEWER, now_ms())
        accept_as_user(services, token_in(mails_to(services, email)[0]), user_id, now_ms())
    assert role_on(services, site, gina) is None
    assert accept_guest_as_user(services, late, ida, now_ms()) == "shop.example"
    assert emails(services, site) == []


def test_roles_change_and_guests_go(services: Services, site: Site) -> None:
    gina, ida = (add_guest(services, "shop.example", email, VIEWER) for email in (GINA, "ida@example.org"))
    other = add_site(services.engine, "other.example", account_id=1)
    with reading(services.engine) as session:
        line = find_guest(session, site.site_id, GINA, now_ms())
    assert line is not None
    change_guest_role(services, site.site_id, line.guest_id, EDITOR, 1, now_ms())
    assert role_on(services, site, gina) == MemberRole.ADMIN
    with pytest.raises(NotThere):
        change_guest_role(services, other.site_id, line.guest_id, VIEWER, 1, now_ms())
    with pytest.raises(NotThere):
        remove_guest(services, other.site_id, line.guest_id, 1, now_ms())
    with pytest.raises(NotThere):
        leave_site(services, other.site_id, gina, now_ms())
    remove_guest(services, site.site_id, line.guest_id, 1, now_ms())
    leave_site(services, site.site_id, ida, now_ms())
    assert emails(services, site) == []
    assert (role_on(services, site, gina), role_on(services, site, ida)) == (None, None)
    assert check_login(services, GINA, PASSWORD) is not None, "the login stays"


def test_a_guest_is_the_person_whatever_their_address_becomes(services: Services, site: Site) -> None:
    gina = add_guest(services, "shop.example", GINA, VIEWER)
    with writing(services.engine) as session:
        session.get_one(User, gina).email = "gina@new.example"
    assert emails(services, site) == [("gina@new.example", True)]
    token = invited(services, site, role=EDITOR)
    assert emails(services, site) == [(GINA, False), ("gina@new.example", True)]
    with pytest.raises(LinkInvalid):
        accept_guest_as_user(services, token, gina, now_ms())
    with writing(services.engine) as session:
        session.get_one(User, gina).email = GINA
    accept_guest_as_user(services, token, gina, now_ms())
    assert emails(services, site) == [(GINA, True)]
    assert role_on(services, site, gina) == MemberRole.ADMIN


def test_grants_end_when_the_site_moves_and_sleep_while_it_is_deleted(services: Services, site: Site) -> None:
    ann, account = make_person(services, "ann@example.com")
    gina = add_guest(services, "shop.example", GINA, VIEWER)
    token = invited(services, site, "ida@example.org")
    delete_site(services, site.site_id, "shop.example", 1)
    with reading(services.engine) as session:
        assert guest_sites(session, gina) == []
    with pytest.raises(LinkInvalid):
        look_at_guest_invitation(services, token, now_ms())
    restore_site(services, site.site_id, 1)
    with reading(services.engine) as session:
        assert len(guest_sites(session, gina)) == 1
    offer_site(services, site.site_id, "ann@example.com", 1, now_ms())
    accept_offer(services, token_in(mails_to(services, "ann@example.com")[0]), ann, account, now_ms())
    assert emails(services, site) == []
    with pytest.raises(LinkInvalid):
        look_at_guest_invitation(services, token, now_ms())


def test_who_is_a_guest_elsewhere_is_not_destroyed_with_an_account(services: Services, site: Site) -> None:
    gina, account = make_person(services, GINA)
    assert only_members_of(services, account) == [gina]
    with writing(services.engine) as session:
        times = {"created_at_ms": now_ms(), "expires_at_ms": now_ms(), "accepted_at_ms": now_ms()}
        session.add(Guest(site_id=site.site_id, user_id=gina, role=VIEWER, **times))
    assert only_members_of(services, account) == []


def only_members_of(services: Services, account_id: int) -> list[int]:
    with reading(services.engine) as session:
        return only_members(session, account_id)


def test_a_site_has_so_many_guests(services: Services, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.accounts.guests, "MOST_GUESTS", 3)
    monkeypatch.setattr(server.accounts.guests, "MOST_INVITED", 2)
    add_guest(services, "shop.example", GINA, VIEWER)
    first = invited(services, site, "a@example.org")
    invited(services, site, "b@example.org")
    with pytest.raises(FormError, match="2 invitations are open"):
        invite_guest(services, site.site_id, "c@example.org", VIEWER, 1, now_ms())
    accept_guest_as_new(services, first, "A", PASSWORD, now_ms())
    with pytest.raises(FormError, match="may have 3 guests"):
        invite_guest(services, site.site_id, "c@example.org", VIEWER, 1, now_ms())


def test_of_two_who_use_a_link_at_once_one_gets_in(services: Services, site: Site) -> None:
    token = invited(services, site)
    outcomes = run_in_threads(2, lambda _: accept_guest_as_new(services, token, "Gina", PASSWORD, now_ms())[1])
    assert "shop.example" in outcomes
    assert sum(isinstance(outcome, LinkInvalid) for outcome in outcomes) == 1
    assert emails(services, site) == [(GINA, True)]
