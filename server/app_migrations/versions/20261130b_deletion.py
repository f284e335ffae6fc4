"""Requests for the deletion of accounts, and what is being destroyed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130b_deletion"
down_revision = "20261130_traffic_reports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("accounts", sa.Column("state_before_deletion", sa.String(16), nullable=False, server_default=""))
    op.create_table(
        "deletion_requests",
        sa.Column("request_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column(
            "account_id",
            sa.Integer,
            sa.ForeignKey("accounts.account_id", name="fk_deletion_requests_account_id_accounts"),
            nullable=False,
        ),
        sa.Column("requested_by_user_id", sa.Integer, nullable=True),
        sa.Column("requested_at_ms", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("approved_by_user_id", sa.Integer, nullable=True),
        sa.Column("approved_at_ms", sa.BigInteger, nullable=True),
        sa.Column("refused_at_ms", sa.BigInteger, nullable=True),
        sa.Column("taken_back_at_ms", sa.BigInteger, nullable=True),
        sa.Column("destruction_began_at_ms", sa.BigInteger, nullable=True),
        sa.Column("destroyed_at_ms", sa.BigInteger, nullable=True),
        sa.Column("backups_until_ms", sa.BigInteger, nullable=True),
    )
    op.create_index("ix_deletion_requests_account_id", "deletion_requests", ["account_id"])
    op.create_table(
        "destructions",
        sa.Column(
            "site_id",
            sa.Integer,
            sa.ForeignKey("sites.site_id", name="fk_destructions_site_id_sites"),
            primary_key=True,
        ),
        sa.Column("began_at_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=True),
        sa.Column("rows_gone_at_ms", sa.BigInteger, nullable=True),
        sa.Column("ended_at_ms", sa.BigInteger, nullable=True),
        sa.Column("backups_until_ms", sa.BigInteger, nullable=True),
    )


def downgrade() -> None:
    op.drop_table("destructions")
    op.drop_index("ix_deletion_requests_account_id", "deletion_requests")
    op.drop_table("deletion_requests")
    op.drop_column("accounts", "state_before_deletion")
