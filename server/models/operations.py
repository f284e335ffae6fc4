"""What the operator's side keeps: flags, audit log, tasks, mails, alerts, jobs and their runs, cache invalidations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from server.models.base import Base


class FeatureFlag(Base):
    """A feature that is on for everybody, or for some accounts."""

    __tablename__ = "feature_flags"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    is_on: Mapped[bool] = mapped_column(default=False)
    account_ids: Mapped[list[int]] = mapped_column(JSON, default=list)


class AuditEntry(Base):
    """Who did what to what. Rows are only ever added; they outlive the people and accounts that they name.

    `stand_in_user_id`: the member of staff who acted as `actor_user_id`.
    """

    __tablename__ = "audit_log"

    entry_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    actor_user_id: Mapped[int | None] = mapped_column(default=None, index=True)
    account_id: Mapped[int | None] = mapped_column(default=None, index=True)
    stand_in_user_id: Mapped[int | None] = mapped_column(default=None)
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(300), default="")
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)


class CacheInvalidation(Base):
    """A topic whose remembered answers are out of date, for every process to see."""

    __tablename__ = "cache_invalidations"

    invalidation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    topic: Mapped[str] = mapped_column(String(200))
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)

    # The numbers order what happened: one must never come again after the newest rows were deleted.
    __table_args__ = ({"sqlite_autoincrement": True},)


class Task(Base):
    """Work for the queue. This row is the truth; the queue's message only says that there is something to do.

    `state`: queued, running, succeeded, failed, cancelled. A running task whose lease ran out was lost with its worker
    and is taken again. `unique_key` keeps a second one with the same key from being queued while the first is not done.
    """

    __tablename__ = "tasks"
    __table_args__ = (Index("ix_tasks_state_run_at_ms", "state", "run_at_ms"),)

    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(64))
    arguments: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    account_id: Mapped[int | None] = mapped_column(
        ForeignKey("accounts.account_id", ondelete="CASCADE"), default=None, index=True
    )
    unique_key: Mapped[str | None] = mapped_column(String(200), unique=True, default=None)
    state: Mapped[str] = mapped_column(String(16), default="queued")
    attempts: Mapped[int] = mapped_column(default=0)
    run_at_ms: Mapped[int] = mapped_column(BigInteger)
    lease_token: Mapped[str | None] = mapped_column(String(32), default=None)
    lease_until_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    progress_done: Mapped[int] = mapped_column(BigInteger, default=0)
    progress_total: Mapped[int | None] = mapped_column(BigInteger, default=None)
    message: Mapped[str] = mapped_column(String(500), default="")
    checkpoint: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at_ms: Mapped[int] = mapped_column(BigInteger)
    started_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    ended_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None, index=True)


class Mail(Base):
    """A mail to one address. `body_sealed` is encrypted while it waits and gone once it is sent: it may carry a link.

    `state`: queued, sent, failed.
    """

    __tablename__ = "mails"

    mail_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    to_address: Mapped[str] = mapped_column(String(254), index=True)
    template: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(300))
    body_sealed: Mapped[bytes | None] = mapped_column(LargeBinary, default=None)
    state: Mapped[str] = mapped_column(String(16), default="queued")
    error: Mapped[str] = mapped_column(String(500), default="")
    created_at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    ended_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)


class Alert(Base):
    """Something that the operator should know, once per key and repeat time however often it happens."""

    __tablename__ = "alerts"

    alert_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(32))
    key: Mapped[str] = mapped_column(String(200), unique=True)
    summary: Mapped[str] = mapped_column(String(300))
    detail: Mapped[str] = mapped_column(Text, default="")
    is_urgent: Mapped[bool] = mapped_column(default=False)
    first_at_ms: Mapped[int] = mapped_column(BigInteger)
    last_at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    count: Mapped[int] = mapped_column(BigInteger, default=1)
    sent_at_ms: Mapped[int] = mapped_column(BigInteger)
    count_at_sending: Mapped[int] = mapped_column(BigInteger, default=1)


class JobState(Base):
    """How far a job has come, and who runs it now. `shard` is "i/n", "0/1" for a job in one piece.

    Due times up to `settled_until_ms` need nothing more. `lock_until_ms` in the past means that nobody runs it.
    `late_alerted_due_ms` is negative while the alert about that due time is being raised.
    """

    __tablename__ = "job_states"

    job: Mapped[str] = mapped_column(String(64), primary_key=True)
    shard: Mapped[str] = mapped_column(String(16), primary_key=True)
    settled_until_ms: Mapped[int] = mapped_column(BigInteger)
    lock_token: Mapped[str | None] = mapped_column(String(32), default=None)
    lock_until_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    next_attempt_at_ms: Mapped[int] = mapped_column(BigInteger, default=0)
    late_alerted_due_ms: Mapped[int] = mapped_column(BigInteger, default=0)


class JobRun(Base):
    """One attempt at one due time of a job.

    `outcome`: running, succeeded, failed, abandoned (its process died), covered (a later run stood for it).
    """

    __tablename__ = "job_runs"
    __table_args__ = (Index("ix_job_runs_job_started_at_ms", "job", "started_at_ms"),)

    run_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job: Mapped[str] = mapped_column(String(64))
    shard: Mapped[str] = mapped_column(String(16))
    due_at_ms: Mapped[int] = mapped_column(BigInteger)
    is_manual: Mapped[bool] = mapped_column(default=False)
    attempt: Mapped[int] = mapped_column(default=1)
    lock_token: Mapped[str] = mapped_column(String(32))
    started_at_ms: Mapped[int] = mapped_column(BigInteger)
    ended_at_ms: Mapped[int | None] = mapped_column(BigInteger, default=None)
    outcome: Mapped[str] = mapped_column(String(16), default="running")
    rows: Mapped[int] = mapped_column(BigInteger, default=0)
    error: Mapped[str] = mapped_column(String(500), default="")
