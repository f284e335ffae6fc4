"""What is to be destroyed, and how far that is."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class DeletionRequest(Base):
    """Somebody asked for the end of an account: `server.accounts.deletion`. Rows outlive the account.

    `approved_by_user_id` is empty when time approved it. `backups_until_ms`: when the last backup that may still hold
    something of it expires; empty when there was none.
    """

    __tablename__ = "deletion_requests"

    request_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.account_id"), index=True)
    requested_by_user_id: Mapped[int | None] = mapped_column(default=None)
    requested_at_ms: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(500), default="")
    approved_by_user_id: Mapped[int | None] = mapped_column(default=None)
    approved_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    refused_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    taken_back_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    destruction_began_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    destroyed_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    backups_until_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)


class Destruction(Base):
    """A site that is being destroyed, or was, and how far that is: `server.site_destruction`.

    `until_ms`: hits up to then go, which are all there are; `number`: of its lines in the ledger, the same in each
    repetition; `rows_gone_at_ms`: when no row was left in the event store.
    """

    __tablename__ = "destructions"

    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id"), primary_key=True)
    began_at_ms: Mapped[int] = mapped_column(BigInteger)
    until_ms: Mapped[int] = mapped_column(BigInteger)
    number: Mapped[int | None] = mapped_column(default=None)
    rows_gone_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    ended_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    backups_until_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
