"""People who see one site of an account that they do not belong to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130g_guests"
down_revision = "20261130f_closed_months"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "guests",
        sa.Column("guest_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("site_id", sa.Integer, _to("site_id", "sites.site_id"), nullable=False),
        sa.Column("user_id", sa.Integer, _to("user_id", "users.user_id")),
        sa.Column("email", sa.String(254)),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("token_hash", sa.String(64)),
        sa.Column("invited_by_user_id", sa.Integer, _to("invited_by_user_id", "users.user_id", "SET NULL")),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.Column("accepted_at_ms", sa.BigInteger),
        sa.UniqueConstraint("site_id", "email", name="uq_guests_site_id_email"),
        sa.UniqueConstraint("site_id", "user_id", name="uq_guests_site_id_user_id"),
        sa.UniqueConstraint("token_hash", name="uq_guests_token_hash"),
    )
    op.create_index("ix_guests_user_id", "guests", ["user_id"])


def _to(column: str, target: str, ondelete: str = "CASCADE") -> sa.ForeignKey:
    return sa.ForeignKey(target, name=f"fk_guests_{column}_{target.partition('.')[0]}", ondelete=ondelete)


def downgrade() -> None:
    op.drop_table("guests")
