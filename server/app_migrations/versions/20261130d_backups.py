"""What is known here of the backups elsewhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130d_backups"
down_revision = "20261130c_usage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "backups",
        sa.Column("backup_id", sa.String(32), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger),
        sa.Column("beat_until_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("file_bytes", sa.BigInteger, nullable=False),
        sa.Column("new_bytes", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_backups_started_at_ms", "backups", ["started_at_ms"])


def downgrade() -> None:
    op.drop_table("backups")
