"""The job `tidy`: deletes what has served its time in the app database.

Invariants: each transaction deletes at most `STEP_ROWS` rows of one table and is fenced by the job's lock, so nobody
waits for it for long, and a run that is killed halfway leaves whole steps; the next one goes on with what is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute

from jobs.context import JobContext
from jobs.state import Outcome
from server.app_database import writing
from server.clock import DAY_MS
from server.config import Settings
from server.models import (
    Alert,
    BatchClaim,
    CacheInvalidation,
    JobRun,
    KnownDevice,
    LoginSession,
    Mail,
    OneTimeToken,
    ReportSend,
    ReportSubscription,
    StaffReport,
    StripeEvent,
)
from server.reports.unsubscribing import AGREEMENT_LIFE_MS

STEP_ROWS = 500

# Twice the life of a claim (`server.batches.CLAIM_LIFE_MS`).
CLAIM_DAYS = 2

# A process that has not looked for a day has nothing left of what it remembered.
INVALIDATION_DAYS = 1

KNOWN_DEVICE_DAYS = 365

# Long enough to see what a month's and a quarter's jobs did.
JOB_RUN_DAYS = 100
ALERT_DAYS = 100

# A mail's text is gone once it is sent; what is left says to whom and when.
MAIL_DAYS = 30

# A monthly report is looked for until the next one is due; staff's are not looked for after a day.
REPORT_DAYS = 100

# Stripe can send an event again for 30 days after it was made.
STRIPE_EVENT_DAYS = 90


@dataclass(frozen=True)
class Leftover:
    """Rows of one table: its primary key, and which of them have served their time at this moment."""

    key: tuple[InstrumentedAttribute[Any], ...]
    is_over: Callable[[Settings, int], ColumnElement[bool]]


LEFTOVERS = (
    Leftover((OneTimeToken.token_hash,), lambda settings, now_ms: OneTimeToken.expires_at_ms < now_ms),
    Leftover(
        (LoginSession.session_id,),
        lambda settings, now_ms: (
            (LoginSession.seen_at_ms < now_ms - settings.session_idle_days * DAY_MS)
            | (LoginSession.created_at_ms < now_ms - settings.session_max_days * DAY_MS)
        ),
    ),
    Leftover(
        (BatchClaim.account_id, BatchClaim.key_hash),
        lambda settings, now_ms: BatchClaim.claimed_at_ms < now_ms - CLAIM_DAYS * DAY_MS,
    ),
    Leftover(
        (KnownDevice.user_id, KnownDevice.device_hash),
        lambda settings, now_ms: KnownDevice.seen_at_ms < now_ms - KNOWN_DEVICE_DAYS * DAY_MS,
    ),
    Leftover(
        (CacheInvalidation.invalidation_id,),
        lambda settings, now_ms: CacheInvalidation.at_ms < now_ms - INVALIDATION_DAYS * DAY_MS,
    ),
    Leftover(
        (JobRun.run_id,),
        lambda settings, now_ms: (
            (JobRun.started_at_ms < now_ms - JOB_RUN_DAYS * DAY_MS) & (JobRun.outcome != Outcome.RUNNING)
        ),
    ),
    Leftover(
        (Mail.mail_id,),
        lambda settings, now_ms: (Mail.created_at_ms < now_ms - MAIL_DAYS * DAY_MS) & (Mail.state != "queued"),
    ),
    Leftover(
        (StripeEvent.event_id,),
        lambda settings, now_ms: (
            (StripeEvent.received_at_ms < now_ms - STRIPE_EVENT_DAYS * DAY_MS) & (StripeEvent.state != "queued")
        ),
    ),
    Leftover(
        (ReportSubscription.report_subscription_id,),
        lambda settings, now_ms: (
            ReportSubscription.confirmed_at_ms.is_(None)
            & (ReportSubscription.created_at_ms <= now_ms - AGREEMENT_LIFE_MS)
        ),
    ),
    Leftover(
        (ReportSend.report_subscription_id, ReportSend.first_day),
        lambda settings, now_ms: ReportSend.at_ms < now_ms - REPORT_DAYS * DAY_MS,
    ),
    Leftover((StaffReport.day,), lambda settings, now_ms: StaffReport.at_ms < now_ms - REPORT_DAYS * DAY_MS),
    Leftover((Alert.alert_id,), lambda settings, now_ms: Alert.last_at_ms < now_ms - ALERT_DAYS * DAY_MS),
)


def run(context: JobContext) -> int:
    """Delete everything that is over now; returns how many rows."""
    rows = 0
    for leftover in LEFTOVERS:
        deleted = STEP_ROWS
        while deleted == STEP_ROWS:
            deleted = _delete_some(context, leftover)
            rows += deleted
            context.progress(rows, leftover.key[0].class_.__tablename__)
    rows += context.services.tasks.purge(context.now_ms())
    context.progress(rows, "tasks")
    return rows


def _delete_some(context: JobContext, leftover: Leftover) -> int:
    table = leftover.key[0].class_
    is_over = leftover.is_over(context.services.settings, context.now_ms())
    some = select(*leftover.key).where(is_over).limit(STEP_ROWS)
    key = leftover.key[0] if len(leftover.key) == 1 else tuple_(*leftover.key)
    statement = delete(table).where(key.in_(some)).returning(leftover.key[0])
    with writing(context.services.engine) as session:
        context.fence(session)
        return len(session.execute(statement.execution_options(synchronize_session=False)).all())
