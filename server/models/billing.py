"""Who pays for what, as Stripe said last: subscriptions, Stripe's events, changes of plans. No card data, ever."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class Subscription(Base):
    """An account's customer at Stripe and the subscription that counts, from its newest fetched version.

    There is a row once an account went to Stripe for the first time. `revision` counts what was applied: a version that
    was fetched before another one was applied is not applied any more. `entitled_plan_code` is the plan that all of it
    comes to; `BillingProfile.plan_code` follows its changes, and may be another one where staff gave it by hand.
    `unpaid_since_ms`: when the oldest open bill of a subscription in arrears was made; `told_unpaid_since_ms`: about
    which of them a mail was sent. `checkout_session_id`: the one place where this account may be about to subscribe.
    """

    __tablename__ = "subscriptions"

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.account_id", ondelete="CASCADE"), primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(64), unique=True)
    subscription_id: Mapped[str] = mapped_column(String(64), default="")
    status: Mapped[str] = mapped_column(String(32), default="")
    price_id: Mapped[str] = mapped_column(String(64), default="")
    entitled_plan_code: Mapped[str] = mapped_column(String(32), default="FREE")
    period_starts_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    period_ends_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    trial_ends_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    cancels_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    unpaid_since_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    told_unpaid_since_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    has_had_trial: Mapped[bool] = mapped_column(default=False)
    checkout_session_id: Mapped[str] = mapped_column(String(100), default="")
    revision: Mapped[int] = mapped_column(BigInteger, default=0)
    fetched_at_ms: Mapped[int] = mapped_column(BigInteger, default=0)


class StripeEvent(Base):
    """An event that Stripe sent, by its id: a second one of the same id changes nothing.

    Only its kind and whom it is about are kept: what it says may be out of date. `state`: queued, applied (a version
    fetched after it came was applied), ignored (not about a customer of ours, or of a kind that changes nothing).
    """

    __tablename__ = "stripe_events"
    __table_args__ = (Index("ix_stripe_events_customer_id_state", "customer_id", "state"),)

    event_id: Mapped[str] = mapped_column(String(100), primary_key=True)
    kind: Mapped[str] = mapped_column(String(100))
    customer_id: Mapped[str] = mapped_column(String(64), default="")
    state: Mapped[str] = mapped_column(String(16), default="queued")
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    received_at_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class PlanChange(Base):
    """An account's plan became another one. Rows are only ever added."""

    __tablename__ = "plan_changes"

    change_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.account_id", ondelete="CASCADE"), index=True)
    from_plan_code: Mapped[str] = mapped_column(String(32))
    to_plan_code: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(String(32))
    actor_user_id: Mapped[int | None] = mapped_column(default=None)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
