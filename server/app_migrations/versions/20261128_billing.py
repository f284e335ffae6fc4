"""Subscriptions as Stripe said last, Stripe's events by id, changes of plans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_billing"
down_revision = "20261127_site_transfers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("account_id", sa.Integer, _to_account("subscriptions"), primary_key=True, autoincrement=False),
        sa.Column("customer_id", sa.String(64), nullable=False),
        sa.Column("subscription_id", sa.String(64), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("price_id", sa.String(64), nullable=False),
        sa.Column("entitled_plan_code", sa.String(32), nullable=False),
        sa.Column("period_starts_at_ms", sa.BigInteger, nullable=True),
        sa.Column("period_ends_at_ms", sa.BigInteger, nullable=True),
        sa.Column("trial_ends_at_ms", sa.BigInteger, nullable=True),
        sa.Column("cancels_at_ms", sa.BigInteger, nullable=True),
        sa.Column("unpaid_since_ms", sa.BigInteger, nullable=True),
        sa.Column("told_unpaid_since_ms", sa.BigInteger, nullable=True),
        sa.Column("has_had_trial", sa.Boolean, nullable=False),
        sa.Column("checkout_session_id", sa.String(100), nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("fetched_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("customer_id", name="uq_subscriptions_customer_id"),
    )
    op.create_table(
        "stripe_events",
        sa.Column("event_id", sa.String(100), primary_key=True),
        sa.Column("kind", sa.String(100), nullable=False),
        sa.Column("customer_id", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("received_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_stripe_events_customer_id_state", "stripe_events", ["customer_id", "state"])
    op.create_index("ix_stripe_events_received_at_ms", "stripe_events", ["received_at_ms"])
    op.create_table(
        "plan_changes",
        sa.Column("change_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("account_id", sa.Integer, _to_account("plan_changes"), nullable=False),
        sa.Column("from_plan_code", sa.String(32), nullable=False),
        sa.Column("to_plan_code", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("actor_user_id", sa.Integer, nullable=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_plan_changes_account_id", "plan_changes", ["account_id"])
    op.create_index("ix_plan_changes_at_ms", "plan_changes", ["at_ms"])


def _to_account(table: str) -> sa.ForeignKey:
    return sa.ForeignKey("accounts.account_id", name=f"fk_{table}_account_id_accounts", ondelete="CASCADE")


def downgrade() -> None:
    for table in ("plan_changes", "stripe_events", "subscriptions"):
        op.drop_table(table)
