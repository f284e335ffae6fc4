"""Versions of days that are not over yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_open_days"
down_revision = "20261128_billing"
branch_labels = None
depends_on = None


def upgrade() -> None:
    site = sa.ForeignKey("sites.site_id", name="fk_open_days_site_id_sites", ondelete="CASCADE")
    op.create_table(
        "open_days",
        sa.Column("site_id", sa.Integer, site, primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("starts_at_ms", sa.BigInteger, nullable=False),
        sa.Column("cut_ms", sa.BigInteger, nullable=False),
        sa.Column("next_at_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("open_days")
