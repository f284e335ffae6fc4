"""What staff do to others: blocks, announcements, and acting as somebody."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class Block(Base):
    """Hits of an account's sites, or of one site, are dropped as `blocked`. One of the two is set; ending it deletes
    the row.
    """

    __tablename__ = "blocks"

    block_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    account_id: Mapped[int | None] = mapped_column(
        ForeignKey("accounts.account_id", ondelete="CASCADE"), default=None, unique=True
    )
    site_id: Mapped[int | None] = mapped_column(
        ForeignKey("sites.site_id", ondelete="CASCADE"), default=None, unique=True
    )
    reason: Mapped[str] = mapped_column(String(300))
    blocked_by_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="SET NULL"), default=None
    )
    blocked_at_ms: Mapped[int] = mapped_column(BigInteger)


class Announcement(Base):
    """A mail to a group of people. `state`: draft, sending, stopped, sent.

    `last_user_id`: everybody of the group up to this number has it queued, in the transaction that says so.
    """

    __tablename__ = "announcements"

    announcement_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    subject: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    audience: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16), default="draft")
    created_by_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="SET NULL"), default=None
    )
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    receivers: Mapped[int] = mapped_column(default=0)
    queued_mails: Mapped[int] = mapped_column(default=0)
    last_user_id: Mapped[int] = mapped_column(default=0)
    started_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    ended_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)


class StandIn(Base):
    """A login of staff that acts as somebody else until `ends_at_ms`, or until it is stopped or the login ends."""

    __tablename__ = "stand_ins"

    session_id: Mapped[int] = mapped_column(
        ForeignKey("login_sessions.session_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    user_id: Mapped[int] = mapped_column(ForeignKey("users.user_id", ondelete="CASCADE"), index=True)
    reason: Mapped[str] = mapped_column(String(300))
    started_at_ms: Mapped[int] = mapped_column(BigInteger)
    ends_at_ms: Mapped[int] = mapped_column(BigInteger)
