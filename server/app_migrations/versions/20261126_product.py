"""Goals, funnels, segments, annotations; closed days and time zones; imports; what a site blocks, where it is shown."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261126_product"
down_revision = "20261125_accounts_and_operations"
branch_labels = None
depends_on = None

SITE_LISTS = ("blocked_networks", "blocked_countries", "blocked_paths", "embed_origins")


def upgrade() -> None:
    op.create_table(
        "goals",
        sa.Column("goal_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("site_id", sa.Integer, _to("goals", "site_id", "sites"), nullable=False),
        sa.Column("display_name", sa.String(120), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("event_name", sa.String(120), nullable=False),
        sa.Column("page_pattern", sa.String(2000), nullable=False),
        sa.Column("scroll_percent", sa.Integer, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("site_id", "display_name", name="uq_goals_site_id"),
    )
    op.create_table(
        "funnels",
        sa.Column("funnel_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("site_id", sa.Integer, _to("funnels", "site_id", "sites"), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("goal_ids", sa.JSON, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("site_id", "name", name="uq_funnels_site_id"),
    )
    op.create_table(
        "segments",
        sa.Column("segment_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("site_id", sa.Integer, _to("segments", "site_id", "sites"), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("filters", sa.JSON, nullable=False),
        sa.Column("is_personal", sa.Boolean, nullable=False),
        sa.Column("created_by_user_id", sa.Integer, _to("segments", "created_by_user_id", "users"), nullable=True),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_segments_site_id", "segments", ["site_id"])
    op.create_index("ix_segments_created_by_user_id", "segments", ["created_by_user_id"])
    op.create_table(
        "annotations",
        sa.Column("annotation_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("site_id", sa.Integer, _to("annotations", "site_id", "sites"), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("text", sa.String(300), nullable=False),
        sa.Column("created_by_user_id", sa.Integer, _to("annotations", "created_by_user_id", "users", "SET NULL")),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_annotations_site_id", "annotations", ["site_id"])
    op.create_table(
        "closed_days",
        sa.Column("site_id", sa.Integer, _to("closed_days", "site_id", "sites"), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("is_dirty", sa.Boolean, nullable=False),
        sa.Column("starts_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_at_ms", sa.BigInteger, nullable=False),
        sa.Column("closed_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_closed_days_is_dirty", "closed_days", ["is_dirty"])
    op.create_table(
        "site_timezones",
        sa.Column("site_id", sa.Integer, _to("site_timezones", "site_id", "sites"), primary_key=True),
        sa.Column("from_day", sa.String(10), primary_key=True),
        sa.Column("timezone", sa.String(64), nullable=False),
    )
    op.create_table(
        "imports",
        sa.Column("import_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("site_id", sa.Integer, _to("imports", "site_id", "sites"), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("file_name", sa.String(200), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("task_id", sa.Integer, nullable=True),
        sa.Column("first_day", sa.String(10), nullable=False),
        sa.Column("last_day", sa.String(10), nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("created_by_user_id", sa.Integer, _to("imports", "created_by_user_id", "users", "SET NULL")),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger, nullable=True),
    )
    op.create_index("ix_imports_site_id", "imports", ["site_id"])
    _extend_sites()


def _extend_sites() -> None:
    # Defaults of the database, and no batch: that would copy and drop the table, and with it what refers to a site.
    for name in SITE_LISTS:
        op.add_column("sites", sa.Column(name, sa.JSON, nullable=False, server_default="[]"))
    op.add_column("sites", sa.Column("respects_gpc", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("sites", sa.Column("first_hit_at_ms", sa.BigInteger, nullable=True))


def _to(table: str, column: str, other: str, ondelete: str = "CASCADE") -> sa.ForeignKey:
    """A foreign key to `other`'s only key, named as `server.models.base` names it."""
    key = {"users": "user_id", "sites": "site_id"}[other]
    return sa.ForeignKey(f"{other}.{key}", name=f"fk_{table}_{column}_{other}", ondelete=ondelete)


def downgrade() -> None:
    for name in (*SITE_LISTS, "respects_gpc", "first_hit_at_ms"):
        op.drop_column("sites", name)
    for table in ("imports", "site_timezones", "closed_days", "annotations", "segments", "funnels", "goals"):
        op.drop_table(table)
