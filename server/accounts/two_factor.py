"""The second factor: time-based codes (RFC 6238) from an app, and recovery codes for when the phone is gone.

The shared secret is sealed with the installation's secret key and bound to its user. A code is good for its own 30 s
and one step on either side (RFC 6238, 5.2), and once: `totp_last_step` only grows. Recovery codes have 80 random bits,
so their plain hashes cannot be searched.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass

import pyotp
import segno
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from server.accounts.errors import FormError
from server.accounts.tokens import secret_hash
from server.models import RecoveryCode, User
from server.sealing import SealBroken, seal, unseal

STEP_S = 30
STEPS_AROUND = 1
RECOVERY_CODES = 10
RECOVERY_CODE_BYTES = 10

_PURPOSE = "totp"
_ISSUER = "Footfall"


@dataclass(frozen=True)
class Enrolment:
    """What an authenticator app needs, as text to type and as a QR code (SVG as a `data:` URL)."""

    secret: str
    qr_code_url: str


def begin_enrolment(session: Session, secret_key: str, user: User) -> Enrolment:
    """A secret to enrol with: the same one until a code was right. Raises `FormError` when it is on already."""
    if user.totp_enabled_at_ms is not None:
        raise FormError("code", "Two-factor authentication is on already.")
    secret = _secret_of(secret_key, user)
    if secret is None:
        secret = pyotp.random_base32()
        user.totp_sealed = seal(secret_key, _PURPOSE, secret.encode(), _about(user))
    uri = pyotp.TOTP(secret, interval=STEP_S).provisioning_uri(name=user.email, issuer_name=_ISSUER)
    return Enrolment(secret, segno.make(uri, error="m").svg_data_uri(scale=5, border=4, light="#fff"))


def enable(session: Session, secret_key: str, user: User, code: str, now_ms: int) -> list[str]:
    """Turn it on with a first code from the app. Returns the recovery codes. Raises `FormError`."""
    if user.totp_enabled_at_ms is not None:
        raise FormError("code", "Two-factor authentication is on already.")
    if not is_code(session, secret_key, user, code, now_ms):
        raise FormError("code", "This code is not right. Is the clock of your phone set by the network?")
    user.totp_enabled_at_ms = now_ms
    return make_recovery_codes(session, user.user_id)


def disable(session: Session, user: User) -> None:
    """Turn it off and forget secret and recovery codes."""
    user.totp_sealed = None
    user.totp_enabled_at_ms = None
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user.user_id))


def is_code(session: Session, secret_key: str, user: User, code: str, now_ms: int) -> bool:
    """Whether this is the app's code now; it is used up by that."""
    secret = _secret_of(secret_key, user)
    digits = "".join(code.split())
    if secret is None or not (digits.isascii() and digits.isdecimal()):
        return False
    totp = pyotp.TOTP(secret, interval=STEP_S)
    now_step = now_ms // 1000 // STEP_S
    for step in range(now_step - STEPS_AROUND, now_step + STEPS_AROUND + 1):
        if hmac.compare_digest(totp.generate_otp(step), digits):
            unused = (User.user_id == user.user_id) & (User.totp_last_step < step)
            used = update(User).where(unused).values(totp_last_step=step).returning(User.user_id)
            return session.execute(used).scalar() is not None
    return False


def make_recovery_codes(session: Session, user_id: int) -> list[str]:
    """New recovery codes in place of the old ones; the only time they can be seen."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    session.add_all(RecoveryCode(user_id=user_id, code_hash=secret_hash(_bare(code))) for code in codes)
    return codes


def use_recovery_code(session: Session, user_id: int, code: str) -> bool:
    """Whether this is an unused recovery code; it is used up by that."""
    ours = (RecoveryCode.user_id == user_id) & (RecoveryCode.code_hash == secret_hash(_bare(code)))
    return session.execute(delete(RecoveryCode).where(ours).returning(RecoveryCode.user_id)).scalar() is not None


def recovery_codes_left(session: Session, user_id: int) -> int:
    """How many recovery codes are unused."""
    theirs = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user_id)
    return session.execute(theirs).scalar_one()


def _secret_of(secret_key: str, user: User) -> str | None:
    if user.totp_sealed is None:
        return None
    try:
        return unseal(secret_key, _PURPOSE, user.totp_sealed, _about(user)).decode()
    except SealBroken:
        # The secret key was changed: no code can be right any more, recovery codes still are.
        return None


def _about(user: User) -> str:
    return f"user {user.user_id}"


def _recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(RECOVERY_CODE_BYTES)).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def _bare(code: str) -> str:
    return "".join(sign for sign in code.lower() if sign.isalnum())
