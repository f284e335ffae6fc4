"""Usage of plans: billing periods, events per site and day, former owners of sites, time zones of accounts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130c_usage"
down_revision = "20261130b_deletion"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("timezone", sa.String(64), nullable=False, server_default="UTC"))
    account = sa.ForeignKey("accounts.account_id", name="fk_usage_periods_account_id_accounts", ondelete="CASCADE")
    op.create_table(
        "usage_periods",
        sa.Column("period_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("account_id", sa.Integer, account, nullable=False),
        sa.Column("starts_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger, nullable=False),
        sa.Column("anchor", sa.String(16), nullable=False),
        sa.Column("counted_events", sa.BigInteger, nullable=False),
        *(
            sa.Column(name, sa.BigInteger)
            for name in (
                "counted_at_ms",
                "warned_at_ms",
                "depleted_at_ms",
                "grace_ends_at_ms",
                "recount_from_ms",
                "frozen_at_ms",
            )
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_usage_periods_account_id_starts_at_ms", "usage_periods", ["account_id", "starts_at_ms"], unique=True
    )
    op.create_index("ix_usage_periods_ends_at_ms", "usage_periods", ["ends_at_ms"])
    period = sa.ForeignKey("usage_periods.period_id", name="fk_usage_days_period_id_usage_periods", ondelete="CASCADE")
    op.create_table(
        "usage_days",
        sa.Column("period_id", sa.Integer, period, primary_key=True),
        sa.Column("site_id", sa.Integer, primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("from_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
    )
    owned = sa.ForeignKey("sites.site_id", name="fk_site_owners_site_id_sites", ondelete="CASCADE")
    op.create_table(
        "site_owners",
        sa.Column("site_id", sa.Integer, owned, primary_key=True),
        sa.Column("from_ms", sa.BigInteger, primary_key=True),
        sa.Column("account_id", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    for table in ("site_owners", "usage_days", "usage_periods"):
        op.drop_table(table)
    op.drop_column("accounts", "timezone")
