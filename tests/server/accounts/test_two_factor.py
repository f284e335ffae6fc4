"""The second factor: enrolment, codes that work once, recovery codes, half-finished logins."""

from __future__ import annotations

import pyotp
import pytest
from sqlalchemy import select

from server.accounts.errors import FormError, LinkInvalid
from server.accounts.tokens import LIFE_MS, MOST_FAILURES, make_token
from server.accounts.two_factor import (
    RECOVERY_CODES,
    STEP_S,
    begin_enrolment,
    disable,
    enable,
    is_code,
    make_recovery_codes,
    recovery_codes_left,
    use_recovery_code,
)
from server.app_database import reading, writing
from server.clock import now_ms
from server.models import Alert, AuditEntry, OneTimeToken, RecoveryCode, TokenPurpose, User
from server.pages.login import check_second_factor
from server.services import Services
from tests.server.accounts.people import make_owner

NOON_MS = 1_795_435_200_000


def code_at(secret: str, at_ms: int) -> str:
    return pyotp.TOTP(secret).at(at_ms // 1000)


def enrol(services: Services, user_id: int, at_ms: int = NOON_MS) -> tuple[str, list[str]]:
    with writing(services.engine) as session:
        user = session.get_one(User, user_id)
        secret = begin_enrolment(session, services.secret_key, user).secret
        return secret, enable(session, services.secret_key, user, code_at(secret, at_ms), at_ms)


def accepts(services: Services, user_id: int, code: str, at_ms: int) -> bool:
    with writing(services.engine) as session:
        return is_code(session, services.secret_key, session.get_one(User, user_id), code, at_ms)


def test_enrolment_keeps_its_secret_until_a_code_was_right(services: Services) -> None:
    user_id = make_owner(services)
    with writing(services.engine) as session:
        user = session.get_one(User, user_id)
        first = begin_enrolment(session, services.secret_key, user)
        assert first.qr_code_url.startswith("data:image/svg+xml")
    with writing(services.engine) as session:
        user = session.get_one(User, user_id)
        assert begin_enrolment(session, services.secret_key, user).secret == first.secret
        with pytest.raises(FormError):
            enable(session, services.secret_key, user, "000000", NOON_MS)
        assert user.totp_enabled_at_ms is None
        assert user.totp_sealed is not None
        assert first.secret.encode() not in user.totp_sealed
        codes = enable(session, services.secret_key, user, code_at(first.secret, NOON_MS), NOON_MS)
    assert len(set(codes)) == RECOVERY_CODES
    with writing(services.engine) as session, pytest.raises(FormError):
        begin_enrolment(session, services.secret_key, session.get_one(User, user_id))
    with writing(services.engine) as session, pytest.raises(FormError):
        enable(session, services.secret_key, session.get_one(User, user_id), "000000", NOON_MS)


def test_a_code_works_once_and_for_one_step_around(services: Services) -> None:
    user_id = make_owner(services)
    secret, _ = enrol(services, user_id)
    step_ms = STEP_S * 1000
    assert not accepts(services, user_id, code_at(secret, NOON_MS), NOON_MS), "enrolment used it"
    later_ms = NOON_MS + 10 * step_ms
    assert not accepts(services, user_id, code_at(secret, later_ms - 2 * step_ms), later_ms)
    assert not accepts(services, user_id, code_at(secret, later_ms + 2 * step_ms), later_ms)
    assert accepts(services, user_id, code_at(secret, later_ms - step_ms), later_ms)
    assert accepts(services, user_id, code_at(secret, later_ms + step_ms), later_ms)
    assert not accepts(services, user_id, code_at(secret, later_ms), later_ms), "a later one was used already"
    spaced = code_at(secret, later_ms + 5 * step_ms)
    assert accepts(services, user_id, f" {spaced[:3]} {spaced[3:]} ", later_ms + 5 * step_ms)


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "١٢٣٤٥٦"])
def test_what_is_no_code_is_refused(services: Services, code: str) -> None:
    user_id = make_owner(services)
    enrol(services, user_id)
    assert not accepts(services, user_id, code, NOON_MS + 600_000)


