"""Offers of a site to another account; the name that a renamed site is still known by; deletions that can be undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261127_site_transfers"
down_revision = "20261126_product"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "site_transfers",
        sa.Column("transfer_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("site_id", sa.Integer, _to("site_id", "sites"), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("offered_by_user_id", sa.Integer, _to("offered_by_user_id", "users", "SET NULL")),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("site_id", name="uq_site_transfers_site_id"),
        sa.UniqueConstraint("token_hash", name="uq_site_transfers_token_hash"),
    )
    op.add_column("sites", sa.Column("former_domain", sa.String(253), nullable=False, server_default=""))
    op.add_column("sites", sa.Column("former_domain_until_ms", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("sites", sa.Column("deleted_at_ms", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("sites", sa.Column("state_before_deletion", sa.String(16), nullable=False, server_default=""))


def _to(column: str, other: str, ondelete: str = "CASCADE") -> sa.ForeignKey:
    key = column.removeprefix("offered_by_")
    return sa.ForeignKey(f"{other}.{key}", name=f"fk_site_transfers_{column}_{other}", ondelete=ondelete)


def downgrade() -> None:
    for name in ("state_before_deletion", "deleted_at_ms", "former_domain_until_ms", "former_domain"):
        op.drop_column("sites", name)
    op.drop_table("site_transfers")
