"""What accounts have used of their plans: billing periods, events per site and day in them, who had a site when."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class UsagePeriod(Base):
    """A billing period of an account (`server.billing.periods`): they follow each other without a gap.

    `counted_events` is the sum of its `UsageDay` rows. `warned_at_ms` and `depleted_at_ms` say when the mails at 80 %
    and 100 % were queued: each at most once. `recount_from_ms`: since when everything is to be counted anew, because
    the period began or was cut there. A frozen one is not counted again.
    """

    __tablename__ = "usage_periods"
    __table_args__ = (
        Index("ix_usage_periods_account_id_starts_at_ms", "account_id", "starts_at_ms", unique=True),
        {"sqlite_autoincrement": True},
    )

    period_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.account_id", ondelete="CASCADE"))
    starts_at_ms: Mapped[int] = mapped_column(BigInteger)
    ends_at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    anchor: Mapped[str] = mapped_column(String(16))
    counted_events: Mapped[int] = mapped_column(BigInteger, default=0)
    counted_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    warned_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    depleted_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    grace_ends_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    recount_from_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    frozen_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)


class UsageDay(Base):
    """The billable events of a site on a day (UTC) as far as it lies in a period, and from when to when that is.

    Rows stay as they are when the site's figures are deleted: what was counted once was used.
    """

    __tablename__ = "usage_days"

    period_id: Mapped[int] = mapped_column(ForeignKey("usage_periods.period_id", ondelete="CASCADE"), primary_key=True)
    site_id: Mapped[int] = mapped_column(primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    from_ms: Mapped[int] = mapped_column(BigInteger)
    until_ms: Mapped[int] = mapped_column(BigInteger)
    events: Mapped[int] = mapped_column(BigInteger)


class SiteOwner(Base):
    """Since when an account has a site. One that never moved has no rows: it is its account's for all time."""

    __tablename__ = "site_owners"

    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"), primary_key=True)
    from_ms: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    account_id: Mapped[int] = mapped_column()
