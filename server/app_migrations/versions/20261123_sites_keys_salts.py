"""Sites, API keys, salts, idempotency claims, watermarks, versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261123_sites_keys_salts"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sites",
        sa.Column("site_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("public_id", sa.String(36), nullable=False),
        sa.Column("domain", sa.String(253), nullable=False),
        sa.Column("account_id", sa.Integer, nullable=False),
        sa.Column("timezone", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("retention_class", sa.Integer, nullable=False),
        sa.Column("allowed_hostnames", sa.JSON, nullable=False),
        sa.Column("drop_bot_mask", sa.Integer, nullable=False),
        sa.Column("rate_per_second", sa.Integer, nullable=True),
        sa.Column("sample_every", sa.Integer, nullable=False),
        sa.Column("spam_filter", sa.Boolean, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("public_id", name="uq_sites_public_id"),
        sa.UniqueConstraint("domain", name="uq_sites_domain"),
        # A site's number is on disk in ClickHouse: it must never be given out twice.
        sqlite_autoincrement=True,
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("account_id", sa.Integer, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("key_hash", name="uq_api_keys_key_hash"),
    )
    op.create_table(
        "salts",
        sa.Column("date", sa.String(10), primary_key=True),
        sa.Column("salt", sa.LargeBinary(16), nullable=False),
    )
    op.create_table(
        "batch_claims",
        sa.Column("account_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("key_hash", sa.String(64), primary_key=True),
        sa.Column("body_hash", sa.String(64), nullable=False),
        sa.Column("claimed_at_ms", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("answer", sa.LargeBinary, nullable=True),
    )
    op.create_index("ix_batch_claims_claimed_at_ms", "batch_claims", ["claimed_at_ms"])
    op.create_table(
        "watermarks",
        sa.Column("spool_id", sa.String(32), primary_key=True),
        sa.Column("home_id", sa.String(32), nullable=False),
        sa.Column("oldest_unflushed_at_ms", sa.BigInteger, nullable=False),
        sa.Column("updated_at_ms", sa.BigInteger, nullable=False),
    )
    versions = op.create_table(
        "versions",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(versions, [{"name": "snapshot", "version": 0}])


def downgrade() -> None:
    for table in ("versions", "watermarks", "batch_claims", "salts", "api_keys", "sites"):
        op.drop_table(table)
