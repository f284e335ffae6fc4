"""Which sites keep their rows for another time than before, and the move that is under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130e_retention"
down_revision = "20261130d_backups"
branch_labels = None
depends_on = None


def upgrade() -> None:
    site = sa.ForeignKey("sites.site_id", name="fk_retention_waits_site_id_sites", ondelete="CASCADE")
    op.create_table(
        "retention_waits",
        sa.Column("site_id", sa.Integer, site, primary_key=True, autoincrement=False),
        sa.Column("to_class", sa.Integer, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
    )
    site = sa.ForeignKey("sites.site_id", name="fk_retention_moves_site_id_sites", ondelete="CASCADE")
    op.create_table(
        "retention_moves",
        sa.Column("site_id", sa.Integer, site, primary_key=True, autoincrement=False),
        sa.Column("shard", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("store_table", sa.String(64), primary_key=True),
        sa.Column("month", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("from_class", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("to_class", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("cutoff", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("retention_moves")
    op.drop_table("retention_waits")
