"""Who gets which reports by mail, which have gone out, and what traffic people want to hear of."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class ReportSubscription(Base):
    """One kind of mail about one site to one person or address: see `server.reports`.

    Of a member `user_id` is set and `email` is NULL: the mail goes wherever the member's mail goes. Another address has
    `email` alone, and gets nothing before `confirmed_at_ms`. `account_id` is that of the site when it was set up: in
    another account it means nothing. `next_due_at_ms`: before then nothing is due.
    """

    __tablename__ = "report_subscriptions"
    __table_args__ = (
        UniqueConstraint("site_id", "kind", "user_id", name="uq_report_subscriptions_user_id"),
        UniqueConstraint("site_id", "kind", "email", name="uq_report_subscriptions_email"),
        Index("ix_report_subscriptions_kind_next_due_at_ms", "kind", "next_due_at_ms"),
        # A link to unsubscribe names the row by its number: none is given out twice.
        {"sqlite_autoincrement": True},
    )

    report_subscription_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.account_id", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="CASCADE"), default=None, index=True
    )
    email: Mapped[str | None] = mapped_column(String(254), default=None)
    confirmed_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    next_due_at_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    created_by_user_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.user_id", ondelete="SET NULL"), default=None
    )
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class ReportSend(Base):
    """A report that went out: the row is made in the transaction that queues its mail, so there is one at most."""

    __tablename__ = "report_sends"

    report_subscription_id: Mapped[int] = mapped_column(
        ForeignKey("report_subscriptions.report_subscription_id", ondelete="CASCADE"), primary_key=True
    )
    first_day: Mapped[str] = mapped_column(String(10), primary_key=True)
    mail_id: Mapped[int] = mapped_column()
    is_partial: Mapped[bool] = mapped_column(default=False)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class TrafficAlert(Base):
    """Traffic of a site that its people want to hear of.

    `kind`: visitors_now, visitors_hour (more than `threshold` visitors), hits_hour (at most `threshold` percent of the
    same hour of the last weeks). Told at most once in `repeat_s`; with `tells_end` once more when it is over.
    `is_raised`: it was told and is not over. `judged_until_ms`: of hits_hour, the hours before were looked at.
    """

    __tablename__ = "traffic_alerts"

    site_id: Mapped[int] = mapped_column(ForeignKey("sites.site_id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    threshold: Mapped[int] = mapped_column(BigInteger)
    repeat_s: Mapped[int] = mapped_column(BigInteger)
    tells_end: Mapped[bool] = mapped_column(default=False)
    is_raised: Mapped[bool] = mapped_column(default=False)
    told_at_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    judged_until_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at_ms: Mapped[int] = mapped_column(BigInteger)


class StaffReport(Base):
    """A day (UTC) of which staff got their mail: made in the transaction that queues the mails."""

    __tablename__ = "staff_reports"

    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    mails: Mapped[int] = mapped_column(default=0)
    at_ms: Mapped[int] = mapped_column(BigInteger)
