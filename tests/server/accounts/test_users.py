"""The first owner, sign-up, resets, changes of address and password."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import func, select

from server.accounts.devices import Device
from server.accounts.errors import FormError, LinkInvalid
from server.accounts.passwords import hash_password, is_password
from server.accounts.sessions import find_login, start_login
from server.accounts.tokens import LIFE_MS
from server.accounts.users import (
    ask_for_new_email,
    ask_for_reset,
    ask_to_sign_up,
    change_email,
    change_name,
    change_password,
    check_login,
    create_owner,
    email_of_sign_up,
    make_first_run_token,
    reset_password,
    sign_up,
)
from server.app_database import reading, writing
from server.clock import DAY_MS, now_ms
from server.models import Account, AuditEntry, BillingProfile, OneTimeToken, TokenPurpose, User
from server.services import Services
from tests.server.accounts.people import PASSWORD, mails_to, make_owner, make_person, role_of, token_in

OTHER_PASSWORD = "entirely different lengthy phrase"


def logged_in(services: Services, user_id: int) -> str:
    with writing(services.engine) as session:
        return start_login(session, user_id, Device("Firefox on Linux", "DE"), now_ms(), second_factor=False)


def is_logged_in(services: Services, token: str) -> bool:
    return find_login(services.engine, services.settings, token, now_ms()) is not None


def test_the_first_run_makes_one_owner_with_staff_powers(services: Services) -> None:
    older = make_first_run_token(services.engine, now_ms())
    token = make_first_run_token(services.engine, now_ms())
    assert older is not None
    assert token is not None
    with pytest.raises(LinkInvalid):
        create_owner(services, older, "owner@example.com", "Olga", PASSWORD, now_ms())
    user_id = create_owner(services, token, " Owner@Example.com ", "Olga", PASSWORD, now_ms())
    assert role_of(services, 1, user_id) == "owner"
    with reading(services.engine) as session:
        user = session.get_one(User, user_id)
        assert (user.email, user.is_staff, user.email_confirmed_at_ms is not None) == ("owner@example.com", True, True)
        assert session.get_one(BillingProfile, 1).owner_user_id == user_id
        assert session.get_one(Account, 1).name == "Olga"
        assert session.execute(select(AuditEntry.action)).scalars().all() == ["owner.created"]
    assert make_first_run_token(services.engine, now_ms()) is None
    with pytest.raises(LinkInvalid):
        create_owner(services, token, "second@example.com", "", PASSWORD, now_ms())


def test_a_first_run_link_ends(services: Services) -> None:
    token = make_first_run_token(services.engine, now_ms())
    assert token is not None
    later = now_ms() + LIFE_MS[TokenPurpose.FIRST_RUN] + 1
    with pytest.raises(LinkInvalid):
        create_owner(services, token, "owner@example.com", "", PASSWORD, later)


@pytest.mark.parametrize(
    ("email", "name", "password", "field"),
    [
        ("no address", "", PASSWORD, "email"),
        ("a@b.c\r\nBcc: x@y.z", "", PASSWORD, "email"),
        ("a" * 250 + "@example.com", "", PASSWORD, "email"),
        ("owner@example.com", "n" * 101, PASSWORD, "name"),
        ("owner@example.com", "", "short", "password"),
        ("owner@example.com", "", "x" * 129, "password"),
        ("owner@example.com", "", "password1234", "password"),
        ("owner@example.com", "Olga Ownersdottir", "olga ownersdottir", "password"),
    ],
)
def test_what_cannot_be_used_is_said_at_its_field(
    services: Services, email: str, name: str, password: str, field: str
) -> None:
    token = make_first_run_token(services.engine, now_ms())
    assert token is not None
    with pytest.raises(FormError) as refused:
        create_owner(services, token, email, name, password, now_ms())
    assert refused.value.field == field
    assert create_owner(services, token, "owner@example.com", "", PASSWORD, now_ms()), "the link is still good"


def test_sign_up_by_a_link(services: Services) -> None:
    ask_to_sign_up(services, "New@Example.com")
    (mail,) = mails_to(services, "new@example.com")
    token = token_in(mail)
    assert email_of_sign_up(services, token, now_ms()) == "new@example.com"
    user_id = sign_up(services, token, "Nora", PASSWORD, now_ms())
    with reading(services.engine) as session:
        user = session.get_one(User, user_id)
        assert (user.email, user.is_staff) == ("new@example.com", False)
        profile = session.execute(select(BillingProfile).where(BillingProfile.owner_user_id == user_id)).scalar_one()
        assert (profile.plan_code, role_of(services, profile.account_id, user_id)) == ("FREE", "owner")
    with pytest.raises(LinkInvalid):
        sign_up(services, token, "Nora", PASSWORD, now_ms())


def test_signing_up_twice_tells_the_mailbox_and_nobody_else(services: Services) -> None:
    make_person(services, "known@example.com")
    ask_to_sign_up(services, "known@example.com")
    (mail,) = mails_to(services, "known@example.com")
    assert "token=" not in mail.text
    with reading(services.engine) as session:
        assert session.execute(select(func.count()).select_from(OneTimeToken)).scalar_one() == 0


def test_asking_often_sends_one_mail(services: Services) -> None:
    for _ in range(5):
        ask_to_sign_up(services, "eager@example.com")
    assert len(mails_to(services, "eager@example.com")) == 1


def test_the_right_password_logs_in_and_nothing_else(services: Services) -> None:
    user_id = make_owner(services)
    found = check_login(services, "Owner@example.com", PASSWORD)
    assert found is not None
    assert found.user_id == user_id
    assert check_login(services, "owner@example.com", PASSWORD + "x") is None
    assert check_login(services, "nobody@example.com", PASSWORD) is None
    with writing(services.engine) as session:
        session.get_one(User, user_id).state = "blocked"
    assert check_login(services, "owner@example.com", PASSWORD) is None


def test_an_old_cost_is_replaced_at_the_next_login(services: Services) -> None:
    from argon2 import PasswordHasher

    user_id = make_owner(services)
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    with writing(services.engine) as session:
        session.get_one(User, user_id).password_hash = old
    assert check_login(services, "owner@example.com", PASSWORD) is not None
    with reading(services.engine) as session:
        kept = session.get_one(User, user_id).password_hash
    assert kept != old
    assert is_password(kept, PASSWORD)


def fastest_s(function: Callable[[], object]) -> float:
    times = []
    for _ in range(7):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


@pytest.mark.usefixtures("real_passwords")
def test_passwords_are_hashed_at_the_cost_that_owasp_names() -> None:
    assert hash_password(PASSWORD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.usefixtures("real_passwords")
def test_an_unknown_address_is_hashed_like_a_known_one() -> None:
    stored = hash_password(PASSWORD)
    known = fastest_s(lambda: is_password(stored, "wrong password"))
    unknown = fastest_s(lambda: is_password(None, "wrong password"))
    assert not is_password(None, "nobody has this password")
    # The hash is nearly all of it; a missing one would be a thousandth.
    assert 0.5 < unknown / known < 2


def test_a_reset_ends_every_login_and_works_once(services: Services) -> None:
    user_id = make_owner(services)
    login = logged_in(services, user_id)
    ask_for_reset(services, "owner@example.com")
    token = token_in(mails_to(services, "owner@example.com")[0])
    reset_password(services, token, OTHER_PASSWORD, now_ms())
    assert not is_logged_in(services, login)
    assert check_login(services, "owner@example.com", OTHER_PASSWORD) is not None
    assert check_login(services, "owner@example.com", PASSWORD) is None
    with pytest.raises(LinkInvalid):
        reset_password(services, token, PASSWORD, now_ms())
    assert "password" in mails_to(services, "owner@example.com")[0].subject.lower()


def test_a_reset_of_an_unknown_address_sends_nothing(services: Services) -> None:
    ask_for_reset(services, "nobody@example.com")
    assert mails_to(services, "nobody@example.com") == []


def test_a_newer_reset_link_replaces_the_older_and_both_end(services: Services) -> None:
    make_owner(services)
    ask_for_reset(services, "owner@example.com")
    older = token_in(mails_to(services, "owner@example.com")[0])
    ask_for_reset(services, "owner@example.com")
    newer = token_in(mails_to(services, "owner@example.com")[0])
    with pytest.raises(LinkInvalid):
        reset_password(services, older, OTHER_PASSWORD, now_ms())
    with pytest.raises(LinkInvalid):
        reset_password(services, newer, OTHER_PASSWORD, now_ms() + LIFE_MS[TokenPurpose.RESET_PASSWORD] + 1)


def test_changing_the_password_needs_the_current_one_and_ends_other_logins(services: Services) -> None:
    user_id = make_owner(services)
    here, elsewhere = logged_in(services, user_id), logged_in(services, user_id)
    login = find_login(services.engine, services.settings, here, now_ms())
    assert login is not None
    with pytest.raises(FormError) as refused:
        change_password(services, user_id, login.session_id, "wrong", OTHER_PASSWORD, now_ms())
    assert refused.value.field == "current"
    assert is_logged_in(services, elsewhere)
    change_password(services, user_id, login.session_id, PASSWORD, OTHER_PASSWORD, now_ms())
    assert is_logged_in(services, here)
    assert not is_logged_in(services, elsewhere)


def test_a_new_address_is_taken_when_its_link_is_opened(services: Services) -> None:
    user_id = make_owner(services)
    with pytest.raises(FormError):
        ask_for_new_email(services, user_id, "wrong", "new@example.com")
    with pytest.raises(FormError):
        ask_for_new_email(services, user_id, PASSWORD, "owner@example.com")
    ask_for_reset(services, "owner@example.com")
    reset_in_old_mailbox = token_in(mails_to(services, "owner@example.com")[0])
    ask_for_new_email(services, user_id, PASSWORD, "New@example.com")
    token = token_in(mails_to(services, "new@example.com")[0])
    assert check_login(services, "new@example.com", PASSWORD) is None
    change_email(services, token, now_ms())
    assert check_login(services, "new@example.com", PASSWORD) is not None
    assert "new@example.com" not in mails_to(services, "owner@example.com")[0].text, "the old mailbox is told no more"
    with pytest.raises(LinkInvalid):
        reset_password(services, reset_in_old_mailbox, OTHER_PASSWORD, now_ms())


def test_an_address_that_somebody_has_is_not_given_away(services: Services) -> None:
    owner = make_owner(services)
    make_person(services, "taken@example.com")
    ask_for_new_email(services, owner, PASSWORD, "taken@example.com")
    (mail,) = mails_to(services, "taken@example.com")
    assert "token=" not in mail.text
    ask_for_new_email(services, owner, PASSWORD, "free@example.com")
    token = token_in(mails_to(services, "free@example.com")[0])
    make_person(services, "free@example.com")
    with pytest.raises(LinkInvalid):
        change_email(services, token, now_ms())


def test_names_lose_what_cannot_be_seen(services: Services) -> None:
    user_id = make_owner(services)
    change_name(services, user_id, "  Olga\r\nBcc: x \u202e Owner ")
    with reading(services.engine) as session:
        assert session.get_one(User, user_id).name == "Olga Bcc: x Owner"


def test_logins_end_by_idleness_and_by_age(services: Services) -> None:
    user_id = make_owner(services)
    token = logged_in(services, user_id)
    settings = services.settings
    at_ms = now_ms()
    assert find_login(services.engine, settings, token, at_ms + settings.session_idle_days * DAY_MS - 60_000)
    # That visit counted: the idle time starts anew from it.
    assert find_login(services.engine, settings, token, at_ms + (settings.session_idle_days + 10) * DAY_MS)
    assert not find_login(services.engine, settings, token, at_ms + (2 * settings.session_idle_days + 11) * DAY_MS)
    step_ms = settings.session_idle_days * DAY_MS // 2
    token, at_ms = logged_in(services, user_id), now_ms()
    until_ms = at_ms + settings.session_max_days * DAY_MS
    while at_ms + step_ms < until_ms:
        at_ms += step_ms
        assert find_login(services.engine, settings, token, at_ms)
    assert not find_login(services.engine, settings, token, until_ms + 60_000)
