"""One-time tokens: 256 random bits that are sent to somebody, and only whose hash is kept.

A token belongs to one purpose, ends after the purpose's life, and is deleted by its use. A newer token of the same
purpose for the same person replaces the older one.
"""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from server.accounts.errors import LinkInvalid
from server.clock import DAY_MS, HOUR_MS, MINUTE_MS
from server.models import OneTimeToken, TokenPurpose

LIFE_MS = {
    # Printed on the operator's own terminal, at each start a new one.
    TokenPurpose.FIRST_RUN: 7 * DAY_MS,
    TokenPurpose.CONFIRM_EMAIL: DAY_MS,
    TokenPurpose.CHANGE_EMAIL: DAY_MS,
    # OWASP's Forgot Password Cheat Sheet asks for a short life; an hour covers slow mail.
    TokenPurpose.RESET_PASSWORD: HOUR_MS,
    TokenPurpose.SECOND_FACTOR: 5 * MINUTE_MS,
}

# Wrong codes that a half-finished login survives: a code has 10^6 values.
MOST_FAILURES = 5


def new_secret() -> str:
    """256 random bits, as text that needs no escaping in a URL or a cookie."""
    return secrets.token_urlsafe(32)


def secret_hash(secret: str) -> str:
    """What is stored of a secret. It has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode()).hexdigest()


def make_token(
    session: Session, purpose: TokenPurpose, now_ms: int, *, user_id: int | None = None, email: str = ""
) -> str:
    """A new token; the only time it can be seen."""
    older = (OneTimeToken.purpose == purpose) & (OneTimeToken.email == email)
    # Logins may be under way on several devices.
    if purpose is not TokenPurpose.SECOND_FACTOR:
        session.execute(delete(OneTimeToken).where(older & OneTimeToken.user_id.is_not_distinct_from(user_id)))
    token = new_secret()
    session.add(
        OneTimeToken(
            token_hash=secret_hash(token),
            purpose=purpose,
            user_id=user_id,
            email=email,
            created_at_ms=now_ms,
            expires_at_ms=now_ms + LIFE_MS[purpose],
        )
    )
    return token


def look_at_token(session: Session, purpose: TokenPurpose, token: str, now_ms: int) -> OneTimeToken:
    """The token's row, which stays. Raises `LinkInvalid`."""
    row = session.execute(select(OneTimeToken).where(_is_good(purpose, token, now_ms))).scalar()
    if row is None:
        raise LinkInvalid
    return row


def use_token(session: Session, purpose: TokenPurpose, token: str, now_ms: int) -> OneTimeToken:
    """The token's row, deleted with the caller's transaction: of two at once one gets it. Raises `LinkInvalid`."""
    used = delete(OneTimeToken).where(_is_good(purpose, token, now_ms)).returning(OneTimeToken)
    row = session.execute(used, execution_options={"synchronize_session": False}).scalar()
    if row is None:
        raise LinkInvalid
    session.expunge(row)
    return row


def count_failure(session: Session, purpose: TokenPurpose, token: str) -> bool:
    """Count a wrong code against a token; False when that was the last one it survived."""
    ours = (OneTimeToken.purpose == purpose) & (OneTimeToken.token_hash == secret_hash(token))
    counted = (
        update(OneTimeToken).where(ours).values(failures=OneTimeToken.failures + 1).returning(OneTimeToken.failures)
    )
    failures = session.execute(counted, execution_options={"synchronize_session": False}).scalar()
    if failures is not None and failures < MOST_FAILURES:
        return True
    session.execute(delete(OneTimeToken).where(ours))
    return False


def drop_tokens(session: Session, user_id: int, *purposes: TokenPurpose) -> None:
    """End a user's open tokens, after what they were for has changed another way."""
    session.execute(delete(OneTimeToken).where((OneTimeToken.user_id == user_id) & OneTimeToken.purpose.in_(purposes)))


def _is_good(purpose: TokenPurpose, token: str, now_ms: int) -> ColumnElement[bool]:
    return (
        (OneTimeToken.purpose == purpose)
        & (OneTimeToken.token_hash == secret_hash(token))
        & (OneTimeToken.expires_at_ms > now_ms)
    )
