"""Reports by mail: who gets which, what went out, alerts about traffic, the staff's daily mail."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_traffic_reports"
down_revision = "20261130_staff"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "report_subscriptions",
        sa.Column("report_subscription_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("site_id", sa.Integer, _to("site_id", "sites.site_id"), nullable=False),
        sa.Column("account_id", sa.Integer, _to("account_id", "accounts.account_id"), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("user_id", sa.Integer, _to("user_id", "users.user_id")),
        sa.Column("email", sa.String(254)),
        sa.Column("confirmed_at_ms", sa.BigInteger),
        sa.Column("next_due_at_ms", sa.BigInteger, nullable=False),
        sa.Column("created_by_user_id", sa.Integer, _to("created_by_user_id", "users.user_id", "SET NULL")),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("site_id", "kind", "user_id", name="uq_report_subscriptions_user_id"),
        sa.UniqueConstraint("site_id", "kind", "email", name="uq_report_subscriptions_email"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_report_subscriptions_account_id", "report_subscriptions", ["account_id"])
    op.create_index("ix_report_subscriptions_user_id", "report_subscriptions", ["user_id"])
    op.create_index("ix_report_subscriptions_kind_next_due_at_ms", "report_subscriptions", ["kind", "next_due_at_ms"])
    subscription = sa.ForeignKey(
        "report_subscriptions.report_subscription_id",
        name="fk_report_sends_report_subscription_id_report_subscriptions",
        ondelete="CASCADE",
    )
    op.create_table(
        "report_sends",
        sa.Column("report_subscription_id", sa.Integer, subscription, primary_key=True),
        sa.Column("first_day", sa.String(10), primary_key=True),
        sa.Column("mail_id", sa.Integer, nullable=False),
        sa.Column("is_partial", sa.Boolean, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_report_sends_at_ms", "report_sends", ["at_ms"])
    site = sa.ForeignKey("sites.site_id", name="fk_traffic_alerts_site_id_sites", ondelete="CASCADE")
    op.create_table(
        "traffic_alerts",
        sa.Column("site_id", sa.Integer, site, primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("threshold", sa.BigInteger, nullable=False),
        sa.Column("repeat_s", sa.BigInteger, nullable=False),
        sa.Column("tells_end", sa.Boolean, nullable=False),
        sa.Column("is_raised", sa.Boolean, nullable=False),
        sa.Column("told_at_ms", sa.BigInteger, nullable=False),
        sa.Column("judged_until_ms", sa.BigInteger, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "staff_reports",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("mails", sa.Integer, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
    )


def _to(column: str, target: str, ondelete: str = "CASCADE") -> sa.ForeignKey:
    name = f"fk_report_subscriptions_{column}_{target.partition('.')[0]}"
    return sa.ForeignKey(target, name=name, ondelete=ondelete)


def downgrade() -> None:
    for table in ("staff_reports", "traffic_alerts", "report_sends", "report_subscriptions"):
        op.drop_table(table)
