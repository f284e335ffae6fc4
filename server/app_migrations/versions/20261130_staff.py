"""Blocks by staff, announcements, staff acting as somebody, and whose act an entry of the audit log then was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_staff"
down_revision = "20261129_open_days"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blocks",
        sa.Column("block_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("account_id", sa.Integer, _to("blocks", "account_id", "accounts"), nullable=True),
        sa.Column("site_id", sa.Integer, _to("blocks", "site_id", "sites"), nullable=True),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("blocked_by_user_id", sa.Integer, _to_user("blocks", "blocked_by_user_id"), nullable=True),
        sa.Column("blocked_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("account_id", name="uq_blocks_account_id"),
        sa.UniqueConstraint("site_id", name="uq_blocks_site_id"),
    )
    op.create_table(
        "announcements",
        sa.Column("announcement_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("audience", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_by_user_id", sa.Integer, _to_user("announcements", "created_by_user_id"), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("receivers", sa.Integer, nullable=False),
        sa.Column("queued_mails", sa.Integer, nullable=False),
        sa.Column("last_user_id", sa.Integer, nullable=False),
        sa.Column("started_at_ms", sa.BigInteger, nullable=True),
        sa.Column("ended_at_ms", sa.BigInteger, nullable=True),
    )
    op.create_table(
        "stand_ins",
        sa.Column(
            "session_id",
            sa.Integer,
            _to("stand_ins", "session_id", "login_sessions"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("user_id", sa.Integer, _to("stand_ins", "user_id", "users"), nullable=False),
        sa.Column("reason", sa.String(300), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_stand_ins_user_id", "stand_ins", ["user_id"])
    op.add_column("audit_log", sa.Column("stand_in_user_id", sa.Integer, nullable=True))


def _to(table: str, column: str, target: str) -> sa.ForeignKey:
    return sa.ForeignKey(f"{target}.{column}", name=f"fk_{table}_{column}_{target}", ondelete="CASCADE")


def _to_user(table: str, column: str) -> sa.ForeignKey:
    return sa.ForeignKey("users.user_id", name=f"fk_{table}_{column}_users", ondelete="SET NULL")


def downgrade() -> None:
    op.drop_column("audit_log", "stand_in_user_id")
    for table in ("stand_ins", "announcements", "blocks"):
        op.drop_table(table)
