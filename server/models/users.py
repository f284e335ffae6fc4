"""People, and how they prove who they are."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class User(Base):
    """A person. `email` is in lower case; `totp_sealed` is set from the start of enrolment, `totp_enabled_at_ms` once a
    code was right.
    """

    __tablename__ = "users"
    __table_args__ = ({"sqlite_autoincrement": True},)

    user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(100), default="")
    password_hash: Mapped[str] = mapped_column(String(200))
    email_confirmed_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    state: Mapped[str] = mapped_column(String(16), default="active")
    is_staff: Mapped[bool] = mapped_column(default=False)
    totp_sealed: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    totp_enabled_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    totp_last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    skip_known_devices: Mapped[bool] = mapped_column(default=False)
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class LoginSession(Base):
    """One login on one device. Only the hash of the cookie's token is kept; ending a login deletes its row."""

    __tablename__ = "login_sessions"

    session_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"), index=True)
    device: Mapped[str] = mapped_column(String(100))
    country: Mapped[str] = mapped_column(String(2), default="")
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    seen_at_ms: Mapped[int] = mapped_column(BigInteger)
    second_factor_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)


class KnownDevice(Base):
    """A browser that a user has logged in from, by the hash of its device cookie."""

    __tablename__ = "known_devices"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True)
    device_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen_at_ms: Mapped[int] = mapped_column(BigInteger)


class TokenPurpose(StrEnum):
    """What a one-time token is for."""

    FIRST_RUN = "first_run"
    CONFIRM_EMAIL = "confirm_email"
    CHANGE_EMAIL = "change_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a purpose
    SECOND_FACTOR = "second_factor"


class OneTimeToken(Base):
    """A secret sent to somebody, good for one use before it expires. Only its hash is kept; using it deletes it."""

    __tablename__ = "one_time_tokens"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16), index=True)
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="CASCADE"), default=None, index=True
    )
    email: Mapped[str] = mapped_column(String(254), default="")
    failures: Mapped[int] = mapped_column(default=0)
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    expires_at_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class RecoveryCode(Base):
    """A code that stands in for the second factor once. Only its hash is kept; using it deletes the row."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
