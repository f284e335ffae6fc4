"""Accounts, users and how they log in; keys with scopes; share links; flags, audit log, tasks, mails, alerts, jobs."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision = "20261125_accounts_and_operations"
down_revision = "20261123_sites_keys_salts"
branch_labels = None
depends_on = None

# What keys could do before they had scopes.
EARLIER_SCOPES = ["events:write", "stats:read"]


def upgrade() -> None:
    _create_accounts()
    _create_users()
    _attach_sites_and_keys()
    _create_operations()


def _create_accounts() -> None:
    accounts = op.create_table(
        "accounts",
        sa.Column("account_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    # Sites and keys named accounts by number before there was a table of them; the first one is the operator's.
    connection = op.get_bind()
    numbers = {1}
    for name in ("sites", "api_keys"):
        earlier = sa.table(name, sa.column("account_id", sa.Integer))
        numbers |= set(connection.execute(sa.select(earlier.c.account_id).distinct()).scalars())
    now_ms = time.time_ns() // 1_000_000
    op.bulk_insert(
        accounts,
        [
            {"account_id": number, "name": f"Account {number}", "state": "active", "created_at_ms": now_ms}
            for number in sorted(numbers)
        ],
    )
    if connection.dialect.name == "postgresql":
        # Rows with given numbers leave the sequence behind.
        connection.execute(
            sa.text("SELECT setval(pg_get_serial_sequence('accounts', 'account_id'), :newest)"),
            {"newest": max(numbers)},
        )


def _create_users() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=False),
        sa.Column("email_confirmed_at_ms", sa.BigInteger, nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("is_staff", sa.Boolean, nullable=False),
        sa.Column("totp_sealed", sa.LargeBinary, nullable=True),
        sa.Column("totp_enabled_at_ms", sa.BigInteger, nullable=True),
        sa.Column("totp_last_step", sa.BigInteger, nullable=False),
        sa.Column("skip_known_devices", sa.Boolean, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("email", name="uq_users_email"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "billing_profiles",
        sa.Column("account_id", sa.Integer, _to("billing_profiles", "account_id", "accounts"), primary_key=True),
        sa.Column("owner_user_id", sa.Integer, _to("billing_profiles", "owner_user_id", "users", "SET NULL")),
        sa.Column("plan_code", sa.String(32), nullable=False),
    )
    op.create_index("ix_billing_profiles_owner_user_id", "billing_profiles", ["owner_user_id"])
    op.execute("INSERT INTO billing_profiles (account_id, plan_code) SELECT account_id, 'FREE' FROM accounts")
    op.create_table(
        "memberships",
        sa.Column("account_id", sa.Integer, _to("memberships", "account_id", "accounts"), primary_key=True),
        sa.Column("user_id", sa.Integer, _to("memberships", "user_id", "users"), primary_key=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_memberships_user_id", "memberships", ["user_id"])
    op.create_table(
        "invitations",
        sa.Column("invitation_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("account_id", sa.Integer, _to("invitations", "account_id", "accounts"), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("invited_by_user_id", sa.Integer, _to("invitations", "invited_by_user_id", "users", "SET NULL")),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("token_hash", name="uq_invitations_token_hash"),
    )
    op.create_index("ix_invitations_account_id", "invitations", ["account_id"])
    op.create_table(
        "login_sessions",
        sa.Column("session_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.Integer, _to("login_sessions", "user_id", "users"), nullable=False),
        sa.Column("device", sa.String(100), nullable=False),
        sa.Column("country", sa.String(2), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("seen_at_ms", sa.BigInteger, nullable=False),
        sa.Column("second_factor_at_ms", sa.BigInteger, nullable=True),
        sa.UniqueConstraint("token_hash", name="uq_login_sessions_token_hash"),
    )
    op.create_index("ix_login_sessions_user_id", "login_sessions", ["user_id"])
    op.create_table(
        "known_devices",
        sa.Column("user_id", sa.Integer, _to("known_devices", "user_id", "users"), primary_key=True),
        sa.Column("device_hash", sa.String(64), primary_key=True),
        sa.Column("seen_at_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "one_time_tokens",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("user_id", sa.Integer, _to("one_time_tokens", "user_id", "users"), nullable=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    )
    for column in ("purpose", "user_id", "expires_at_ms"):
        op.create_index(f"ix_one_time_tokens_{column}", "one_time_tokens", [column])
    op.create_table(
        "recovery_codes",
        sa.Column("user_id", sa.Integer, _to("recovery_codes", "user_id", "users"), primary_key=True),
        sa.Column("code_hash", sa.String(64), primary_key=True),
    )


def _attach_sites_and_keys() -> None:
    with op.batch_alter_table("sites", table_kwargs={"sqlite_autoincrement": True}) as sites:
        sites.create_foreign_key("fk_sites_account_id_accounts", "accounts", ["account_id"], ["account_id"])
        sites.create_index("ix_sites_account_id", ["account_id"])
    with op.batch_alter_table("api_keys") as keys:
        keys.add_column(sa.Column("hint", sa.String(16), nullable=False, server_default=""))
        keys.add_column(sa.Column("scopes", sa.JSON, nullable=True))
        keys.add_column(sa.Column("created_by_user_id", sa.Integer, nullable=True))
        keys.add_column(sa.Column("last_used_at_ms", sa.BigInteger, nullable=True))
        keys.create_foreign_key(
            "fk_api_keys_account_id_accounts", "accounts", ["account_id"], ["account_id"], ondelete="CASCADE"
        )
        keys.create_foreign_key(
            "fk_api_keys_created_by_user_id_users", "users", ["created_by_user_id"], ["user_id"], ondelete="SET NULL"
        )
        keys.create_index("ix_api_keys_account_id", ["account_id"])
    api_keys = sa.table("api_keys", sa.column("scopes", sa.JSON))
    op.execute(api_keys.update().values(scopes=EARLIER_SCOPES))
    with op.batch_alter_table("api_keys") as keys:
        keys.alter_column("scopes", existing_type=sa.JSON, nullable=False)
        keys.alter_column("hint", existing_type=sa.String(16), server_default=None)
    op.create_table(
        "share_links",
        sa.Column("share_link_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("site_id", sa.Integer, _to("share_links", "site_id", "sites"), nullable=False),
        sa.Column("slug", sa.String(32), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("password_hash", sa.String(200), nullable=True),
        sa.Column("created_by_user_id", sa.Integer, _to("share_links", "created_by_user_id", "users", "SET NULL")),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("slug", name="uq_share_links_slug"),
    )
    op.create_index("ix_share_links_site_id", "share_links", ["site_id"])


def _create_operations() -> None:
    op.create_table(
        "feature_flags",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("is_on", sa.Boolean, nullable=False),
        sa.Column("account_ids", sa.JSON, nullable=False),
    )
    op.create_table(
        "audit_log",
        sa.Column("entry_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("actor_user_id", sa.Integer, nullable=True),
        sa.Column("account_id", sa.Integer, nullable=True),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target", sa.String(300), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
    )
    for column in ("at_ms", "actor_user_id", "account_id"):
        op.create_index(f"ix_audit_log_{column}", "audit_log", [column])
    op.create_table(
        "cache_invalidations",
        sa.Column("invalidation_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("topic", sa.String(200), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_cache_invalidations_at_ms", "cache_invalidations", ["at_ms"])
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("arguments", sa.JSON, nullable=False),
        sa.Column("account_id", sa.Integer, _to("tasks", "account_id", "accounts"), nullable=True),
        sa.Column("unique_key", sa.String(200), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("run_at_ms", sa.BigInteger, nullable=False),
        sa.Column("lease_token", sa.String(32), nullable=True),
        sa.Column("lease_until_ms", sa.BigInteger, nullable=True),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("progress_done", sa.BigInteger, nullable=False),
        sa.Column("progress_total", sa.BigInteger, nullable=True),
        sa.Column("message", sa.String(500), nullable=False),
        sa.Column("checkpoint", sa.JSON, nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("started_at_ms", sa.BigInteger, nullable=True),
        sa.Column("ended_at_ms", sa.BigInteger, nullable=True),
        sa.UniqueConstraint("unique_key", name="uq_tasks_unique_key"),
    )
    op.create_index("ix_tasks_account_id", "tasks", ["account_id"])
    op.create_index("ix_tasks_ended_at_ms", "tasks", ["ended_at_ms"])
    op.create_index("ix_tasks_state_run_at_ms", "tasks", ["state", "run_at_ms"])
    op.create_table(
        "mails",
        sa.Column("mail_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("to_address", sa.String(254), nullable=False),
        sa.Column("template", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("body_sealed", sa.LargeBinary, nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("error", sa.String(500), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger, nullable=True),
    )
    op.create_index("ix_mails_to_address", "mails", ["to_address"])
    op.create_index("ix_mails_created_at_ms", "mails", ["created_at_ms"])
    op.create_table(
        "alerts",
        sa.Column("alert_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("summary", sa.String(300), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("is_urgent", sa.Boolean, nullable=False),
        sa.Column("first_at_ms", sa.BigInteger, nullable=False),
        sa.Column("last_at_ms", sa.BigInteger, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("sent_at_ms", sa.BigInteger, nullable=False),
        sa.Column("count_at_sending", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("key", name="uq_alerts_key"),
    )
    op.create_index("ix_alerts_last_at_ms", "alerts", ["last_at_ms"])
    op.create_table(
        "job_states",
        sa.Column("job", sa.String(64), primary_key=True),
        sa.Column("shard", sa.String(16), primary_key=True),
        sa.Column("settled_until_ms", sa.BigInteger, nullable=False),
        sa.Column("lock_token", sa.String(32), nullable=True),
        sa.Column("lock_until_ms", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at_ms", sa.BigInteger, nullable=False),
        sa.Column("late_alerted_due_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "job_runs",
        sa.Column("run_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("job", sa.String(64), nullable=False),
        sa.Column("shard", sa.String(16), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger, nullable=False),
        sa.Column("is_manual", sa.Boolean, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("lock_token", sa.String(32), nullable=False),
        sa.Column("started_at_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger, nullable=True),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("error", sa.String(500), nullable=False),
    )
    op.create_index("ix_job_runs_job_started_at_ms", "job_runs", ["job", "started_at_ms"])


def _to(table: str, column: str, other: str, ondelete: str = "CASCADE") -> sa.ForeignKey:
    """A foreign key to `other`'s only key, named as `server.models.base` names it."""
    key = {"accounts": "account_id", "users": "user_id", "sites": "site_id"}[other]
    return sa.ForeignKey(f"{other}.{key}", name=f"fk_{table}_{column}_{other}", ondelete=ondelete)


def downgrade() -> None:
    for table in ("job_runs", "job_states", "alerts", "mails", "tasks", "cache_invalidations", "audit_log"):
        op.drop_table(table)
    op.drop_table("feature_flags")
    op.drop_table("share_links")
    with op.batch_alter_table("api_keys") as keys:
        keys.drop_constraint("fk_api_keys_created_by_user_id_users", type_="foreignkey")
        keys.drop_constraint("fk_api_keys_account_id_accounts", type_="foreignkey")
        keys.drop_index("ix_api_keys_account_id")
        for column in ("hint", "scopes", "created_by_user_id", "last_used_at_ms"):
            keys.drop_column(column)
    with op.batch_alter_table("sites", table_kwargs={"sqlite_autoincrement": True}) as sites:
        sites.drop_constraint("fk_sites_account_id_accounts", type_="foreignkey")
        sites.drop_index("ix_sites_account_id")
    for table in ("recovery_codes", "one_time_tokens", "known_devices", "login_sessions", "invitations", "memberships"):
        op.drop_table(table)
    for table in ("billing_profiles", "users", "accounts"):
        op.drop_table(table)