def test_a_secret_moved_to_another_user_or_key_opens_nothing(services: Services) -> None:
    owner = make_owner(services)
    secret, _ = enrol(services, owner)
    later_ms = NOON_MS + 600_000
    with writing(services.engine) as session:
        user = session.get_one(User, owner)
        assert not is_code(session, "another secret key" * 3, user, code_at(secret, later_ms), later_ms)
        thief = User(email="thief@example.com", name="", password_hash="x", created_at_ms=NOON_MS)
        thief.totp_sealed, thief.totp_last_step = user.totp_sealed, 0
        session.add(thief)
        session.flush()
        assert not is_code(session, services.secret_key, thief, code_at(secret, later_ms), later_ms)


def test_each_recovery_code_works_once_and_new_ones_replace_them(services: Services) -> None:
    user_id = make_owner(services)
    _, codes = enrol(services, user_id)
    with writing(services.engine) as session:
        assert use_recovery_code(session, user_id, codes[0].upper().replace("-", " "))
        assert not use_recovery_code(session, user_id, codes[0])
        assert not use_recovery_code(session, user_id + 1, codes[1])
        assert recovery_codes_left(session, user_id) == RECOVERY_CODES - 1
        stored = session.execute(select(RecoveryCode.code_hash)).scalars().all()
        assert not set(stored) & set(codes)
        newer = make_recovery_codes(session, user_id)
    with writing(services.engine) as session:
        assert not use_recovery_code(session, user_id, codes[1])
        assert use_recovery_code(session, user_id, newer[1])
        disable(session, session.get_one(User, user_id))
        assert recovery_codes_left(session, user_id) == 0


def begin(services: Services, user_id: int) -> str:
    with writing(services.engine) as session:
        return make_token(session, TokenPurpose.SECOND_FACTOR, now_ms(), user_id=user_id)


def test_a_login_is_completed_by_a_code_or_a_recovery_code(services: Services) -> None:
    user_id = make_owner(services)
    secret, codes = enrol(services, user_id)
    token = begin(services, user_id)
    at_ms = now_ms()
    assert check_second_factor(services, token, code_at(secret, at_ms), at_ms) == user_id
    with pytest.raises(LinkInvalid):
        check_second_factor(services, token, codes[0], at_ms)
    assert check_second_factor(services, begin(services, user_id), codes[0], now_ms()) == user_id
    with reading(services.engine) as session:
        entry = session.execute(select(AuditEntry).where(AuditEntry.action == "recovery_code.used")).scalar_one()
        assert entry.detail == {"left": RECOVERY_CODES - 1}


def test_wrong_codes_end_a_login_and_alert(services: Services) -> None:
    user_id = make_owner(services)
    secret, _ = enrol(services, user_id)
    token = begin(services, user_id)
    for _ in range(MOST_FAILURES - 1):
        with pytest.raises(FormError):
            check_second_factor(services, token, "000000", now_ms())
    with pytest.raises(LinkInvalid):
        check_second_factor(services, token, "000000", now_ms())
    with pytest.raises(LinkInvalid):
        check_second_factor(services, token, code_at(secret, now_ms()), now_ms())
    with reading(services.engine) as session:
        assert session.execute(select(AuditEntry.action).where(AuditEntry.action == "login.refused")).scalar()
        alert = session.execute(select(Alert)).scalar_one()
        assert (alert.kind, "wrong codes" in alert.summary) == ("security", True)
        assert session.execute(select(OneTimeToken)).scalar() is None


def test_a_half_finished_login_ends_by_itself(services: Services) -> None:
    user_id = make_owner(services)
    secret, _ = enrol(services, user_id)
    token = begin(services, user_id)
    late_ms = now_ms() + LIFE_MS[TokenPurpose.SECOND_FACTOR] + 1
    with pytest.raises(LinkInvalid):
        check_second_factor(services, token, code_at(secret, late_ms), late_ms)
