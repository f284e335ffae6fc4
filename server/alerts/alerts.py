"""Raising alerts: one function for everything that the operator should know.

An alert has a key. The first time it is sent through every channel; within `alert_repeat_s` of that it is only counted;
later it is sent again and says how often it happened since. Its row and the tasks that deliver it are one transaction,
and the row decides, so of two processes at once one sends.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass

from prometheus_client import Counter, Gauge
from sqlalchemy import Engine, func, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from server.alerts.kinds import AlertKind
from server.app_database import inserting, reading, writing
from server.clock import time_text
from server.config import Settings
from server.mail import Mailer
from server.metrics import REGISTRY
from server.models import Alert
from server.tasks import TaskQueue

log = logging.getLogger(__name__)

ALERTS = Counter("footfall_alerts", "Alerts raised, sent or only counted", ["kind"], registry=REGISTRY)
RAISED_AT_S = Gauge(
    "footfall_alert_raised_timestamp_seconds",
    "When an alert of this kind was last raised, by any process",
    ["kind"],
    registry=REGISTRY,
)

# The widths of the columns; a detail is to be read in a mail or in Slack.
MAX_KEY_CHARS = 200
MAX_SUMMARY_CHARS = 300
MAX_DETAIL_CHARS = 3000

# One text message in the alphabet of GSM 03.38.
SMS_CHARS = 160


@dataclass(frozen=True)
class _Raised:
    """An alert that is to be sent now."""

    kind: AlertKind
    summary: str
    detail: str
    is_urgent: bool
    at_ms: int
    repeated: str


class Alerts:
    """Raises alerts. For any thread; blocks."""

    def __init__(self, engine: Engine, settings: Settings, tasks: TaskQueue, mailer: Mailer) -> None:
        self._engine = engine
        self._settings = settings
        self._tasks = tasks
        self._mailer = mailer

    def raise_alert(
        self, kind: AlertKind, key: str, summary: str, detail: str = "", *, is_urgent: bool = False
    ) -> None:
        """Tell the operator, unless the same `kind` and `key` was told within `alert_repeat_s`.

        Neither `summary`, one line, nor `detail` may hold a secret or personal data; what is too long is cut. Urgent
        ones go out as text messages too. Leaves one line in the log in any case; raises nothing when the app database
        is away. Not to be called inside a transaction of the caller: it has one of its own, which SQLite lets wait.
        """
        ALERTS.labels(kind).inc()
        summary = " ".join(summary.replace("\0", "").split())[:MAX_SUMMARY_CHARS]
        detail = detail.replace("\0", "").strip()[:MAX_DETAIL_CHARS]
        extra: dict[str, object] = {"kind": kind, "key": key[:MAX_KEY_CHARS], "summary": summary}
        try:
            with writing(self._engine) as session:
                count, raised = self._count(session, kind, key, summary, detail, is_urgent=is_urgent)
                if raised is not None:
                    self._send(session, raised)
        except SQLAlchemyError as error:
            log.error("an alert could not be sent", extra={**extra, "reason": type(error).__name__})
            return
        log.warning("alert", extra={**extra, "count": count, "is_sent": raised is not None})

    def show_last_raised(self) -> None:
        """Bring the gauge up to date: the process of a job that alerts ends before anybody asks for its counters.

        Raises SQLAlchemy's error when the app database is away.
        """
        last = select(Alert.kind, func.max(Alert.last_at_ms)).group_by(Alert.kind)
        with reading(self._engine) as session:
            for kind, at_ms in session.execute(last):
                RAISED_AT_S.labels(kind).set(at_ms / 1000)

    def _count(
        self, session: Session, kind: AlertKind, key: str, summary: str, detail: str, *, is_urgent: bool
    ) -> tuple[int, _Raised | None]:
        """Count it; how often it happened in all, and what is to be sent if it is."""
        now_ms = self._tasks.now_ms()
        latest = {"summary": summary, "detail": detail, "is_urgent": is_urgent, "last_at_ms": now_ms}
        counted = (
            inserting(session, Alert)
            .values(kind=kind, key=_row_key(kind, key), first_at_ms=now_ms, sent_at_ms=now_ms, **latest)
            .on_conflict_do_update(index_elements=[Alert.key], set_={**latest, "count": Alert.count + 1})
            .returning(Alert.alert_id, Alert.count, Alert.sent_at_ms, Alert.count_at_sending)
        )
        # From here on the row is locked: whoever raises the same alert now waits, and then finds it sent.
        alert_id, count, sent_at_ms, count_at_sending = session.execute(counted).one()
        repeated = ""
        if count > 1:
            if now_ms - sent_at_ms < self._settings.alert_repeat_s * 1000:
                return count, None
            session.execute(
                update(Alert)
                .where(Alert.alert_id == alert_id)
                .values(sent_at_ms=now_ms, count_at_sending=count)
                .execution_options(synchronize_session=False)
            )
            since = count - count_at_sending
            times = "once" if since == 1 else f"{since} times"
            repeated = f"It happened {times} since the last message, of {time_text(sent_at_ms)}."
        return count, _Raised(kind, summary, detail, is_urgent, now_ms, repeated)

    def _send(self, session: Session, raised: _Raised) -> None:
        """Queue a task per channel: one that is away holds up no other."""
        for address in self._settings.alert_addresses:
            self._mailer.queue(
                session,
                address,
                "alert",
                kind=str(raised.kind),
                summary=raised.summary,
                detail=raised.detail,
                at_ms=raised.at_ms,
                repeated=raised.repeated,
                is_urgent=raised.is_urgent,
            )
        if self._settings.slack_webhook_url:
            text = slack_text(raised, self._settings.snippet_base)
            self._tasks.enqueue(session, "alert.slack", arguments={"text": text})
        if self._settings.sms_webhook_url and raised.is_urgent:
            self._tasks.enqueue(session, "alert.sms", arguments={"text": sms_text(raised.summary)})


def slack_text(raised: _Raised, public_url: str) -> str:
    """An alert as Slack's markup, with what would be markup in it escaped."""
    head = f"*{'Urgent: ' if raised.is_urgent else ''}{_escaped(raised.summary)}*"
    where = f"{raised.kind}, {time_text(raised.at_ms)}, {_escaped(public_url)}"
    detail = f"```{_escaped(raised.detail)}```" if raised.detail else ""
    return "\n".join(filter(None, (head, where, raised.repeated, detail)))


def sms_text(summary: str) -> str:
    """An alert as one text message."""
    text = f"Footfall: {summary}"
    return text if len(text) <= SMS_CHARS else f"{text[: SMS_CHARS - 3]}..."


def _escaped(text: str) -> str:
    # Slack asks for exactly these three: docs.slack.dev, "Formatting message text".
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _row_key(kind: AlertKind, key: str) -> str:
    whole = f"{kind} {key}".replace("\0", "")
    if len(whole) <= MAX_KEY_CHARS:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:32]
    return f"{whole[: MAX_KEY_CHARS - len(digest) - 1]} {digest}"
