"""Accounts and what belongs to one: members, invitations, keys, the plan."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import JSON, BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class MemberRole(StrEnum):
    """What a member may do. Each may do what the ones before it may."""

    VIEWER = "viewer"
    ADMIN = "admin"
    OWNER = "owner"

    @property
    def rank(self) -> int:
        """The place in the order: viewer 0, admin 1, owner 2."""
        return list(MemberRole).index(self)


class Scope(StrEnum):
    """What an API key may do."""

    EVENTS_WRITE = "events:write"
    STATS_READ = "stats:read"
    SITES_WRITE = "sites:write"


GONE_ACCOUNT_STATES = ("deleting", "destroyed")
"""States in which nobody sees an account; in the first an owner may still take it back (`server.accounts.deletion`)."""


class Account(Base):
    """Who pays and owns sites: one person, or a team. `timezone`: where its calendar months begin, for its usage."""

    __tablename__ = "accounts"

    account_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(16), default="active")
    state_before_deletion: Mapped[str] = mapped_column(String(16), default="")
    timezone: Mapped[str] = mapped_column(String(64), default="UTC", server_default="UTC")
    created_at_ms: Mapped[int] = mapped_column(BigInteger)

    # An account's number is part of site and key rows that outlive it: it is never given out twice.
    __table_args__ = ({"sqlite_autoincrement": True},)


class BillingProfile(Base):
    """The plan of an account and who answers for it. Apart from the user: it moves to the team's next owner."""

    __tablename__ = "billing_profiles"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.account_id", ondelete="CASCADE"), primary_key=True)
    owner_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="SET NULL"), default=None, index=True
    )
    plan_code: Mapped[str] = mapped_column(String(32), default="FREE")


class Membership(Base):
    """A user's place in an account."""

    __tablename__ = "memberships"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.account_id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(16))
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class Invitation(Base):
    """An open invitation into an account. Only the hash of its token is kept."""

    __tablename__ = "invitations"

    invitation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.account_id", ondelete="CASCADE"), index=True)
    email: Mapped[str] = mapped_column(String(254))
    role: Mapped[str] = mapped_column(String(16))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    invited_by_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="SET NULL"), default=None
    )
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    expires_at_ms: Mapped[int] = mapped_column(BigInteger)


class ApiKey(Base):
    """A key for server batches, reading and managing. Only the SHA-256 of it is kept, and its first characters."""

    __tablename__ = "api_keys"

    key_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.account_id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    key_hash: Mapped[str] = mapped_column(String(64), unique=True)
    hint: Mapped[str] = mapped_column(String(16), default="")
    scopes: Mapped[list[str]] = mapped_column(JSON, default=list)
    created_by_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="SET NULL"), default=None
    )
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    last_used_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
