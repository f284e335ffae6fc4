"""Members, invitations, owners; keys; flags."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from server.accounts.errors import FormError, LinkInvalid, NotAllowed, NotThere
from server.accounts.flags import is_on, set_flag
from server.accounts.keys import add_api_key, key_hash, list_keys, note_key_uses, revoke_key
from server.accounts.team import (
    INVITATION_LIFE_MS,
    MOST_INVITATIONS,
    accept_as_new,
    accept_as_user,
    change_role,
    hand_over,
    invite,
    list_invitations,
    list_members,
    look_at_invitation,
    remove_member,
    rename_account,
    revoke_invitation,
)
from server.accounts.users import check_login
from server.app_database import reading, writing
from server.clock import now_ms
from server.models import Account, AuditEntry, BillingProfile, MemberRole, Scope
from server.services import Services
from server.snapshot import read_source
from tests.server.accounts.people import (
    PASSWORD,
    add_member,
    mails_to,
    make_owner,
    make_person,
    role_of,
    token_in,
)
from tests.server.tasks.fixtures import run_in_threads

OWNER, ADMIN, VIEWER = MemberRole.OWNER, MemberRole.ADMIN, MemberRole.VIEWER


def invited(services: Services, email: str, role: MemberRole = VIEWER, inviter: MemberRole = OWNER) -> str:
    invite(services, 1, 1, inviter, email, role, now_ms())
    return token_in(mails_to(services, email)[0])


def test_a_new_person_joins_by_an_invitation(services: Services) -> None:
    make_owner(services)
    token = invited(services, "Ann@example.com".lower(), ADMIN)
    offer = look_at_invitation(services, token, now_ms())
    assert (offer.account_id, offer.email, offer.role, offer.has_user) == (1, "ann@example.com", ADMIN, False)
    user_id = accept_as_new(services, token, "Ann", PASSWORD, now_ms())
    assert role_of(services, 1, user_id) == "admin"
    assert check_login(services, "ann@example.com", PASSWORD) is not None
    with pytest.raises(LinkInvalid):
        accept_as_new(services, token, "Ann", PASSWORD, now_ms())
    with reading(services.engine) as session:
        members = {member.email: member.role for member in list_members(session, 1)}
        actions = session.execute(select(AuditEntry.action).order_by(AuditEntry.entry_id)).scalars().all()
    assert members == {"owner@example.com": OWNER, "ann@example.com": ADMIN}
    assert actions == ["owner.created", "member.invited", "user.created", "member.joined"]


def test_a_known_person_joins_when_signed_in_with_that_address(services: Services) -> None:
    make_owner(services)
    ann, own_account = make_person(services, "ann@example.com")
    bob, _ = make_person(services, "bob@example.com")
    token = invited(services, "ann@example.com")
    with pytest.raises(LinkInvalid):
        accept_as_user(services, token, bob, now_ms())
    with pytest.raises(LinkInvalid):
        accept_as_new(services, token, "Not Ann", PASSWORD, now_ms())
    assert accept_as_user(services, token, ann, now_ms()) == 1
    assert (role_of(services, 1, ann), role_of(services, own_account, ann)) == ("viewer", "owner")


def test_invitations_end_are_replaced_and_taken_back(services: Services) -> None:
    make_owner(services)
    older = invited(services, "ann@example.com")
    newer = invited(services, "ann@example.com", ADMIN)
    with pytest.raises(LinkInvalid):
        look_at_invitation(services, older, now_ms())
    with pytest.raises(LinkInvalid):
        look_at_invitation(services, newer, now_ms() + INVITATION_LIFE_MS + 1)
    with reading(services.engine) as session:
        (row,) = list_invitations(session, 1, now_ms())
        assert list_invitations(session, 1, now_ms() + INVITATION_LIFE_MS + 1) == []
    with pytest.raises(NotThere):
        revoke_invitation(services, 2, row.invitation_id, 1, now_ms())
    revoke_invitation(services, 1, row.invitation_id, 1, now_ms())
    with pytest.raises(LinkInvalid):
        look_at_invitation(services, newer, now_ms())


def test_who_may_invite_whom(services: Services) -> None:
    make_owner(services)
    for inviter, role in ((VIEWER, VIEWER), (ADMIN, OWNER)):
        with pytest.raises(NotAllowed):
            invite(services, 1, 1, inviter, "ann@example.com", role, now_ms())
    with pytest.raises(FormError):
        invite(services, 1, 1, OWNER, "not an address", VIEWER, now_ms())
    with pytest.raises(FormError):
        invite(services, 1, 1, OWNER, "owner@example.com", VIEWER, now_ms())
    assert mails_to(services, "ann@example.com") == []


def test_open_invitations_are_bounded(services: Services) -> None:
    make_owner(services)
    for number in range(MOST_INVITATIONS):
        invite(services, 1, 1, OWNER, f"person{number}@example.com", VIEWER, now_ms())
    with pytest.raises(FormError):
        invite(services, 1, 1, OWNER, "one-more@example.com", VIEWER, now_ms())
    later_ms = now_ms() + INVITATION_LIFE_MS + 1
    invite(services, 1, 1, OWNER, "later@example.com", VIEWER, later_ms)
    with reading(services.engine) as session:
        assert [row.email for row in list_invitations(session, 1, later_ms)] == ["later@example.com"]


def test_roles_change_within_ones_reach(services: Services) -> None:
    owner = make_owner(services)
    ann = add_member(services, 1, "ann@example.com", ADMIN)
    bob = add_member(services, 1, "bob@example.com", VIEWER)
    change_role(services, 1, bob, ADMIN, ann, ADMIN, now_ms())
    assert role_of(services, 1, bob) == "admin"
    for user_id, role in ((owner, ADMIN), (bob, OWNER)):
        with pytest.raises(NotAllowed):
            change_role(services, 1, user_id, role, ann, ADMIN, now_ms())
    with pytest.raises(NotAllowed):
        change_role(services, 1, bob, ADMIN, bob, VIEWER, now_ms())
    with pytest.raises(NotAllowed):
        remove_member(services, 1, owner, ann, ADMIN, now_ms())
    with pytest.raises(NotThere):
        change_role(services, 1, 999, ADMIN, owner, OWNER, now_ms())
    remove_member(services, 1, bob, ann, ADMIN, now_ms())
    assert role_of(services, 1, bob) is None


def test_the_last_owner_stays_and_the_plan_follows_an_owner(services: Services) -> None:
    owner = make_owner(services)
    with pytest.raises(NotAllowed):
        change_role(services, 1, owner, ADMIN, owner, OWNER, now_ms())
    with pytest.raises(NotAllowed):
        remove_member(services, 1, owner, owner, OWNER, now_ms())
    ann = add_member(services, 1, "ann@example.com", VIEWER)
    hand_over(services, 1, ann, owner, now_ms())
    assert role_of(services, 1, ann) == "owner"

    def payer() -> int | None:
        with reading(services.engine) as session:
            return session.get_one(BillingProfile, 1).owner_user_id

    assert payer() == ann
    remove_member(services, 1, ann, ann, OWNER, now_ms())
    assert payer() == owner, "who answered for the plan has left"


def test_two_owners_who_remove_each_other_leave_one(services: Services) -> None:
    owner = make_owner(services)
    ann = add_member(services, 1, "ann@example.com", OWNER)
    pairs = [(owner, ann), (ann, owner)]
    results = run_in_threads(
        2, lambda number: remove_member(services, 1, pairs[number][1], pairs[number][0], OWNER, now_ms())
    )
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "NotAllowed"]
    with reading(services.engine) as session:
        assert len(list_members(session, 1)) == 1


def test_an_account_is_renamed(services: Services) -> None:
    owner = make_owner(services)
    with pytest.raises(FormError):
        rename_account(services, 1, "   ", owner, now_ms())
    rename_account(services, 1, " Acme \n Inc ", owner, now_ms())
    with reading(services.engine) as session:
        assert session.get_one(Account, 1).name == "Acme Inc"


def test_a_key_has_scopes_is_shown_once_and_ends(services: Services) -> None:
    owner = make_owner(services)
    engine = services.engine
    for name, scopes in (("", [Scope.STATS_READ]), ("x" * 101, [Scope.STATS_READ]), ("fine", [])):
        with pytest.raises(FormError):
            add_api_key(engine, name, 1, scopes)
    key = add_api_key(engine, "exports", 1, [Scope.STATS_READ], actor=owner)
    source = read_source(engine)
    assert key not in str(source)
    assert [(entry["hash"], entry["scopes"]) for entry in source.api_keys] == [(key_hash(key), ["stats:read"])]
    note_key_uses(engine, {key_hash(key): 2000})
    note_key_uses(engine, {key_hash(key): 1000, "unknown": 5})
    with reading(engine) as session:
        (row,) = list_keys(session, 1)
        assert (row.hint, row.last_used_at_ms) == (key[:8], 2000)
        assert list_keys(session, 2) == []
    with pytest.raises(NotThere):
        revoke_key(engine, 2, row.key_id, owner)
    revoke_key(engine, 1, row.key_id, owner)
    after = read_source(engine)
    assert (after.api_keys, after.version > source.version) == ((), True)


def test_a_flag_is_on_for_all_or_for_some(services: Services) -> None:
    with writing(services.engine) as session:
        assert not is_on(session, "new-chart", 1)
        set_flag(session, "new-chart", is_on=False, account_ids=[2])
    with writing(services.engine) as session:
        assert (is_on(session, "new-chart", 1), is_on(session, "new-chart", 2)) == (False, True)
        set_flag(session, "new-chart", is_on=True)
    with reading(services.engine) as session:
        assert is_on(session, "new-chart", 1)
        assert is_on(session, "new-chart")
