"""Versions of the sums of whole months."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130f_closed_months"
down_revision = "20261130e_retention"
branch_labels = None
depends_on = None


def upgrade() -> None:
    site = sa.ForeignKey("sites.site_id", name="fk_closed_months_site_id_sites", ondelete="CASCADE")
    op.create_table(
        "closed_months",
        sa.Column("site_id", sa.Integer, site, primary_key=True),
        sa.Column("month", sa.String(10), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("days_digest", sa.String(32), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("closed_months")
