"""Sites, the links that show one to people without a login, guests of one, and offers to take one over."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import JSON, BigInteger, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.models.accounts import MemberRole
from server.models.base import Base


class Site(Base):
    """A site whose hits are taken.

    For a while after a change of name, hits that say `former_domain` are taken too. `state` is active, depleted,
    blocked, deleting (asked for at `deleted_at_ms`; can be taken back) or destroyed.
    """

    __tablename__ = "sites"
    __table_args__ = ({"sqlite_autoincrement": True},)

    site_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    public_id: Mapped[str] = mapped_column(String(36), unique=True)
    domain: Mapped[str] = mapped_column(String(253), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.account_id"), default=1, index=True)
    timezone: Mapped[str] = mapped_column(String(64), default="UTC")
    state: Mapped[str] = mapped_column(String(16), default="active")
    retention_class: Mapped[int] = mapped_column(default=1)
    allowed_hostnames: Mapped[list[str]] = mapped_column(JSON, default=list)
    drop_bot_mask: Mapped[int] = mapped_column(default=0xFFFF)
    rate_per_second: Mapped[int | None] = mapped_column(default=None)
    sample_every: Mapped[int] = mapped_column(default=1)
    spam_filter: Mapped[bool] = mapped_column(default=True)
    blocked_networks: Mapped[list[str]] = mapped_column(JSON, default=list)
    blocked_countries: Mapped[list[str]] = mapped_column(JSON, default=list)
    blocked_paths: Mapped[list[str]] = mapped_column(JSON, default=list)
    respects_gpc: Mapped[bool] = mapped_column(default=False)
    embed_origins: Mapped[list[str]] = mapped_column(JSON, default=list)
    first_hit_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    former_domain: Mapped[str] = mapped_column(String(253), default="")
    former_domain_until_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    deleted_at_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    state_before_deletion: Mapped[str] = mapped_column(String(16), default="")
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class ShareLink(Base):
    """A link that shows one site's dashboard to whoever has it, and knows its password if it has one."""

    __tablename__ = "share_links"

    share_link_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"), index=True)
    slug: Mapped[str] = mapped_column(String(32), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    password_hash: Mapped[str | None] = mapped_column(String(200), default=None)
    created_by_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="SET NULL"), default=None
    )
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class SiteTransfer(Base):
    """An open offer of a site to another account, sent to one address. Only the hash of its token is kept."""

    __tablename__ = "site_transfers"

    transfer_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"), unique=True)
    email: Mapped[str] = mapped_column(String(254))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    offered_by_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="SET NULL"), default=None
    )
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    expires_at_ms: Mapped[int] = mapped_column(BigInteger)


class GuestRole(StrEnum):
    """What a guest of one site may do: see its figures; or also change what is set up for it."""

    VIEWER = "viewer"
    EDITOR = "editor"

    @property
    def as_member(self) -> MemberRole:
        """The role of a member who may do the same on this site, as far as guests are let in at all."""
        return MemberRole.ADMIN if self is GuestRole.EDITOR else MemberRole.VIEWER


class Guest(Base):
    """One site opened to a person who is no member of its account.

    Invited: `email` and the hash of the link's token, good until `expires_at_ms`. Accepted: `user_id`, and neither.
    """

    __tablename__ = "guests"
    __table_args__ = (
        UniqueConstraint("site_id", "email", name="uq_guests_site_id_email"),
        UniqueConstraint("site_id", "user_id", name="uq_guests_site_id_user_id"),
    )

    guest_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="CASCADE"), default=None, index=True
    )
    email: Mapped[str | None] = mapped_column(String(254), default=None)
    role: Mapped[str] = mapped_column(String(16))
    token_hash: Mapped[str | None] = mapped_column(String(64), unique=True, default=None)
    invited_by_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="SET NULL"), default=None
    )
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    expires_at_ms: Mapped[int] = mapped_column(BigInteger)
    accepted_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
